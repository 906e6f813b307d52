package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
)

// TestTwoConnectorsUnderOneID: two processes with spools of their own and one connector id
// each find the other by what it writes on OpenCTI, and say so in log and status. A second
// process on the same spool does not start.
func TestTwoConnectorsUnderOneID(t *testing.T) {
	t.Parallel()
	const line = "somebody else writes this connector's entry on OpenCTI"
	w := newWorld(t, options{api: threatmatch.Options{Generate: data.Options{Seed: 5, Alerts: 2}}})
	w.env["CONNECTOR_LOG_LEVEL"] = "error"
	first := w.start("run")
	w.eventually("the first has pinged", func() bool { return w.platform.Stats().Mutations["pingConnector"] > 0 || first.ended() })
	if code := w.start("run").code(); code != 1 {
		t.Errorf("a second process on the same spool: exit code %d, want 1", code)
	}
	time.Sleep(11 * time.Second) // so that neither writes at the moment in which the other looks
	spool := w.spool
	w.spool = filepath.Join(t.TempDir(), "second")
	w.env["SPOOL_DIR"] = w.spool
	second := w.start("run")
	for _, p := range []struct {
		*process
		spool string
	}{{first, spool}, {second, w.spool}} {
		w.eventually("it finds the other", func() bool { return strings.Contains(p.output(), line) || p.ended() })
		w.env["SPOOL_DIR"] = p.spool
		w.eventually("its status says so", func() bool {
			return strings.Contains(stage(w.status(), "platform").Detail, "a second connector runs under this id") || p.ended()
		})
		if out := strings.Join(strings.Fields(w.run(0, "status")), " "); !strings.Contains(out, "platform waiting: a second connector runs under this id") {
			t.Errorf("got status %q, want it to name the second connector", out)
		}
		if n := strings.Count(p.output(), line); n != 1 {
			t.Errorf("told %d times, want once", n)
		}
	}
}
