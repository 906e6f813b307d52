package e2e_test

import (
	"encoding/json"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
)

// TestSpoolFullWhileTheBrokerIsAway fills a small spool while nothing can be
// delivered: fetch pauses instead of failing, and the import ends by itself
// once the broker is back.
func TestSpoolFullWhileTheBrokerIsAway(t *testing.T) {
	node := brokertest.Start(t)
	w := newWorld(t, options{amqp: node.VHost(t).URL(), api: threatmatch.Options{
		Generate: data.Options{Seed: 5, Profiles: 40, Alerts: 40, Reports: 10, IOCs: 25000},
	}})
	w.env["SPOOL_MAX_SIZE"] = "8MiB"
	w.env["BUNDLE_MAX_WAIT"] = "PT1S"
	p := w.start("run", "--once")
	w.eventually("the first message", func() bool { return w.worker.Counts().Messages > 0 || p.ended() })
	node.Stop(t)
	var live, limit int64
	w.eventually("the spool is full", func() bool {
		var s struct {
			Live int64 `json:"live_bytes"`
			Max  int64 `json:"max_bytes"`
		}
		if err := json.Unmarshal([]byte(w.run(0, "spool", "stats", "--json")), &s); err != nil {
			t.Fatal(err)
		}
		live, limit = s.Live, s.Max
		return live >= limit
	})
	asked := len(w.api.Stats().Answered)
	time.Sleep(2 * time.Second)
	if now := len(w.api.Stats().Answered); now > asked+10 {
		t.Errorf("fetch goes on at %d of %d bytes: %d requests more", live, limit, now-asked)
	}
	if p.ended() {
		t.Fatalf("the connector ended:\n%s", tail(p.output()))
	}
	node.Restart(t)
	if code := p.code(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, tail(p.output()))
	}
	// A small spool forgets what it sent, and OpenCTI may not have imported it
	// yet when it is asked: what is held for that goes out in the next run.
	w.drained()
	w.run(0, "run", "--once")
	w.intact()
}
