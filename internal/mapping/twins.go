package mapping

import (
	_ "embed"
	"slices"
	"strings"
)

// twins lists, by relationship type, other types that mean the same for some pairs,
// closest first. Types between < and > express it from the other end.
//
//go:embed tables/twins.txt
var twinTypes string

var twins = twinTable(twinTypes)

type twin struct {
	relation string
	swap     bool
}

func twinTable(text string) map[string][]twin {
	table := map[string][]twin{}
	for line := range lines(text) {
		relation, others, _ := strings.Cut(line, " | ")
		swap := false
		for word := range strings.FieldsSeq(others) {
			if word == "<" || word == ">" {
				swap = word == "<"
				continue
			}
			table[relation] = append(table[relation], twin{word, swap})
		}
	}
	return table
}

// reversible lists the types whose direction is clear from the pair: if the
// platform accepts one only from the other end, the source has mixed up the ends.
var reversible = []string{"uses", "targets", "attributed-to", "exploits", "indicates", "mitigates", "originates-from",
	"located-at", "authored-by", "based-on", "characterizes", "analysis-of", "resolves-to", "belongs-to", "communicates-with",
	"consists-of", "controls", "delivers", "detects", "downloads", "drops", "hosts", "owns"}

// says returns the type itself where it is accepted, else its twin.
func (m *Mapper) says(e ends, relation string) (string, bool, bool) {
	if m.accepts(e, relation) {
		return relation, false, true
	}
	return m.twin(e, relation)
}

// twin returns the accepted type that means the same for the pair, and whether it
// points the other way.
func (m *Mapper) twin(e ends, relation string) (string, bool, bool) {
	if active, passive := strings.CutSuffix(relation, "-by"); passive && relation != "authored-by" {
		stem := strings.TrimSuffix(active, "ed")
		for _, verb := range [...]string{strings.TrimSuffix(active, "d"), stem, stem[:max(0, len(stem)-1)]} { // used, targeted, dropped
			if t, swap, ok := m.says(e.swapped(), verb+"s"); ok {
				return t, !swap, true
			}
		}
	}
	if !strings.HasSuffix(relation, "s") {
		if t, swap, ok := m.says(e, relation+"s"); ok {
			return t, swap, true
		}
	}
	for _, t := range twins[relation] {
		way := e
		if t.swap {
			way = e.swapped()
		}
		if m.accepts(way, t.relation) {
			return t.relation, t.swap, true
		}
	}
	if slices.Contains(reversible, relation) && m.accepts(e.swapped(), relation) {
		return relation, true, true
	}
	return "", false, false
}
