package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
)

// outage is something that keeps a part from working.
type outage struct {
	name       string
	part, why  string // what /readyz says
	hurt, mend func()
}

// TestProbesTurnAndTurnBack makes each fault that stops a part, one after
// another: /readyz turns and says which part it is and why, turns back when the
// fault is gone, and /healthz does not mind.
func TestProbesTurnAndTurnBack(t *testing.T) {
	t.Parallel()
	vhost := brokertest.Shared(t).VHost(t)
	broker, err := url.Parse(vhost.URL())
	must(t, err)
	proxy := proxyTo(t, broker)
	k, base := exposed(t, options{api: few(), amqp: vhost.URL(), platform: opencti.Options{Connection: func(c *opencti.Connection) {
		c.Host, c.Port = proxy.Host, proxy.Port
	}}})
	k.platform.Stop()
	p := k.start("run")
	k.readyz(base, "platform", "not registered with OpenCTI")
	must(t, k.platform.Start())
	k.readyz(base, "", "")
	k.until("the run is delivered", done)
	for _, o := range k.outages(proxy, vhost, broker) {
		t.Log(o.name)
		o.hurt()
		k.run(0, "repull", "--from", "P30D", "--yes") // so that all parts have work
		k.readyz(base, o.part, o.why)
		o.mend()
		k.readyz(base, "", "")
		k.until("idle", done)
	}
	p.stop()
}

func proxyTo(t *testing.T, u *url.URL) *brokertest.Proxy {
	t.Helper()
	port, err := strconv.Atoi(u.Port())
	must(t, err)
	return brokertest.NewProxy(t, u.Hostname(), port)
}

func (k *walk) outages(proxy *brokertest.Proxy, vhost *brokertest.VHost, broker *url.URL) []outage {
	token := func(status int) func() {
		return func() {
			k.api.RevokeTokens()
			k.api.SetFault(faults.Rule{Route: "token", Kind: faults.Answer, Status: status, ContentType: "application/json", Body: "{}"})
		}
	}
	password, _ := broker.User.Password()
	return []outage{
		{"ThreatMatch is down", "fetch", "ThreatMatch does not answer", k.api.Stop, func() { must(k.t, k.api.Start()) }},
		{"wrong secret", "fetch", "check threatmatch.client_id and threatmatch.client_secret", token(401), k.api.Heal},
		{"OpenCTI is down", "platform", "OpenCTI: nothing listens at ", k.platform.Stop, func() { must(k.t, k.platform.Start()) }},
		{"OpenCTI refuses the token", "platform", "opencti.token", func() { k.platform.SetFault(faults.Must("auth-required")) }, k.platform.Heal},
		{"RabbitMQ is down", "deliver", "RabbitMQ: ", func() { proxy.Refuse(); proxy.Cut() }, proxy.Heal},
		{
			"RabbitMQ refuses the password", "deliver", "MQ_PASS",
			func() { vhost.SetPassword("changed"); proxy.Cut() }, func() { vhost.SetPassword(password) },
		},
	}
}

// readyz waits until the probe says that a part is not ready, for a reason; no
// part means ready. The metrics and /healthz must agree.
func (k *walk) readyz(base, part, why string) {
	k.t.Helper()
	var code int
	var body string
	defer func() {
		if k.t.Failed() {
			k.t.Logf("%d %s", code, body)
		}
	}()
	k.eventually("readyz "+part+": "+why, func() bool {
		code, body = get(k.t, base+"/readyz")
		var r struct {
			Ready   bool
			Reasons map[string]string
		}
		if code == 0 || json.Unmarshal([]byte(body), &r) != nil || r.Ready != (code == http.StatusOK) {
			return false
		}
		if part == "" {
			return r.Ready && len(r.Reasons) == 0
		}
		return !r.Ready && strings.Contains(r.Reasons[part], why)
	})
	if code, body := get(k.t, base+"/healthz"); code != http.StatusOK {
		k.t.Errorf("healthz %d %s", code, body)
	}
	gauges := []string{"threatmatch_ready 1"}
	if part != "" {
		gauges = []string{"threatmatch_ready 0", `threatmatch_not_ready{part="` + part + `"} 1`}
	}
	for _, g := range gauges {
		k.eventually(g, func() bool { _, body := get(k.t, base+"/metrics"); return strings.Contains(body, "\n"+g+"\n") })
	}
}
