package app

import (
	"testing"

	"threatmatch-connector/spool"
)

// TestShortcoming: whatever a run skipped, gave up or postponed is reported, and leads to exit code 3.
func TestShortcoming(t *testing.T) {
	for name, want := range map[string]string{
		"fetch.items":         "",
		"map.dead_unresolved": "",
		"fetch.parked":        "2 items parked",
		"fetch.dead":          "2 dead letters of fetch",
		"fetch.gaps":          "2 spans that ThreatMatch did not give in full",
		"fetch.unusable":      "2 list entries without an id",
		"map.dead":            "2 dead letters of map",
		"deliver.dead":        "2 dead letters of deliver",
	} {
		if got := shortcoming(spool.Run{Counters: map[string]int64{name: 2}}); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	failed := spool.Run{Datasets: map[spool.Dataset]spool.DatasetRun{spool.IOCs: {Status: spool.DatasetFailed, Detail: "no time"}}}
	if got, want := shortcoming(failed), "dataset iocs failed (no time)"; got != want {
		t.Errorf("failed dataset: got %q, want %q", got, want)
	}
}
