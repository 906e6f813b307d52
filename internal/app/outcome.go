package app

import (
	"fmt"
	"strings"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// shortcoming says what a delivered run lacks; "" if nothing. Objects whose target never came do not count: the run
// is not to blame for them.
func shortcoming(r spool.Run) string {
	var parts []string
	for _, d := range spool.Datasets() {
		if dr, ok := r.Datasets[d]; ok && dr.Status == spool.DatasetFailed {
			parts = append(parts, fmt.Sprintf("dataset %s failed (%s)", d, dr.Detail))
		}
	}
	for _, c := range []struct {
		n           int64
		noun, which string
	}{
		{r.Counters["fetch.parked"], "item", "parked"},
		{r.Counters["fetch.dead"], "dead letter", "of fetch"},
		{r.Counters["fetch.gaps"], "span", "that ThreatMatch did not give in full"},
		{r.Counters["fetch.unusable"], "list entry", "without an id"},
		{r.Counters["map.dead"] - r.Counters["map.dead_unresolved"], "dead letter", "of map"},
		{r.Counters["deliver.dead"], "dead letter", "of deliver"},
	} {
		if c.n > 0 {
			parts = append(parts, inspect.Count(c.n, c.noun)+" "+c.which)
		}
	}
	return strings.Join(parts, ", ")
}
