package mapping

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strings"

	"threatmatch-connector/internal/stix"
)

// relationships.csv is OpenCTI's own table of the relationship types that it
// accepts between two kinds of entities, read from the platform's source
// (database/stix.ts, release 7.26, March 2026). related-to and revoked-by are
// accepted between any two and are not in it.
//
//go:embed relationships.csv
var relationshipsCSV string

type triple struct{ source, relation, target string }

type legality map[triple]bool

func readLegality() (legality, error) {
	rows, err := csv.NewReader(strings.NewReader(relationshipsCSV)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read table of relationships: %w", err)
	}
	table := make(legality, len(rows))
	for _, r := range rows[1:] {
		table[triple{r[0], r[1], r[2]}] = true
	}
	return table, nil
}

// allows reports whether OpenCTI takes the relationship for every kind that
// either end can be.
func (l legality) allows(sources []string, relation string, targets []string) bool {
	if relation == relatedTo || relation == "revoked-by" {
		return true
	}
	for _, s := range sources {
		for _, t := range targets {
			if !l.allowsPair(s, relation, t) {
				return false
			}
		}
	}
	return true
}

func (l legality) allowsPair(source, relation, target string) bool {
	for _, s := range kindsOf(source) {
		for _, t := range kindsOf(target) {
			if l[triple{s, relation, t}] {
				return true
			}
		}
	}
	return false
}

// Settle makes a relationship legal before it is released: what OpenCTI's
// table refuses between its ends becomes related-to, the original type kept in
// the description. kind returns the [Kind] of an id; "" means that only its
// type is known, and then the relationship type stays only if the table allows
// it for every kind that such an object can be (an identity of unknown class
// may be an individual, organisation, sector or system). Other objects are
// left alone. The counts are nil when nothing changed.
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
	if m.legal.allows(kinds("source_ref"), relation, kinds("target_ref")) {
		return nil
	}
	relate(rel, relation)
	counts := Counts{}
	counts.add("relationship_refused", 1, relation)
	return counts
}
