package mapping

import (
	"strings"

	"threatmatch-connector/internal/stix"
)

// references removes references that can never be resolved: to something that is
// not a STIX id, to the object itself, and to types that OpenCTI does not know. It
// returns false, having counted the object, if a relationship or sighting has lost
// an end that way.
func (r *record) references(o *stix.Object) bool {
	lostEnd := false
	o.EditRefs(func(ref stix.Ref) (string, bool) {
		typ, ok := stix.SplitID(ref.ID)
		switch {
		case !ok:
			r.count("references_invalid", 1)
		case !stix.Supported(typ):
			r.count("references_unknown_type", 1)
			lostEnd = lostEnd || stix.Essential(o.Type(), ref.Key) && !ref.List
		case ref.ID == o.ID():
			r.count("references_to_self", 1)
		case misplaced(ref.Key, typ):
			r.count("references_misplaced", 1)
		default:
			return ref.ID, true
		}
		return "", false
	})
	if lostEnd {
		r.count("relationship_end_unknown", 1)
		return false
	}
	return true
}

// canonicalRefs gives references the ids under which OpenCTI accepts the objects
// they name, as decode does with the objects themselves.
func (r *record) canonicalRefs(o *stix.Object) {
	r.count("ids_rewritten", o.ReplaceRefs(func(id string) string {
		if strings.HasPrefix(id, markingPrefix) {
			if _, form := stix.SplitID(id); !form {
				return id // see DecodeSource
			}
		}
		if canonical, ok := stix.CanonicalID(id); ok {
			return canonical
		}
		return id
	}))
}

// misplaced reports types that STIX and OpenCTI refuse as the place of a sighting
// or as an author.
func misplaced(key, typ string) bool {
	switch key {
	case "where_sighted_refs":
		return typ != "identity" && typ != "location"
	case "created_by_ref", "x_opencti_created_by_ref":
		return typ != "identity"
	}
	return false
}

// relateContents turns object_refs of an object that is not a container, which
// OpenCTI would drop, into relationships: of the natural type for the pair, else
// related-to.
func (r *record) relateContents(o *stix.Object) {
	if stix.Container(o.Type()) || !o.Has("object_refs") {
		return
	}
	list := o.Strings("object_refs")
	o.Delete("object_refs")
	for _, id := range list {
		r.relateContent(o, id)
	}
}

func (r *record) relateContent(o *stix.Object, id string) {
	typ, _ := stix.SplitID(id)
	if !relatable(typ) || !relatable(o.Type()) {
		r.count("object_refs_dropped", 1)
		return
	}
	if r.members[id][o.ID()] {
		r.count("object_refs_known", 1)
		return
	}
	source, target := o.ID(), id
	relation, swap := natural(o.Type(), typ)
	if swap {
		source, target = target, source
	}
	if r.link(o, relation, source, target) {
		r.count("object_refs_related", 1, relation)
	} else {
		r.count("object_refs_known", 1)
	}
}

// relatable reports whether OpenCTI accepts relationships from and to the type.
func relatable(typ string) bool {
	return !plain(typ) && typ != "relationship" && typ != "sighting"
}
