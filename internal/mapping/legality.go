package mapping

import (
	"threatmatch-connector/internal/facts"
	"threatmatch-connector/internal/stix"
)

// ends are the kinds that the two ends of a relationship can be.
type ends struct{ source, target []string }

func (e ends) swapped() ends { return ends{e.target, e.source} }

// accepts reports whether the platform takes the relationship for every kind
// that either end can be.
func (m *Mapper) accepts(e ends, relation string) bool {
	version := facts.Unknown
	if m.settings.PlatformVersion != nil {
		version = facts.VersionOf(m.settings.PlatformVersion())
	}
	for _, s := range e.source {
		for _, t := range e.target {
			if !m.relationships.Accepts(version, s, relation, t) {
				return false
			}
		}
	}
	return true
}

// Settle makes a relationship legal before it is released: what the platform
// refuses between its ends gets the type that says the same and is accepted,
// with the ends swapped where that is how it is said; where there is none it
// becomes related-to, the original type kept in the description. kind returns
// the [Kind] of an id; "" means that only its type is known, and then a type
// must be accepted for every kind that such an object can be (an identity of
// unknown class may be an individual, organisation, sector or system). Other
// objects are left alone. The counts are nil when nothing changed.
func (m *Mapper) Settle(rel *stix.Object, kind func(id string) string) Counts {
	if rel.Type() != "relationship" {
		return nil
	}
	relation := rel.String("relationship_type")
	kinds := func(key string) []string {
		id := rel.String(key)
		if k := kind(id); k != "" {
			return []string{k}
		}
		return possibleKinds(id)
	}
	e := ends{kinds("source_ref"), kinds("target_ref")}
	if m.accepts(e, relation) {
		return nil
	}
	counts := Counts{}
	if twin, swap, ok := m.twin(e, relation); ok {
		rel.Set("relationship_type", twin)
		if swap {
			swapEnds(rel)
		}
		counts.add("relationship_translated", 1, relation)
		return counts
	}
	relate(rel, relation)
	counts.add("relationship_refused", 1, relation)
	return counts
}
