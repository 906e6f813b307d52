package e2e_test

import (
	"testing"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
)

// platformFault is something that OpenCTI does in the middle of an import.
type platformFault struct {
	name    string
	version string
	early   func(*world) // before the connector starts
	hurt    func(*world) // in mid-import; nil: nothing
	lost    bool         // what was sent before goes with it, by the user's own order
}

var platformFaults = []platformFault{
	{name: "nothing, 6.7.5", version: "6.7.5"},
	{name: "nothing, 6.8.10", version: "6.8.10"},
	{name: "nothing, 7.260318", version: "7.260318"},
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
	{name: "state reset", hurt: func(w *world) { must(w.t, w.platform.Reset(connectorID)) }},
	{name: "state reset, 6.8.10", version: "6.8.10", hurt: func(w *world) { must(w.t, w.platform.Reset(connectorID)) }},
	{name: "connector deleted", hurt: func(w *world) {
		w.dead = true
		must(w.t, w.platform.Forget(connectorID))
	}},
	{name: "work deleted", lost: true, hurt: func(w *world) { w.platform.DeleteWork(w.platform.Works()[0].ID) }},
}

// TestPlatformFaults lets OpenCTI misbehave in mid-import, in each version; the
// import ends by itself and is complete.
func TestPlatformFaults(t *testing.T) {
	for _, f := range platformFaults {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t, options{
				api:      threatmatch.Options{Generate: data.Options{Seed: 9, Profiles: 30, Alerts: 30, Reports: 10, IOCs: 6000}},
				platform: opencti.Options{Version: f.version},
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
			if !f.lost {
				w.intact()
			}
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
