package mapping

import (
	"maps"
	"slices"
	"strings"

	"threatmatch-connector/internal/stix"
)

// Ceiling is the filter of tlp_max, as [Result.Filtered] names it.
const Ceiling = "tlp_max"

// filter leaves out what the operator does not want, and whatever is nothing
// without it.
func (r *record) filter() {
	c := r.m.choices
	if !c.filters() {
		return
	}
	gone := map[string]string{}
	item := r.itemFilter()
	for _, o := range r.Objects {
		name := r.objectFilter(o)
		if name == "" && !always(o.Type()) {
			name = item
		}
		if name != "" {
			gone[o.ID()] = name
			r.count("filtered", 1, name)
		}
	}
	r.leaveOut(gone)
}

// always reports types that no filter removes by itself: relationships and markings
// go with what they link or mark.
func always(typ string) bool {
	return plain(typ) || typ == "relationship" || typ == "sighting"
}

// itemFilter returns the name of the filter that rejects the whole item, "" if none
// does.
func (r *record) itemFilter() string {
	c, o := r.m.choices, r.mainObject()
	if o == nil {
		return ""
	}
	labels := append(o.Strings("labels"), o.Strings("x_opencti_labels")...)
	kinds := []string{o.Type(), o.String("incident_type")}
	if o.Type() == "intrusion-set" {
		kinds = append(kinds, "threat-actor")
	}
	if typed := typesOf[o.Type()].property; typed != "" {
		kinds = append(kinds, o.Strings(typed)...)
	}
	tags := labels
	var ratings []string
	for _, key := range [...]string{"severity", "relevance", "priority"} {
		for _, prefix := range [...]string{"", "x_", "x_threatmatch_"} {
			if s := o.String(prefix + key); s != "" {
				ratings = append(ratings, s)
			}
		}
	}
	for _, l := range labels {
		about, value := splitLabel(l)
		if about == kindOf || about == anyTopic {
			if typ, ok := typesOf[o.Type()].terms.find(value); ok {
				kinds = append(kinds, typ)
			}
			kinds = append(kinds, value)
		}
		if before, rating, ok := strings.Cut(l, ":"); ok {
			switch fold(before) {
			case "severity", "relevance", "priority":
				ratings = append(ratings, rating)
			}
		}
		tags = append(tags, value)
	}
	switch {
	case !c.kinds.pass(r.src.Dataset, kinds...):
		return "kinds"
	case !c.tags.pass(r.src.Dataset, tags...):
		return "tags"
	case len(ratings) > 0 && !c.ratings.pass(r.src.Dataset, ratings...):
		return "ratings"
	}
	return ""
}

// objectFilter returns the name of the filter that rejects an object, "" if none
// does.
func (r *record) objectFilter(o *stix.Object) string {
	c := r.m.choices
	if plain(o.Type()) {
		return ""
	}
	if r.overCeiling(o) {
		return Ceiling
	}
	if always(o.Type()) {
		return ""
	}
	since, ok := c.since[r.src.Dataset]
	if !ok {
		since = c.since[""]
	}
	modified := o.Modified()
	switch {
	case !c.types.pass(r.src.Dataset, o.Type()):
		return "types"
	case !modified.IsZero() && modified.Before(since):
		return "modified"
	case o.Type() != "indicator":
		return ""
	case !c.patterns.pass(r.src.Dataset, o.String("pattern_type")):
		return "pattern_types"
	}
	if kind := o.String("x_opencti_main_observable_type"); kind != "" && !c.observables.pass(r.src.Dataset, kind) {
		return "observable_types"
	}
	return ""
}

// overCeiling reports whether an object is marked with more than tlp_max, or with a
// marking that the response does not define, which may restrict anything.
func (r *record) overCeiling(o *stix.Object) bool {
	if r.m.choices.max.Rank == 0 {
		return false
	}
	return r.m.OverCeiling(o) || slices.ContainsFunc(o.Strings("object_marking_refs"), func(id string) bool {
		_, level := stix.TLPByID(id)
		_, known := r.markings[id]
		return !level && !known && !r.ownMarking(id)
	})
}

// OverCeiling reports whether an object is marked with a stricter level than tlp_max.
func (m *Mapper) OverCeiling(o *stix.Object) bool {
	limit := m.choices.max.Rank
	return limit > 0 && !plain(o.Type()) && slices.ContainsFunc(o.Strings("object_marking_refs"), func(id string) bool {
		t, _ := stix.TLPByID(id)
		return t.Rank > limit
	})
}

func (r *record) ownMarking(id string) bool {
	return r.paps[id] != nil || r.m.choices.marking != nil && r.m.choices.marking.ID() == id
}

// never reports whether only_types excludes what a reference names in any response:
// an object that waits for it would wait in vain.
func (r *record) never(id string) bool {
	typ, ok := stix.SplitID(id)
	return ok && !always(typ) && id != r.m.author.ID() && r.m.choices.types.never(typ)
}

// leaveOut removes objects and all references to them. Whatever is nothing without
// such a reference is removed too, and counted if it is the source's.
func (r *record) leaveOut(gone map[string]string) {
	if r.Filtered == nil {
		r.Filtered = map[string]string{}
	}
	for again := len(gone) > 0 || len(r.m.choices.types) > 0; again; {
		again = false
		kept, made := r.Objects[:0], 0
		for i, o := range r.Objects {
			if gone[o.ID()] != "" {
				continue
			}
			lost := false
			r.count("references_filtered", o.EditRefs(func(ref stix.Ref) (string, bool) {
				out := gone[ref.ID] != "" || r.never(ref.ID)
				lost = lost || out && stix.Essential(o.Type(), ref.Key)
				return ref.ID, !out
			}))
			if lost && missing(o) != "" {
				gone[o.ID()], again = "ends", true
				if i < r.made {
					r.count("filtered", 1, "ends")
				}
				continue
			}
			r.m.EnsureAuthor(o)
			kept = append(kept, o)
			if i < r.made {
				made++
			}
		}
		r.Objects, r.made = kept, made
	}
	maps.Copy(r.Filtered, gone)
	r.index()
}

// filterMade leaves out entities made of labels that the type filter excludes.
func (r *record) filterMade() {
	gone := map[string]string{}
	for _, o := range r.Objects[r.made:] {
		if !always(o.Type()) && !r.m.choices.types.pass(r.src.Dataset, o.Type()) {
			gone[o.ID()] = "types"
		}
	}
	if len(gone) > 0 {
		r.leaveOut(gone)
	}
}
