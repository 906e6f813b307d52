package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/sim/worker"
)

// TestRefusedByThePlatform: 20 refusals of each class become dead letters with
// OpenCTI's words, though the process was killed before it looked; fetched anew
// once OpenCTI takes them, all are healed.
func TestRefusedByThePlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{api: threatmatch.Options{Generate: data.Options{Seed: 8, Profiles: 60, Alerts: 60}}})
	refuse := map[string]string{
		"report":       "FORBIDDEN_ACCESS You are not allowed to do this.",
		"relationship": "FUNCTIONAL_ERROR \x1b[31mMarking definition not allowed for the user",
	}
	w.worker.Behave(worker.Behaviour{Refuse: refuse, RefuseMost: 20})
	w.run(0, "run", "--once") // it does not wait
	w.drained()
	refused := w.worker.Counts().Refused
	p := w.start("run")
	w.eventually("the work is asked for", func() bool { return strings.Contains(p.output(), "OpenCTI refused objects of a run") || p.ended() })
	p.kill()
	got := w.dead(t)
	for kind, words := range refuse {
		if n := got.byType[kind]; n < 20 {
			t.Errorf("%d letters of %s (%q), want 20", n, kind, words)
		}
	}
	if got.open != refused {
		t.Fatalf("got %d open letters for %d refusals: %v", got.open, refused, got.byType)
	}
	out := w.run(0, "spool", "dead")
	if !strings.Contains(out, "allow the marking") || strings.Contains(out, "\x1b") {
		t.Errorf("spool dead lacks what to change, or shows escapes:\n%s", out)
	}
	if out := w.run(0, "spool", "find", got.first); !strings.Contains(out, "refused by OpenCTI") {
		t.Errorf("find says nothing of the refusal:\n%s", out)
	}

	w.worker.Behave(worker.Behaviour{})
	w.run(0, "spool", "retry", "--all", "--yes")
	w.run(0, "run", "--once")
	w.drained()
	if got := w.dead(t); got.open != 0 {
		t.Errorf("got %d open letters after the retry, want 0: %v", got.open, got.byType)
	}
	if missing := w.worker.Missing(w.api.ExpectedIDs()); len(missing) > 0 {
		t.Errorf("%d objects are missing after the retry, such as %s", len(missing), missing[0])
	}
}

type deadCount struct {
	open   int
	byType map[string]int
	first  string
}

func (w *world) dead(t *testing.T) deadCount {
	t.Helper()
	c := deadCount{byType: map[string]int{}}
	var letters []inspect.Dead
	must(t, json.Unmarshal([]byte(w.run(0, "spool", "dead", "--json", "--limit", "1000")), &letters))
	for _, d := range letters {
		if d.Class != "rejected" || d.Stage != "platform" || !d.Healed.IsZero() {
			continue
		}
		c.open++
		kind, _, _ := strings.Cut(d.STIX, "--")
		c.byType[kind]++
		c.first = d.STIX
	}
	return c
}
