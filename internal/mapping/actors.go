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
		if rest, ok := strings.CutPrefix(id, actorPrefix); ok {
			return setPrefix + rest
		}
		return id
	}))
	if o.Type() != "threat-actor" {
		return
	}
	o.Set("id", setPrefix+strings.TrimPrefix(o.ID(), actorPrefix))
	o.Set("type", "intrusion-set")
	r.count("actors_converted", 1)
	r.actorFields(o)
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
