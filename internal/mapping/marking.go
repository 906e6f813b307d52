package mapping

import (
	"bytes"
	"regexp"
	"slices"

	"threatmatch-connector/internal/stix"
)

// Marking returns the standard TLP marking with that id, nil for any other id.
func (m *Mapper) Marking(id string) *stix.Object {
	if t, ok := stix.TLPByID(id); ok && t.ID == id {
		return t.Object()
	}
	return nil
}

// EnsureMarking adds the default TLP to an object that has no standard TLP and
// can be marked, and reports whether it did. It is for objects of which an
// unknown marking was removed: none ever ends without a marking.
func (m *Mapper) EnsureMarking(o *stix.Object) bool {
	if plain(o.Type()) {
		return false
	}
	list := o.Strings("object_marking_refs")
	if slices.ContainsFunc(list, stix.StandardTLP) {
		return false
	}
	o.Fill("object_marking_refs", append(list, m.tlp.ID))
	return true
}

// mark settles the markings of a source object: STIX's TLP 2.0 ids become
// OpenCTI's; what only a part of the object or a label says is lifted to the
// whole; of several levels the strictest stays.
func (r *record) mark(o *stix.Object) {
	if plain(o.Type()) {
		return
	}
	list := o.Strings("object_marking_refs")
	lifted := r.partMarkings(o)
	var strictest stix.TLP
	var kept []string
	rewritten, levels := false, 0
	for _, id := range append(list, lifted...) {
		t, ok := r.level(id)
		if !ok {
			kept = append(kept, id)
			continue
		}
		levels++
		rewritten = rewritten || t.ID != id
		if t.Rank > strictest.Rank {
			strictest = t
		}
	}
	if rewritten {
		r.count("tlp_id_rewritten", 1)
	}
	if len(lifted) > 0 {
		r.count("tlp_lifted", 1)
	}
	if levels == 0 {
		return
	}
	if levels > 1 || rewritten || len(lifted) > 0 {
		o.Set("object_marking_refs", append([]string{strictest.ID}, kept...))
	}
}

// level returns the TLP level that a marking's id stands for, as far as the id
// itself or the answer tells.
func (r *record) level(id string) (stix.TLP, bool) {
	if t, ok := stix.TLPByID(id); ok {
		return t, true
	}
	t, ok := r.levels[id]
	return t, ok
}

// levelOf reads the TLP level of a marking that has an id of its own, as
// OpenCTI's import does: its own properties first, then STIX's, then the name.
func levelOf(o *stix.Object) (stix.TLP, bool) {
	if o.Type() != "marking-definition" {
		return stix.TLP{}, false
	}
	if kind, name := o.String("x_opencti_definition_type"), o.String("x_opencti_definition"); kind != "" && name != "" {
		return namedLevel(name)
	}
	if raw, ok := o.Get("definition"); ok && o.String("definition_type") == "tlp" {
		value, _ := stix.Member(raw, "tlp")
		if level, ok := stix.Text(value); ok {
			return stix.FindTLP(level)
		}
	}
	return namedLevel(o.String("name"))
}

func namedLevel(name string) (stix.TLP, bool) {
	if _, ok := cutFold(name, "tlp:"); !ok {
		return stix.TLP{}, false
	}
	return stix.FindTLP(name)
}

var tlpLabel = regexp.MustCompile(`(?i)^\s*tlp\s*[:=\s-]\s*"?\s*(white|clear|green|amber\s*\+?\s*strict|amber|red)\s*"?\s*$`)

// partMarkings returns the TLP ids that granular markings and labels carry.
// OpenCTI knows neither, and would show to everybody what they restrict.
func (r *record) partMarkings(o *stix.Object) []string {
	var ids []string
	raw, _ := o.Get("granular_markings")
	for e := range stix.Elements(raw) {
		ref, _ := stix.Member(e, "marking_ref")
		id, _ := stix.Text(ref)
		if t, ok := r.level(id); ok {
			ids = append(ids, t.ID)
		}
	}
	if raw, _ := o.Get("labels"); !bytes.Contains(bytes.ToLower(raw), []byte("tlp")) {
		return ids
	}
	for _, l := range o.Strings("labels") {
		if m := tlpLabel.FindStringSubmatch(l); m != nil {
			if t, ok := stix.FindTLP(m[1]); ok {
				ids = append(ids, t.ID)
			}
		}
	}
	return ids
}
