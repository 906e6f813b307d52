package metrics

import (
	_ "embed"
	"strings"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/pipeline/mapstage"
	"threatmatch-connector/spool"
)

// fetchCounters has a line "name | text" for each counter of fetch.
//
//go:embed counters.txt
var fetchCounters string

// runCounters lists every counter of a run, with the stage before its name. A detail may follow: _<dataset> where the
// text says so, _<class> for dead letters, and after a colon what the mapper found.
func runCounters() (all []mapstage.CounterName) {
	add := func(name, text string) { all = append(all, mapstage.CounterName{Name: name, Text: text}) }
	for line := range strings.Lines(fetchCounters) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " | ")
		add(name, text)
	}
	for _, c := range mapstage.Counters() {
		add("map."+c.Name, c.Text)
	}
	for _, c := range mapping.CountTable() {
		add("map."+c.Name, c.Effect+": "+c.Text)
	}
	add("deliver.messages", "messages that the broker confirmed")
	add("deliver.dead", "messages that became dead letters")
	return all
}

// CounterText explains a counter of a run, whatever detail its name carries; "" if the counter is not known.
func CounterText(name string) string {
	name, _, _ = strings.Cut(name, ":")
	for _, d := range spool.Datasets() {
		name = strings.TrimSuffix(name, "_"+string(d))
	}
	if rest, ok := strings.CutPrefix(name, "map.dead_"); ok && rest != "" {
		name = "map.dead"
	}
	for _, c := range runCounters() {
		if c.Name == name {
			return c.Text
		}
	}
	return ""
}
