package e2e_test

import (
	"testing"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
)

// platformFault is something that OpenCTI does in the middle of an import.
type platformFault struct {
	name  string
	early func(*world) // before the connector starts
	hurt  func(*world) // in mid-import; nil: nothing
}

var platformFaults = []platformFault{
	{name: "down at the start", early: func(w *world) {
		w.platform.Stop()
		time.AfterFunc(3*time.Second, func() { _ = w.platform.Start() })
	}},
	{name: "down in the middle", hurt: func(w *world) {
		w.platform.Stop()
		time.Sleep(2 * time.Second)
		must(w.t, w.platform.Start())
	}},
	{name: "stale echoes", hurt: func(w *world) { w.platform.StaleEcho(3) }},
	{name: "empty echoes of a lagging index", hurt: func(w *world) { w.platform.EmptyEcho(1) }},
}

// TestPlatformFaults lets OpenCTI be down or answer from a lagging index; the
// import ends by itself and is complete.
func TestPlatformFaults(t *testing.T) {
	t.Parallel()
	for _, f := range platformFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{
				api: threatmatch.Options{Generate: data.Options{Seed: 9, Profiles: 30, Alerts: 30, Reports: 10, IOCs: 1500}},
			})
			w.env["BUNDLE_MAX_OBJECTS"] = "500"
			if f.early != nil {
				f.early(w)
			}
			p := w.start("run", "--once")
			if f.hurt != nil {
				w.eventually("the import is under way", func() bool { return w.worker.Counts().Messages > 300 || p.ended() })
				if p.ended() {
					t.Fatalf("the import was over before:\n%s", tail(p.output()))
				}
				f.hurt(w)
			}
			if code := p.code(); code != 0 {
				t.Fatalf("exit code %d\n%s", code, tail(p.output()))
			}
			w.intact()
			for mutation := range w.platform.Stats().Mutations {
				if !harmless[mutation] {
					t.Errorf("the connector sent %s", mutation)
				}
			}
		})
	}
}

// harmless are the only mutations that a connector of ours sends.
var harmless = map[string]bool{
	"registerConnector": true, "pingConnector": true, "workAdd": true, "workEdit.addExpectations": true,
	"workEdit.toProcessed": true, "workEdit.reportExpectation": true, "workEdit.delete": true,
}
