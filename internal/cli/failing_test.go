package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/inspect"
)

// TestStatusSaysWhatFails: the request that fails for the longest time stands in WHY,
// of its own run and dataset only.
func TestStatusSaysWhatFails(t *testing.T) {
	now := time.Date(2026, 3, 7, 3, 14, 27, 0, time.UTC)
	failing := func(request string, since time.Duration, tries int) inspect.Failing {
		return inspect.Failing{Run: 3, Dataset: "profiles", Request: request, Tries: tries,
			Since: now.Add(-since), Next: now.Add(20 * time.Second), Error: "answered 500 internal server error"}
	}
	s := inspect.Status{Now: now, Failing: []inspect.Failing{failing("profiles/9", 7*time.Second, 1), failing("profiles/7", 75*time.Second, 9)},
		Runs: []inspect.Run{
			{ID: 3, Phase: "fetching", Datasets: []inspect.DatasetRun{{Dataset: "profiles", Status: "open"}, {Dataset: "alerts", Status: "open"}}},
			{ID: 4, Phase: "fetching", Datasets: []inspect.DatasetRun{{Dataset: "profiles", Status: "open"}}},
		}}
	var out bytes.Buffer
	if err := printOpenRuns(&out, s); err != nil {
		t.Fatal(err)
	}
	const want = "profiles/7: answered 500 internal server error, 9 tries, next in 20s; 1 more"
	if n := strings.Count(out.String(), want); n != 1 {
		t.Errorf("got\n%s\nwant once %q", out.String(), want)
	}
	out.Reset()
	if err := printFailing(&out, s.Failing, now); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"REQUEST", "profiles/9", "profiles/7", "1m", "in 20s"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("got\n%s\nwant %q in it", out.String(), word)
		}
	}
}
