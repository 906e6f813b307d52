package mapping

import (
	"slices"
	"strings"

	"threatmatch-connector/internal/stix"
)

const actorPrefix, setPrefix = "threat-actor--", "intrusion-set--"

// actor makes an intrusion set of a threat actor, and of every reference to
// one, in whatever property it stands.
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
	r.count("actor_ids_rewritten", o.ReplaceRefs(func(id string) string {
		if strings.HasPrefix(id, actorPrefix) {
			return r.setID(id)
		}
		return id
	}))
	if o.Type() != "threat-actor" {
		return
	}
	o.Set("id", r.setID(o.ID()))
	o.Set("type", "intrusion-set")
	r.count("actors_converted", 1)
	r.actorFields(o)
}

// setID returns the id of the intrusion set that an actor becomes: its own UUID,
// unless the answer has an intrusion set of that UUID, which is another object.
func (r *record) setID(actor string) string {
	id := setPrefix + strings.TrimPrefix(actor, actorPrefix)
	if r.sets[id] {
		return stix.DerivedID("intrusion-set", actor)
	}
	return id
}

// noteSets notes the intrusion sets of the answer.
func (r *record) noteSets(elements []element) {
	r.sets = map[string]bool{}
	for _, e := range elements {
		if e.object.Type() == "intrusion-set" {
			r.sets[e.object.ID()] = true
		}
	}
}

// actorFields translates the properties that intrusion sets lack (STIX 2.1,
// 4.6 and 4.17): motivations of the person count among the motivations; types,
// roles and sophistication have no counterpart.
func (r *record) actorFields(o *stix.Object) {
	for _, motive := range o.Strings("personal_motivations") {
		addMotivation(o, motive)
	}
	o.Delete("personal_motivations")
	for _, key := range [...]string{"threat_actor_types", "roles", "sophistication", "x_opencti_type"} {
		if o.Delete(key) {
			r.count("actor_fields_dropped", 1, key)
		}
	}
}

// addMotivation notes a motivation as the first or as a further one.
func addMotivation(o *stix.Object, motive string) {
	switch first := o.String("primary_motivation"); first {
	case motive:
	case "":
		o.Set("primary_motivation", motive)
	default:
		if list := o.Strings("secondary_motivations"); !slices.Contains(list, motive) {
			o.Set("secondary_motivations", append(list, motive))
		}
	}
}
