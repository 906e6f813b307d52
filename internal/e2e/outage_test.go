package e2e_test

import (
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
)

// TestEverythingAroundFails stops and starts RabbitMQ, ThreatMatch and OpenCTI
// in the middle of one import, which must end by itself.
func TestEverythingAroundFails(t *testing.T) {
	t.Parallel()
	node := brokertest.Start(t)
	w := newWorld(t, options{
		amqp: node.VHost(t).URL(),
		race: true,
		api: threatmatch.Options{
			Latency: 20 * time.Millisecond,
			Generate: data.Options{
				Seed: 3, Profiles: 100, Alerts: 100, Reports: 30, IOCs: 3000,
			},
		},
	})
	w.env["BUNDLE_MAX_WAIT"] = "PT1S"
	p := w.start("run", "--once")
	after := func(n int, what string, f func()) {
		t.Helper()
		w.eventually(what, func() bool { return w.worker.Counts().Messages >= n || p.ended() })
		if p.ended() {
			t.Fatalf("the import ended before: %s", what)
		}
		t.Logf("%d messages: %s", w.worker.Counts().Messages, what)
		f()
	}
	pause := func(f func()) func() { return func() { f(); time.Sleep(time.Second) } }
	after(10, "RabbitMQ stops", pause(func() { node.Stop(t) }))
	node.Restart(t)
	after(100, "ThreatMatch stops", pause(w.api.Stop))
	must(t, w.api.Start())
	after(200, "OpenCTI stops", pause(w.platform.Stop))
	must(t, w.platform.Start())
	after(300, "RabbitMQ is killed", pause(func() { node.Kill(t) }))
	node.Restart(t)
	if code := p.code(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, tail(p.output()))
	}
	w.intact()
}
