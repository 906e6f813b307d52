package mapping

import (
	"encoding/json"
	"strings"

	"threatmatch-connector/internal/stix"
)

// pruneSelectors removes selectors of properties that the object no longer has from
// its granular markings, and markings left without selectors.
func (r *record) pruneSelectors(o *stix.Object) {
	raw, ok := o.Get("granular_markings")
	if !ok {
		return
	}
	var kept []json.RawMessage
	removed := 0
	for part := range stix.Elements(raw) {
		list, _ := stix.Member(part, "selectors")
		var selectors []string
		gone := 0
		for e := range stix.Elements(list) {
			s, _ := stix.Text(e)
			if property, _, _ := strings.Cut(s, "."); o.Has(property) {
				selectors = append(selectors, s)
			} else {
				gone++
			}
		}
		removed += gone
		switch {
		case gone == 0:
			kept = append(kept, part)
		case selectors != nil:
			kept = append(kept, withMember(part, "selectors", selectors))
		}
	}
	if removed > 0 {
		o.Set("granular_markings", kept)
		r.count("selectors_removed", removed)
	}
}

// membersOf returns the members of an object as JSON text, to be changed and written again.
func membersOf(raw json.RawMessage) map[string]any {
	members := map[string]any{}
	for k, v := range stix.Members(raw) {
		members[k] = v
	}
	return members
}

// withMember returns the object raw with one member's value replaced.
func withMember(raw json.RawMessage, key string, value any) json.RawMessage {
	members := membersOf(raw)
	members[key] = value
	out, err := json.Marshal(members)
	if err != nil {
		return raw
	}
	return out
}
