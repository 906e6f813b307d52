package mapping

import "threatmatch-connector/internal/stix"

// learnSector relates o to a sector of the vocabulary.
func (r *record) learnSector(o *stix.Object, name string) bool {
	s := sectorObject(name)
	s.Set("object_marking_refs", []string{tlpClear.ID})
	return r.attach(o, s, sector)
}

// learnFreeSector relates o to a sector named by o's own text. Whoever may not see
// o may not see that name either.
func (r *record) learnFreeSector(o *stix.Object, name string) bool {
	s := sectorObject(name)
	s.Copy(o, "object_marking_refs")
	return r.attach(o, s, sector)
}

var tlpClear, _ = stix.FindTLP("clear")

func sectorObject(name string) *stix.Object {
	s := newShared("identity", stix.IdentityID(name, "class"), name)
	s.Set("identity_class", "class")
	return s
}

// learnPlace relates o to a place that it targets or comes from.
func (r *record) learnPlace(o *stix.Object, p *place, about topic) bool {
	return r.attach(o, p.object(), about)
}

// attach relates o to a sector or place: containers list it, others get a
// relationship. It returns false if o cannot be related.
//
// Sectors and places of the vocabularies are common knowledge that all sources
// share. They are TLP:CLEAR: a stricter marking of ours would hide them from
// everyone else. The link between o and them has o's own markings.
func (r *record) attach(o, entity *stix.Object, about topic) bool {
	if !relatable(o.Type()) || o.ID() == entity.ID() {
		return false
	}
	r.complete(entity)
	switch {
	case o.Type() == "opinion" || o.Type() == "observed-data":
		return false
	case stix.Container(o.Type()):
		r.contents = append(r.contents, entity.ID())
	case about == origin:
		r.link(o, originRelation(o.Type()), o.ID(), entity.ID())
	default:
		r.link(o, placeRelation(o, entity, about), o.ID(), entity.ID())
	}
	if !r.make(entity) {
		r.restrict(entity)
	}
	return true
}

// restrict adds the markings of an entity that we made to the copy that we made
// before. A copy from the source itself is unchanged.
func (r *record) restrict(entity *stix.Object) {
	i := r.byID[entity.ID()]
	if before := r.Objects[i]; i >= r.made {
		before.Set("object_marking_refs", unite(before.Strings("object_marking_refs"), entity.Strings("object_marking_refs")))
	}
}

// placeRelation is how OpenCTI relates an object to a sector or a place:
// organisations belong to it, others target it.
func placeRelation(o, entity *stix.Object, about topic) string {
	kind := Kind(o)
	switch {
	case kind == "identity-organization" && about == sector:
		return "part-of"
	case (kind == "identity-organization" || kind == "identity-individual") && about == somewhere:
		return "located-at"
	}
	if relation, swap := natural(o.Type(), entity.Type()); !swap {
		return relation
	}
	return relatedTo
}

// originRelation is how OpenCTI says where something comes from.
func originRelation(typ string) string {
	switch typ {
	case "intrusion-set", "campaign", "incident", "malware":
		return "originates-from"
	case "threat-actor":
		return "located-at"
	}
	return relatedTo
}
