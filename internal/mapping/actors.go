package mapping

import (
	"cmp"
	"slices"
	"strings"

	"threatmatch-connector/internal/stix"
)

const actorPrefix, setPrefix = "threat-actor--", "intrusion-set--"

// actor turns a threat actor into an intrusion set, and likewise every reference to
// one, in whatever property it is.
func (r *record) actor(o *stix.Object) {
	if !r.m.settings.ThreatActorAsIntrusionSet {
		return
	}
	if o.Type() == "relationship" && strings.HasPrefix(o.String("source_ref"), actorPrefix) &&
		o.String("relationship_type") == "located-at" {
		// STIX: threat actors are located at a place, intrusion sets originate from it.
		o.Set("relationship_type", "originates-from")
		r.count("actor_located_at", 1)
	}
	sets := 0
	changed := o.ReplaceRefs(func(id string) string {
		own := r.sentID(id)
		if own != id && strings.HasPrefix(id, setPrefix) {
			sets++
		}
		return own
	})
	r.count("actor_ids_rewritten", changed-sets)
	r.count("ids_rewritten", sets)
	o.Set("id", r.sentID(o.ID()))
	if o.Type() != "threat-actor" {
		return
	}
	o.Set("type", "intrusion-set")
	r.count("actors_converted", 1)
	r.actorFields(o)
}

// sentID returns the id under which an actor or an intrusion set is sent: with its
// own UUID, unless an object of the other type has that UUID, in this response or
// an earlier one. Other ids are unchanged.
func (r *record) sentID(id string) string {
	typ, uuid, _ := strings.Cut(id, "--")
	if typ != "threat-actor" && (typ != "intrusion-set" || r.src.Mapped || r.including) {
		return id
	}
	sent := setPrefix + uuid
	if r.SetIDs[sent] == "" {
		r.SetIDs[sent] = cmp.Or(r.src.SetIDs[sent], id)
	}
	if r.SetIDs[sent] != id {
		return stix.DerivedID("intrusion-set", id)
	}
	return sent
}

// noteSets assigns ids first to the intrusion sets of the response, then to its
// actors, then to objects that are only referred to.
func (r *record) noteSets(elements []element) {
	if !r.m.settings.ThreatActorAsIntrusionSet {
		return
	}
	for _, typ := range [...]string{"intrusion-set", "threat-actor"} {
		for _, e := range elements {
			if e.object.Type() == typ {
				r.sentID(e.object.ID())
			}
		}
	}
}

// actorFields translates the properties that intrusion sets lack (STIX 2.1, 4.6 and
// 4.17): personal motivations are added to the motivations; types, roles and
// sophistication have no counterpart.
func (r *record) actorFields(o *stix.Object) {
	addMotivations(o, o.Strings("personal_motivations")...)
	o.Delete("personal_motivations")
	for _, key := range [...]string{"threat_actor_types", "roles", "sophistication", "x_opencti_type"} {
		if o.Delete(key) {
			r.count("actor_fields_dropped", 1, key)
		}
	}
}

// addMotivations adds the first one as the primary motivation if there is none, and
// the others as secondary ones.
func addMotivations(o *stix.Object, motives ...string) {
	first := o.String("primary_motivation")
	if first == "" && len(motives) > 0 {
		first = motives[0]
		o.Set("primary_motivation", first)
	}
	o.AddRefs("secondary_motivations", slices.DeleteFunc(motives, func(s string) bool { return s == first }))
}
