package data

import (
	"encoding/json"
	"slices"
	"strings"
)

// References are the ids in the top-level "_ref" and "_refs" properties of an object.
func References(raw json.RawMessage) []string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	var refs []string
	for key, value := range fields {
		var one string
		var many []string
		switch {
		case strings.HasSuffix(key, "_refs") && json.Unmarshal(value, &many) == nil:
			refs = append(refs, many...)
		case strings.HasSuffix(key, "_ref") && json.Unmarshal(value, &one) == nil && one != "":
			refs = append(refs, one)
		}
	}
	slices.Sort(refs)
	return refs
}

// unsupported are types that a STIX source may have and OpenCTI has not.
func unsupported(stixType string) bool {
	switch stixType {
	case "bundle", "extension-definition", "language-content", "x-mitre-tactic", "x-mitre-matrix", "x-mitre-collection":
		return true
	}
	return strings.HasPrefix(stixType, "x-threatmatch-")
}

// Expected are the ids that a faithful import of the given datasets delivers,
// whatever else its mapping adds: every object that OpenCTI can hold, and every
// relationship whose ends are among them. Ids are as the source has them: where
// actors become intrusion sets, compare what follows the type. TLP markings are
// not counted: a mapping may use the platform's own.
func Expected(src Source, datasets ...Dataset) map[string]struct{} {
	all := map[string]struct{}{}
	var links []stixObject
	add := func(raw json.RawMessage) {
		var o stixObject
		if json.Unmarshal(raw, &o) != nil || o.ID == "" || unsupported(o.Type) || isTLP(raw, o) {
			return
		}
		if o.Type == "relationship" || o.Type == "sighting" {
			o.refs = ends(raw)
			links = append(links, o)
			return
		}
		all[o.ID] = struct{}{}
	}
	for _, d := range datasets {
		if d == IOCs {
			seq := src.Objects("indicator")
			for i := range seq.Len() {
				add(seq.Object(i))
			}
			continue
		}
		for e := range src.Entries(d) {
			objects, _ := src.Item(d, e.ID)
			for _, raw := range objects {
				add(raw)
			}
		}
	}
	// A link may hang on another link, so until nothing is added.
	for before := -1; before != len(all); {
		before = len(all)
		for _, l := range links {
			if !slices.ContainsFunc(l.refs, func(ref string) bool { _, ok := all[ref]; return !ok }) {
				all[l.ID] = struct{}{}
			}
		}
	}
	return all
}

func ends(raw json.RawMessage) []string {
	var o struct {
		Source string   `json:"source_ref"`
		Target string   `json:"target_ref"`
		Of     string   `json:"sighting_of_ref"`
		Where  []string `json:"where_sighted_refs"`
	}
	_ = json.Unmarshal(raw, &o) // decoded once before
	return slices.DeleteFunc(append(o.Where, o.Source, o.Target, o.Of), func(s string) bool { return s == "" })
}

func isTLP(raw json.RawMessage, o stixObject) bool {
	if o.Type != "marking-definition" {
		return false
	}
	var m struct {
		Kind string `json:"definition_type"`
	}
	_ = json.Unmarshal(raw, &m) // decoded once before
	return strings.EqualFold(m.Kind, "tlp") || strings.HasPrefix(strings.ToUpper(o.Name), "TLP:")
}
