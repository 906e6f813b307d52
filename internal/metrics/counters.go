package metrics

import (
	"strings"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/pipeline/mapstage"
	"threatmatch-connector/spool"
)

// counterName explains one counter of a run.
type counterName struct{ Name, Text string }

// runCounters lists every counter of a run, with the stage before its name. A detail may follow: _<dataset> where the
// text says so, _<class> for dead letters, and after a colon what the mapper found.
func runCounters() []counterName {
	all := []counterName{
		{"fetch.lists", "answers with a list"},
		{"fetch.listed", "items that the lists named; also by dataset"},
		{"fetch.items", "items fetched; also by dataset"},
		{"fetch.details", "details of the portal fetched (threatmatch.details)"},
		{"fetch.details_failed", "details of the portal that could not be fetched; their items came without them"},
		{"fetch.groups", "groups of IOCs asked for, by id/name behind a colon"},
		{"fetch.pages", "pages of IOCs fetched"},
		{"fetch.pages_of", "of these, by STIX type behind a colon"},
		{"fetch.objects", "IOC objects fetched; also by dataset"},
		{"fetch.gaps", "spans that the API could not give in full; each is a dead letter"},
		{"fetch.unusable", "list entries that name no id; they are in a dead letter"},
		{"fetch.retries", "tries that failed and are made again in the run"},
		{"fetch.parked", "items parked: a later run tries them again; also by dataset"},
		{"fetch.dead", "items given up as dead letters; also by dataset"},
		{"fetch.dropped", "open requests dropped, since their dataset was switched off or failed"},
	}
	for _, c := range mapstage.Counters() {
		all = append(all, counterName{"map." + c.Name, c.Text})
	}
	for _, c := range mapping.CountTable() {
		all = append(all, counterName{"map." + c.Name, string(c.Effect) + ": " + c.Text})
	}
	return append(all,
		counterName{"deliver.messages", "messages that the broker confirmed"},
		counterName{"deliver.dead", "messages that became dead letters"},
	)
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
