package mapping

import (
	"encoding/json"
	"slices"
	"strings"

	"threatmatch-connector/internal/stix"
)

// platformFields are properties that command the platform or mean something
// on one platform only: ids, workflows and people of another one, and OpenCTI's
// own operations (delete, merge, …), which no source may ask for.
var platformFields = []string{"id", "workflow_id", "assignee_ids", "participant_ids", "granted_refs"}

// opencti is OpenCTI's STIX extension, another place for the same properties.
const opencti = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"

// dropPlatformFields removes platformFields wherever OpenCTI reads them.
func (r *record) dropPlatformFields(o *stix.Object) {
	var found []string
	for key := range o.All() {
		rest, own := strings.CutPrefix(key, "x_opencti_")
		if own && slices.Contains(platformFields, rest) || strings.HasPrefix(key, "opencti_") || key == "nb_deps" {
			found = append(found, key)
		}
	}
	for _, key := range found {
		o.Delete(key)
		r.count("platform_fields", 1, key)
	}
	if extensions, ok := o.Get("extensions"); ok {
		if ours, ok := stix.Member(extensions, opencti); ok {
			r.cleanExtension(o, extensions, ours)
		}
	}
}

func (r *record) cleanExtension(o *stix.Object, extensions, ours json.RawMessage) {
	kept, all := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	dropped := 0
	for key, value := range stix.Members(ours) {
		if slices.Contains(platformFields, key) || strings.HasPrefix(key, "opencti_") || key == "is_inferred" {
			r.count("platform_fields", 1, key)
			dropped++
			continue
		}
		kept[key] = value
	}
	if dropped == 0 {
		return
	}
	for key, value := range stix.Members(extensions) {
		all[key] = value
	}
	if delete(all, opencti); len(kept) > 0 {
		all[opencti], _ = json.Marshal(kept)
	}
	o.Set("extensions", all)
	o.Clean()
}
