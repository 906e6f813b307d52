package facts

import (
	_ "embed"
	"encoding/csv"
	"slices"
	"strings"

	"threatmatch-connector/internal/stix"
)

//go:embed relationships.csv
var relationshipsCSV string

type triple struct{ source, relation, target string }

// Relationships is OpenCTI's table of relationship types: the versions that accept each.
type Relationships map[triple][]Version

// ReadRelationships reads the embedded table. Its columns are source, type, target and a yes or no for 6.8.10, 6.9.17
// and 7.26.
func ReadRelationships() Relationships {
	rows, _ := csv.NewReader(strings.NewReader(relationshipsCSV)).ReadAll() // embedded, so that it can be read
	table := make(Relationships, len(rows))
	for _, row := range rows[1:] {
		key := triple{relationshipKind(row[0]), row[1], relationshipKind(row[2])}
		for i, v := range [...]Version{V6_8, V6_9, V7} {
			// The modules of 7.26 were not read: what 6.9.17 accepts counts as accepted.
			if row[3+i] == "yes" || v == V7 && row[4] == "yes" {
				table[key] = append(table[key], v)
			}
		}
	}
	return table
}

// relationshipKind returns the name in 7.26 of a relationship that is an end of another: what 6.x calls uses and
// targets is relationship-uses and relationship-targets there.
func relationshipKind(kind string) string {
	if kind == "uses" || kind == "targets" {
		return "relationship-" + kind
	}
	return kind
}

// Accepts reports whether the platform accepts a relationship of this type from one kind to another. Kinds are the
// names of the table: a STIX type, and identity-individual, -organization, -sector, -system, -security-platform,
// location-city, -country, …, threat-actor-group, -individual, stix-file, and relationship-uses for a relationship as
// an end.
func (r Relationships) Accepts(v Version, source, relation, target string) bool {
	if relation == "related-to" || relation == "revoked-by" {
		return true
	}
	for _, s := range groups(source) {
		for _, t := range groups(target) {
			if r.accepts(v, triple{s, relation, t}) {
				return true
			}
		}
	}
	return false
}

func (r Relationships) accepts(v Version, t triple) bool {
	versions := r[t]
	if v == Unknown {
		return slices.Contains(versions, V6_8) && slices.Contains(versions, V6_9)
	}
	return slices.Contains(versions, v)
}

// groups lists what a kind matches in the table: itself, and the group it belongs to. The table says threat-actor
// where both kinds of actors are allowed.
func groups(kind string) []string {
	switch {
	case kind == "threat-actor-group" || kind == "threat-actor-individual":
		return []string{kind, "threat-actor"}
	case kind == "stix-file" || stix.Observable(kind):
		return []string{kind, "stix-cyber-observable"}
	}
	return []string{kind}
}
