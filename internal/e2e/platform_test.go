package e2e_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/sim/worker"
)

// platformWorld has an import of some seconds, in several bundles.
func platformWorld(t *testing.T, o opencti.Options, race bool) *world {
	w := newWorld(t, options{
		race:     race,
		platform: o,
		api: threatmatch.Options{PageSize: 50, Latency: 40 * time.Millisecond, Generate: data.Options{
			Seed: 8, Profiles: 20, Alerts: 20, Reports: 5, IOCs: 1500,
		}},
	})
	w.env["BUNDLE_MAX_WAIT"], w.env["BUNDLE_MAX_OBJECTS"] = "PT1S", "100"
	return w
}

// stop ends a daemon by SIGTERM and checks its exit code.
func (p *process) stop() {
	p.t.Helper()
	must(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	if code := p.code(); code != 0 {
		p.t.Errorf("exit code %d\n%s", code, tail(p.output()))
	}
}

func TestEachPlatformVersion(t *testing.T) {
	t.Parallel()
	for _, version := range opencti.ProfileNames() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			w := platformWorld(t, opencti.Options{Version: version, HideStateTimestamp: version == "6.7.5"}, false)
			p := w.start("run", "--once")
			w.eventually("the import began", func() bool { return w.worker.Counts().Distinct > 200 || p.ended() })
			p.kill() // and goes on under the same work
			w.run(0, "run", "--once")
			w.intact()
			w.onlyHarmless()
			if n := len(w.platform.Works()); n != 1 {
				t.Errorf("%d works of one import", n)
			}
		})
	}
}

// TestResetInMidRun presses the button, or deletes the connector, in the middle
// of an import: it starts again and arrives whole.
func TestResetInMidRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, version string
		press         func(w *world) error
	}{
		{"button", "newest", func(w *world) error { return w.platform.Reset(connectorID) }},
		{"button, 6.8.10", "6.8.10", func(w *world) error { return w.platform.Reset(connectorID) }},
		{"connector deleted", "newest", func(w *world) error { return w.platform.Forget(connectorID) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := platformWorld(t, opencti.Options{Version: c.version}, true)
			w.env["CONNECTOR_DURATION_PERIOD"] = "P1D"
			p := w.start("run")
			w.eventually("the import began", func() bool { return w.worker.Counts().Distinct > 300 || p.ended() })
			must(t, c.press(w))
			w.eventually("the import starts again", func() bool {
				return p.ended() || strings.Contains(p.output(), "import starts again")
			})
			w.eventually("it is delivered", func() bool {
				return p.ended() || strings.Contains(w.platform.ConnectorState(connectorID), "last_run")
			})
			w.drained()
			p.stop()
			if missing := w.worker.Missing(w.api.ExpectedIDs()); len(missing) > 0 {
				t.Errorf("%d objects are missing, such as %v", len(missing), missing[:min(5, len(missing))])
			}
			if n := strings.Count(p.output(), "import starts again"); n != 1 {
				t.Errorf("%d resets", n)
			}
			for _, work := range w.platform.Works() {
				if counts := w.worker.Works()[work.ID]; work.Expected != counts.Distinct {
					t.Errorf("work %s: %d expected, %d distinct messages", work.ID, work.Expected, counts.Distinct)
				}
			}
			w.onlyHarmless()
		})
	}
}

func TestWorkDeletedInMidRun(t *testing.T) {
	t.Parallel()
	w := platformWorld(t, opencti.Options{}, false)
	w.worker.Behave(worker.Behaviour{Delay: time.Millisecond})
	p := w.start("run", "--once")
	w.eventually("the import began", func() bool { return w.worker.Counts().Distinct > 200 || p.ended() })
	for _, work := range w.platform.Works() {
		w.platform.DeleteWork(work.ID)
	}
	if code := p.code(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, tail(p.output()))
	}
	w.drained()
	if out := p.output(); strings.Count(out, "repull --from") != 1 {
		t.Errorf("the log does not name the repull once:\n%s", tail(out))
	}
	works := w.platform.Works()
	if len(works) != 1 || !strings.Contains(works[0].Name, "part 2") {
		t.Errorf("works %+v", works)
	}
	w.onlyHarmless()
}

// TestAnswersLost: OpenCTI carries out what it is asked and its answers are lost.
func TestAnswersLost(t *testing.T) {
	t.Parallel()
	w := platformWorld(t, opencti.Options{}, false)
	for _, route := range []string{"registerConnector", "pingConnector", "workAdd", "workEdit.addExpectations", "workEdit.toProcessed", "work", "isWorkAlive", "works"} {
		w.platform.SetFault(faults.Rule{Route: route, Kind: faults.Lost, Rate: 0.3, Times: 3})
	}
	w.run(0, "run", "--once")
	w.intact()
	w.onlyHarmless()
	if n := len(w.platform.Works()); n != 1 {
		t.Errorf("%d works of one import", n)
	}
}

// TestStoppedInMidRun: an ordered stop repeats nothing, and its exit code says
// that the spool holds the rest.
func TestStoppedInMidRun(t *testing.T) {
	t.Parallel()
	w := platformWorld(t, opencti.Options{Version: "6.8.10"}, false)
	p := w.start("run", "--once")
	w.eventually("the import began", func() bool { return w.worker.Counts().Distinct > 300 || p.ended() })
	must(t, p.cmd.Process.Signal(os.Interrupt))
	if code := p.code(); code != 4 {
		t.Errorf("exit code %d\n%s", code, tail(p.output()))
	}
	w.run(0, "run", "--once")
	w.intact()
	if c := w.worker.Counts(); c.Repeats > 0 {
		t.Errorf("%d messages sent again after an ordered stop", c.Repeats)
	}
	for _, work := range w.platform.Works() {
		if !work.ToProcessed {
			t.Error("the work was not told its end")
		}
	}
}

// onlyHarmless: nothing is ever asked of OpenCTI but what its documentation says.
func (w *world) onlyHarmless() {
	w.t.Helper()
	for mutation := range w.platform.Stats().Mutations {
		if !harmless[mutation] {
			w.t.Errorf("the connector sent %s", mutation)
		}
	}
	for _, v := range w.platform.Stats().Violations {
		w.t.Errorf("violation at the platform: %+v", v)
	}
}
