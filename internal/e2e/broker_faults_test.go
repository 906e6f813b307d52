package e2e_test

import (
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
)

// brokerFault is something that happens to the broker in the middle of an import.
type brokerFault struct {
	name string
	// before the queue is declared; nil: nothing.
	before func(*faultRig)
	hurt   func(*faultRig)
	lost   bool // what lies in the queue goes with it, by the operator's own hand
	own    bool // hurts the whole broker, so that it needs one of its own
}

// faultRig is what a fault can lay hands on.
type faultRig struct {
	*world
	node  *brokertest.Node
	vhost *brokertest.VHost
	proxy *brokertest.Proxy // on the connector's line to the broker
}

var brokerFaults = []brokerFault{
	{name: "stopped and started twice", own: true, hurt: func(r *faultRig) {
		for range 2 {
			r.node.Stop(r.t)
			r.node.Restart(r.t)
			r.more(100)
		}
	}},
	{name: "killed", own: true, hurt: func(r *faultRig) {
		r.node.Sync(r.t)
		r.node.Kill(r.t)
		r.node.Restart(r.t)
	}},
	{name: "connections closed by the broker", hurt: func(r *faultRig) { r.vhost.CloseConnections() }},
	{name: "memory alarm", own: true, hurt: func(r *faultRig) {
		r.node.MemoryAlarm(r.t, true)
		time.Sleep(2 * time.Second)
		r.node.MemoryAlarm(r.t, false)
	}},
	{name: "queue full, then drained", before: func(r *faultRig) {
		// RabbitMQ 3.10 applies a length before the overflow of the same policy:
		// set together on a queue with a backlog, they drop its head.
		r.vhost.Policy("^push_", map[string]any{"max-length": 1_000_000, "overflow": "reject-publish"})
	}, hurt: func(r *faultRig) {
		r.vhost.Policy("^push_", map[string]any{"max-length": 5, "overflow": "reject-publish"})
		time.Sleep(3 * time.Second)
		r.vhost.ClearPolicy()
	}},
	{name: "line cut", hurt: func(r *faultRig) { r.proxy.Cut() }},
	{name: "line silent without a FIN", hurt: func(r *faultRig) {
		r.proxy.Stall()
		time.Sleep(2 * time.Second)
		r.proxy.Heal()
	}},
	{name: "answers lost", hurt: func(r *faultRig) {
		r.proxy.Swallow()
		time.Sleep(2 * time.Second)
		r.proxy.Heal()
	}},
	{name: "credentials changed", hurt: func(r *faultRig) {
		r.vhost.SetPassword("another")
		must(r.t, r.platform.SetBroker(r.vhost.URL()))
		r.worker.SetBroker(r.vhost.URL())
		r.vhost.CloseConnections()
	}},
	{name: "queue deleted", lost: true, hurt: func(r *faultRig) { r.vhost.DeleteQueue("push_" + connectorID) }},
}

// more waits until n more messages have arrived, or the import is over.
func (r *faultRig) more(n int) {
	r.t.Helper()
	want := r.worker.Counts().Messages + n
	total := len(r.api.ExpectedIDs())
	r.eventually("more messages", func() bool { m := r.worker.Counts().Messages; return m >= want || m >= total })
}

// TestBrokerFaults hurts the broker in mid-import; each import ends by itself
// and is complete. IOCS sets how large it is (default 1,000).
func TestBrokerFaults(t *testing.T) {
	t.Parallel()
	iocs := 1000
	if s := os.Getenv("IOCS"); s != "" {
		iocs, _ = strconv.Atoi(s)
	}
	t.Run("the whole broker", func(t *testing.T) {
		t.Parallel()
		node := brokertest.Start(t)
		for _, f := range brokerFaults {
			if f.own {
				t.Run(f.name, func(t *testing.T) { f.run(t, node, iocs) })
			}
		}
	})
	for _, f := range brokerFaults {
		if !f.own {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				f.run(t, brokertest.Shared(t), iocs)
			})
		}
	}
}

// run imports so many IOCs through the node, and hurts it on the way.
func (f brokerFault) run(t *testing.T, node *brokertest.Node, iocs int) {
	t.Helper()
	vhost := node.VHost(t)
	u, err := url.Parse(vhost.URL())
	must(t, err)
	port, _ := strconv.Atoi(u.Port())
	proxy := brokertest.NewProxy(t, u.Hostname(), port)
	w := newWorld(t, options{
		amqp: vhost.URL(),
		api:  threatmatch.Options{Generate: data.Options{Seed: 9, Profiles: 30, Alerts: 30, Reports: 10, IOCs: iocs}},
		platform: opencti.Options{Connection: func(c *opencti.Connection) {
			c.Host, c.Port = proxy.Host, proxy.Port
		}},
	})
	w.env["BUNDLE_MAX_OBJECTS"] = "500"
	w.env["MQ_CONFIRM_WINDOW"] = "100"
	r := &faultRig{w, node, vhost, proxy}
	if f.before != nil {
		f.before(r)
	}
	p := w.start("run", "--once")
	r.more(300)
	if p.ended() {
		t.Fatalf("the import was over before the fault:\n%s", tail(p.output()))
	}
	f.hurt(r)
	if code := p.code(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, tail(p.output()))
	}
	if f.lost {
		return
	}
	w.intact()
	t.Logf("objects %d, sent again %d", w.worker.Counts().Distinct, w.worker.Counts().Repeats)
}
