package worker

import (
	"encoding/json"
	"testing"

	"threatmatch-connector/internal/sim/opencti"
)

// push hands a bundle of the objects to the platform's API.
func (r *rig) push(objects ...map[string]any) {
	r.t.Helper()
	for _, o := range objects {
		delete(o, "nb_deps") // the splitter's
	}
	text, err := json.Marshal(map[string]any{"type": "bundle", "id": bundleID, "spec_version": "2.1", "objects": objects})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.platform.Push(connectorID, r.work, text); err != nil {
		r.t.Fatal(err)
	}
}

// TestPushedBundles: a bundle becomes a message for each object, announced by
// who splits it, whatever the version and however many workers there are.
func TestPushedBundles(t *testing.T) {
	for _, version := range opencti.ProfileNames() {
		t.Run(version, func(t *testing.T) {
			r := newRig(t, version, Options{Policy: true, Parallel: 2, Prefetch: 1})
			objects := good()
			for i, j := 0, len(objects)-1; i < j; i, j = i+1, j-1 {
				objects[i], objects[j] = objects[j], objects[i] // the splitter puts them in order
			}
			r.push(objects...)
			r.settled(5)
			if v := r.worker.Violations(); len(v) > 0 {
				t.Errorf("violations %v", v)
			}
			w, _ := r.platform.Work(r.work)
			if w.Expected != 5 || w.Processed != 5 || !w.Pushed {
				t.Errorf("work %+v, want 5 expected and processed", w)
			}
			if got := r.worker.Works()[r.work]; got != (WorkCounts{5, 5}) {
				t.Errorf("work counts %+v", got)
			}
		})
	}
}

// TestPushedAlone: one object is split by nobody; only newer platforms announce it.
func TestPushedAlone(t *testing.T) {
	for _, version := range opencti.ProfileNames() {
		t.Run(version, func(t *testing.T) {
			r := newRig(t, version, Options{Policy: true})
			r.push(good()[0])
			r.settled(1)
			told := r.platform.Profile().SplitsPushed
			if got := r.worker.Counts().ByRule["unannounced"]; (got == 0) != told {
				t.Errorf("%d unannounced, the platform tells: %v", got, told)
			}
			if w, _ := r.platform.Work(r.work); w.Expected != map[bool]int{true: 1}[told] {
				t.Errorf("work %+v", w)
			}
		})
	}
}

// TestPushEndedTooEarly: an end that is told before a bundle was split is found, and
// by the old rules costs what is left of it.
func TestPushEndedTooEarly(t *testing.T) {
	r := newRig(t, "6.9.17", Options{})
	r.worker.Behave(Behaviour{Paused: true})
	for r.worker.Consuming() > 0 {
		r.worker.Behave(Behaviour{Paused: true})
	}
	r.push(good()[:2]...)
	r.platform.Finish(r.work)
	r.worker.Behave(Behaviour{})
	r.until("splitting", func(c Counts) bool { return c.Split == 1 })
	if v := r.platform.Stats().Violations; len(v) != 1 || v[0].Rule != "work" {
		t.Errorf("violations %v, want one of expectations after toProcessed", v)
	}
}
