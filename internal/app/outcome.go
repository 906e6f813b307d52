package app

import (
	"fmt"
	"strings"

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
		n         int64
		one, many string
	}{
		{r.Counters["fetch.parked"], "item parked", "items parked"},
		{r.Counters["fetch.dead"], "dead letter of fetch", "dead letters of fetch"},
		{r.Counters["fetch.gaps"], "span that ThreatMatch did not give in full", "spans that ThreatMatch did not give in full"},
		{r.Counters["fetch.unusable"], "list entry without an id", "list entries without an id"},
		{r.Counters["map.dead"] - r.Counters["map.dead_unresolved"], "dead letter of map", "dead letters of map"},
		{r.Counters["deliver.dead"], "dead letter of deliver", "dead letters of deliver"},
	} {
		switch {
		case c.n == 1:
			parts = append(parts, "1 "+c.one)
		case c.n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.many))
		}
	}
	return strings.Join(parts, ", ")
}
