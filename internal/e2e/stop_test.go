package e2e_test

import (
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
)

// TestStopWhileNothingAnswers: in mid-import the broker, ThreatMatch and OpenCTI
// fall silent without hanging up. SIGTERM still ends the program in order: what one
// of them may take leaves time for the others. The next start brings the rest.
func TestStopWhileNothingAnswers(t *testing.T) {
	t.Parallel()
	vhost := brokertest.Shared(t).VHost(t)
	u, err := url.Parse(vhost.URL())
	must(t, err)
	port, _ := strconv.Atoi(u.Port())
	proxy := brokertest.NewProxy(t, u.Hostname(), port)
	w := newWorld(t, options{
		amqp: vhost.URL(),
		api: threatmatch.Options{
			Latency:  10 * time.Millisecond,
			Generate: data.Options{Seed: 9, Profiles: 200, Alerts: 200, Reports: 10, IOCs: 6000},
		},
		platform: opencti.Options{Connection: func(c *opencti.Connection) {
			c.Host, c.Port = proxy.Host, proxy.Port
		}},
	})
	w.env["BUNDLE_MAX_OBJECTS"] = "200"
	w.env["BUNDLE_MAX_WAIT"] = "PT1S"
	w.env["CONNECTOR_DRAIN_TIMEOUT"] = "PT8S"
	p := w.start("run")
	w.eventually("messages arrive", func() bool { return w.worker.Counts().Messages >= 100 || p.ended() })
	w.api.SetFault(faults.Rule{Kind: faults.Hang})
	proxy.Stall()
	time.Sleep(time.Second) // messages wait for their confirms, requests for their answers
	w.platform.SetFault(faults.Rule{Kind: faults.Hang})
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail(p.output()))
	}
	if !strings.Contains(p.output(), "the state could not be pushed") {
		t.Errorf("waiting for the broker left no time for the state\n%s", tail(p.output()))
	}

	w.api.Heal()
	w.platform.Heal()
	proxy.Heal()
	w.run(0, "run", "--once")
	w.intact()
}
