package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
)

// scene is one import during which something happens to the broker.
type scene struct {
	*world
	t     *testing.T
	node  *brokertest.Node
	vhost *brokertest.VHost
	proxy *brokertest.Proxy
	p     *process
	total int
}

// at waits until so many percent of the import arrived.
func (s *scene) at(percent int) {
	s.t.Helper()
	s.eventually("the import goes on", func() bool {
		return s.worker.Counts().Distinct >= s.total*percent/100 || s.p.ended()
	})
	if s.p.ended() {
		s.t.Fatalf("the import ended before %d %%", percent)
	}
}

// TestBrokerFaults imports indicators while the broker forgets its queue,
// refuses, cuts lines and so on. The import ends by itself each time, and
// nothing is missing.
func TestBrokerFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fail func(s *scene)
	}{
		{"queue deleted", func(s *scene) {
			s.at(30)
			s.api.Stop() // so that the queue runs empty: what is in it would be gone with it
			s.eventually("everything fetched was worked off", func() bool {
				var held struct{ Records, Bundles int }
				must(s.t, json.Unmarshal([]byte(s.run(0, "spool", "stats", "--json")), &held))
				return held.Records+held.Bundles+s.vhost.Depth("push_"+connectorID) == 0
			})
			s.vhost.DeleteQueue("push_" + connectorID)
			must(s.t, s.api.Start())
		}},
		{"credentials changed", func(s *scene) {
			s.at(30)
			s.vhost.SetPassword("another one")
			must(s.t, s.platform.SetBroker(s.vhost.URL()))
			s.worker.SetBroker(s.vhost.URL())
			s.vhost.CloseConnections()
		}},
		{"queue full", func(s *scene) {
			s.vhost.Policy("^push_", map[string]any{"max-length": 100, "overflow": "reject-publish"})
			s.at(60)
			s.vhost.ClearPolicy()
		}},
		{"connections closed", func(s *scene) { s.at(30); s.vhost.CloseConnections() }},
		{"line cut", func(s *scene) { s.at(20); s.proxy.Cut(); s.at(60); s.proxy.Cut() }},
		{"line dead without a word", func(s *scene) { s.at(30); s.proxy.Swallow(); time.Sleep(time.Second); s.proxy.Cut(); s.proxy.Heal() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			brokerFault(t, brokertest.Shared(t), c.fail)
		})
	}
}

// TestNodeFaults does the same while the whole node stops, dies and runs out of memory.
func TestNodeFaults(t *testing.T) {
	stops := 1
	if os.Getenv("OBJECTS") != "" {
		stops = 5
	}
	node := brokertest.Start(t)
	for _, c := range []struct {
		name string
		fail func(s *scene)
	}{
		{fmt.Sprintf("stopped and started %d times", stops), func(s *scene) {
			for i := range stops {
				s.at(20 + 12*i)
				s.node.Stop(s.t)
				s.node.Restart(s.t)
			}
		}},
		{"killed", func(s *scene) { s.at(40); s.node.Kill(s.t); s.node.Restart(s.t) }},
		{"memory alarm", func(s *scene) {
			s.at(30)
			s.node.MemoryAlarm(s.t, true)
			time.Sleep(2 * time.Second)
			s.node.MemoryAlarm(s.t, false)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { brokerFault(t, node, c.fail) })
	}
}

// brokerFault imports OBJECTS indicators, 1,500 if it is not said.
func brokerFault(t *testing.T, node *brokertest.Node, fail func(*scene)) {
	objects := 1500
	if s := os.Getenv("OBJECTS"); s != "" {
		objects, _ = strconv.Atoi(s)
	}
	vhost := node.VHost(t)
	proxy := brokertest.NewProxy(t, node.Host, node.Port)
	w := newWorld(t, options{
		amqp:     vhost.URL(),
		api:      threatmatch.Options{PageSize: objects / 30, Latency: 60 * time.Millisecond, Generate: data.Options{Seed: 4, IOCs: objects}},
		platform: opencti.Options{Connection: func(c *opencti.Connection) { c.Host, c.Port = proxy.Host, proxy.Port }},
	})
	w.env["BUNDLE_MAX_WAIT"] = "PT1S"
	w.env["BUNDLE_MAX_OBJECTS"], w.env["THREATMATCH_IMPORT_PROFILES"], w.env["THREATMATCH_IMPORT_ALERTS"] = strconv.Itoa(objects/10), "false", "false"
	w.env["THREATMATCH_IMPORT_REPORTS"] = "false"
	begin := time.Now()
	s := &scene{world: w, t: t, node: node, vhost: vhost, proxy: proxy, total: objects}
	s.p = w.start("run", "--once")
	fail(s)
	if code := s.p.code(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, tail(s.p.output()))
	}
	w.delivered()
	c := w.worker.Counts()
	t.Logf("| %s | %d objects | 0 missing | %d sent again | %.0f s |", t.Name(), c.Distinct, c.Repeats, time.Since(begin).Seconds())
}

// delivered is intact for imports in which messages were surely sent twice:
// those are expected twice as well.
func (w *world) delivered() {
	w.t.Helper()
	w.drained()
	if missing := w.worker.Missing(w.api.ExpectedIDs(data.IOCs)); len(missing) > 0 {
		w.t.Errorf("%d objects are missing, such as %v", len(missing), missing[:min(5, len(missing))])
	}
	for i, v := range w.worker.Violations() {
		if i == 10 {
			break
		}
		w.t.Errorf("violation: %+v", v)
	}
	if c := w.worker.Counts(); c.Refused > 0 || c.Lost > 0 || c.DroppedDead > 0 {
		w.t.Errorf("refused %d, undecodable %d, of dead works %d", c.Refused, c.Lost, c.DroppedDead)
	}
	for id, n := range w.worker.Works() {
		work, ok := w.platform.Work(id)
		if ok && (work.Expected < n.Distinct || work.Expected > n.Received) {
			w.t.Errorf("work %s: %d expected, %d distinct messages, %d in all", id, work.Expected, n.Distinct, n.Received)
		}
	}
	w.harmless()
}

// harmless: nothing is ever asked of OpenCTI but this.
func (w *world) harmless() {
	w.t.Helper()
	allowed := map[string]bool{
		"registerConnector": true, "pingConnector": true, "workAdd": true, "workEdit.addExpectations": true,
		"workEdit.reportExpectation": true, "workEdit.toProcessed": true, "workEdit.delete": true,
	}
	for name := range w.platform.Stats().Mutations {
		if !allowed[name] {
			w.t.Errorf("the mutation %s was sent", name)
		}
	}
	for _, v := range w.platform.Stats().Violations {
		w.t.Errorf("violation at the platform: %+v", v)
	}
}
