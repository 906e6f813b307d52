package mapping

import (
	"threatmatch-connector/internal/facts"
	"threatmatch-connector/internal/stix"
)

// ends are the possible kinds of the two ends of a relationship.
type ends struct{ source, target []string }

func (e ends) swapped() ends { return ends{e.target, e.source} }

// accepts reports whether the platform accepts the relationship for every kind that
// either end can be.
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

// Settle makes a relationship legal before it is released. If the platform refuses
// it between its ends, it gets the accepted type that says the same, with the ends
// swapped if needed. If there is none, it becomes related-to, with the original
// type in the description. kind returns the [Kind] of an id; "" means that only its
// type is known, and then a type must be accepted for every kind that such an
// object can be (an identity of unknown class may be an individual, organisation,
// sector or system). Other objects are unchanged. The counts are nil if nothing
// changed.
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
	relate(rel, m.text(relation))
	counts.add("relationship_refused", 1, relation)
	return counts
}
