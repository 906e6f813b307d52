package pipeline

import (
	"slices"
	"strings"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/spool"
)

// RunCounters lists every counter that a run has, with the stage before its
// name. A detail may follow: _<dataset> where the text says so, _<class> of dead
// letters, and what the mapper found behind a colon.
func RunCounters() []CounterName {
	all := []CounterName{
		{"fetch.lists", "answers with a list"},
		{"fetch.listed", "items that the lists named; also by dataset"},
		{"fetch.items", "items fetched; also by dataset"},
		{"fetch.groups", "groups of IOCs asked for, by id/name behind a colon"},
		{"fetch.pages", "pages of IOCs fetched"},
		{"fetch.pages_of", "of these, by STIX type behind a colon"},
		{"fetch.objects", "IOC objects fetched; also by dataset"},
		{"fetch.gaps", "spans of IOCs that the API could not give in full; each is a dead letter"},
		{"fetch.retries", "tries that failed and are made again in the run"},
		{"fetch.parked", "items parked: a later run tries them again; also by dataset"},
		{"fetch.dead", "items given up as dead letters; also by dataset"},
		{"fetch.dropped", "open requests dropped, since their dataset was switched off or failed"},
	}
	for _, c := range MapCounters() {
		all = append(all, CounterName{mapCounterPrefix + c.Name, c.Text})
	}
	for _, c := range mapping.CountTable() {
		all = append(all, CounterName{mapCounterPrefix + c.Name, string(c.Effect) + ": " + c.Text})
	}
	return append(all,
		CounterName{"deliver.messages", "messages that the broker confirmed"},
		CounterName{"deliver.dead", "messages that became dead letters"},
	)
}

// ExplainCounter returns the text of a run's counter, whatever detail its name carries.
func ExplainCounter(name string) (text string, ok bool) {
	name, _, _ = strings.Cut(name, ":")
	for _, d := range spool.Datasets() {
		name = strings.TrimSuffix(name, "_"+string(d))
	}
	if rest, ok := strings.CutPrefix(name, mapCounterPrefix+"dead_"); ok && rest != "" {
		name = mapCounterPrefix + "dead"
	}
	i := slices.IndexFunc(RunCounters(), func(c CounterName) bool { return c.Name == name })
	if i < 0 {
		return "", false
	}
	return RunCounters()[i].Text, true
}
