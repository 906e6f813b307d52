package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/sim/worker"
)

// large is a source whose alerts a worker does not name when it refuses them.
type large struct{ *data.Generated }

func (l large) Item(d data.Dataset, id int) ([]json.RawMessage, bool) {
	objects, ok := l.Generated.Item(d, id)
	for i, raw := range objects {
		var o map[string]any
		if json.Unmarshal(raw, &o) == nil && o["type"] == "report" {
			o["description"] = strings.Repeat("long ", 12_000)
			objects[i], _ = json.Marshal(o)
		}
	}
	return objects, ok
}

// TestRefusedByThePlatform: 20 refusals of each class become dead letters with
// OpenCTI's words, though the process was killed before it looked; fetched anew
// once OpenCTI takes them, IOCs among them, all are healed.
func TestRefusedByThePlatform(t *testing.T) {
	t.Parallel()
	source := large{data.NewGenerated(data.Options{Seed: 8, Profiles: 150, Alerts: 20, Start: time.Now().Add(-time.Minute)})}
	w := newWorld(t, options{api: threatmatch.Options{Source: source}})
	items := map[string]string{
		"relationship uses":    "FORBIDDEN_ACCESS You are not allowed to do this.",
		"relationship targets": "MISSING_REFERENCE_ERROR Element(s) not found",
		"report":               "PayloadTooLargeError: request entity too large",
		"note":                 "VALIDATION_ERROR \x1b[31mThe content is not valid",
	}
	w.worker.Behave(worker.Behaviour{Refuse: items, RefuseMost: 20})
	told := w.run(0, "run", "--once") // does not wait for the verdicts, but may come to see some
	w.drained()
	source.Publish(data.IOCs, 200, time.Now())
	w.worker.Behave(worker.Behaviour{Refuse: map[string]string{"indicator": "FUNCTIONAL_ERROR Marking definition not allowed for the user"}, RefuseMost: 20})
	told += w.run(0, "run", "--once")
	w.drained()
	if refused := w.worker.Counts().Refused; refused != 100 {
		t.Fatalf("got %d refusals, want 100", refused)
	}
	p := w.start("run")
	w.eventually("the works are asked for", func() bool {
		return strings.Count(told+p.output(), "OpenCTI refused objects of a run") == 2 || p.ended()
	})
	p.kill()
	got := w.dead(t)
	for _, kind := range []string{"no right", "missing reference", "too large", "other", "marking"} {
		if n := got.byKind[kind]; n != 20 {
			t.Errorf("%d letters that begin with %q, want 20", n, kind)
		}
	}
	out := w.run(0, "spool", "dead")
	if !strings.Contains(out, "allow the marking") || strings.Contains(out, "\x1b") {
		t.Errorf("spool dead lacks what to change, or shows escapes:\n%s", out)
	}
	if out := w.run(0, "spool", "find", got.first); !strings.Contains(out, "refused by OpenCTI") {
		t.Errorf("find says nothing of the refusal:\n%s", out)
	}
	if out := w.run(0, "status"); !strings.Contains(out, "100 objects refused by OpenCTI's workers") {
		t.Errorf("the status of a stopped connector says nothing of the refusals:\n%s", out)
	}

	w.worker.Behave(worker.Behaviour{})
	pages := w.api.Stats().Total("objects")
	w.run(0, "spool", "retry", "--all", "--yes")
	w.run(0, "run", "--once")
	w.drained()
	if got := w.dead(t); got.open != 0 {
		t.Errorf("got %d open letters after the retry, want 0: %v", got.open, got.byKind)
	}
	if missing := w.worker.Missing(w.api.ExpectedIDs()); len(missing) > 0 {
		t.Errorf("%d objects are missing after the retry, such as %s", len(missing), missing[0])
	}
	t.Logf("pages asked for by the retry of 20 IOCs and a run: %d", w.api.Stats().Total("objects")-pages)
}

// TestRefusedAuthor: what refers to an object that OpenCTI refused is sent all the
// same: whether it takes that is for OpenCTI to say.
func TestRefusedAuthor(t *testing.T) {
	t.Parallel()
	const dependants = 1000
	source := data.NewGenerated(data.Options{Seed: 8, Alerts: 1, Start: time.Now().Add(-time.Minute)})
	w := newWorld(t, options{api: threatmatch.Options{Source: source}})
	w.worker.Behave(worker.Behaviour{Refuse: map[string]string{"identity": "FORBIDDEN_ACCESS You are not allowed to do this."}})
	told := w.run(0, "run", "--once")
	w.drained()
	p := w.start("run")
	w.eventually("the work is asked for", func() bool { return strings.Contains(told+p.output(), "OpenCTI refused objects of a run") || p.ended() })
	p.stop()
	source.Publish(data.IOCs, dependants, time.Now())
	before := w.worker.Counts().Messages
	w.run(0, "run", "--once")
	w.drained()
	if n := w.worker.Counts().Messages - before; n < dependants {
		t.Errorf("got %d messages after the author was refused, want %d and more", n, dependants)
	}
	var letters []inspect.Dead
	must(t, json.Unmarshal([]byte(w.run(0, "spool", "dead", "--json", "--limit", "5000")), &letters))
	author := false
	for _, d := range letters {
		if d.Class != "rejected" {
			t.Errorf("got a letter of class %s: %s %s", d.Class, d.STIX, d.Error)
		}
		author = author || strings.HasPrefix(d.STIX, "identity--")
	}
	if !author {
		t.Error("there is no letter of the author: this shows nothing")
	}
}

type deadCount struct {
	open   int
	byKind map[string]int
	first  string
}

func (w *world) dead(t *testing.T) deadCount {
	t.Helper()
	c := deadCount{byKind: map[string]int{}}
	var letters []inspect.Dead
	must(t, json.Unmarshal([]byte(w.run(0, "spool", "dead", "--json", "--limit", "1000")), &letters))
	for _, d := range letters {
		if d.Class != "rejected" || d.Stage != "platform" || !d.Healed.IsZero() {
			continue
		}
		c.open++
		kind, _, _ := strings.Cut(d.Error, ":")
		c.byKind[kind]++
		c.first = d.STIX
	}
	return c
}
