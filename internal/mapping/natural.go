package mapping

import (
	_ "embed"
	"strings"

	"threatmatch-connector/internal/stix"
)

// naturalTypes lists the obvious relationship type between two types: sources,
// type, targets.
//
//go:embed tables/natural.txt
var naturalTypes string

// observable stands for every type of observables.
const observable = "observable"

var naturals = naturalTable()

func naturalTable() map[[2]string]string {
	table := map[[2]string]string{}
	for line := range lines(naturalTypes) {
		row := strings.Split(line, " | ")
		for source := range strings.SplitSeq(row[0], ",") {
			for target := range strings.SplitSeq(row[2], ",") {
				table[[2]string{source, target}] = row[1]
			}
		}
	}
	return table
}

// natural returns the obvious relationship type for two types, related-to if there
// is none, and whether it points from the second to the first.
func natural(from, to string) (relation string, swap bool) {
	for _, group := range [...]func(string) string{itself, observables} {
		if relation, ok := naturals[[2]string{from, group(to)}]; ok {
			return relation, false
		}
		if relation, ok := naturals[[2]string{to, group(from)}]; ok {
			return relation, true
		}
	}
	return relatedTo, false
}

func itself(typ string) string { return typ }

func observables(typ string) string {
	if stix.Observable(typ) {
		return observable
	}
	return typ
}
