package mapping

import "threatmatch-connector/internal/stix"

// learnSector relates o with a sector.
func (r *record) learnSector(o *stix.Object, name string) bool {
	s := stix.New("identity", stix.IdentityID(name, "class"))
	s.Set("created", epoch)
	s.Set("modified", epoch)
	s.Set("name", name)
	s.Set("identity_class", "class")
	return r.attach(o, s, target)
}

// learnPlace relates o with a place that it targets or comes from.
func (r *record) learnPlace(o *stix.Object, p *place, about topic) bool {
	return r.attach(o, p.object(), about)
}

// attach relates o with a sector or place: containers list it, others get a
// relationship. It reports false when o is nothing that can be related.
//
// Sectors and places are common knowledge that all sources share. They are
// TLP:CLEAR: a stricter marking of ours would hide them from everybody else.
// What links o to them carries o's own markings.
func (r *record) attach(o, entity *stix.Object, about topic) bool {
	if !relatable(o.Type()) || o.ID() == entity.ID() {
		return false
	}
	clear, _ := stix.FindTLP("clear")
	entity.Set("object_marking_refs", []string{clear.ID})
	r.m.complete(entity)
	switch {
	case o.Type() == "opinion" || o.Type() == "observed-data":
		return false
	case stix.Container(o.Type()):
		o.AddRef("object_refs", entity.ID())
	case about == origin:
		r.link(o, originRelation(o.Type()), o.ID(), entity.ID())
	default:
		relation, swap := natural(o.Type(), entity.Type())
		if swap {
			relation = relatedTo
		}
		r.link(o, relation, o.ID(), entity.ID())
	}
	r.make(entity)
	return true
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
