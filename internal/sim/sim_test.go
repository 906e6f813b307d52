package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
)

func newSim(t *testing.T) *Sim {
	t.Helper()
	s, err := New(Options{
		ThreatMatch: threatmatch.Options{Generate: data.Options{Seed: 5, Profiles: 40, Alerts: 40, Reports: 10, IOCs: 1200}},
		OpenCTI:     opencti.Options{AMQPURL: brokertest.Shared(t).VHost(t).URL()},
		State:       `{"last_run":"2026-10-01T00:00:00+00:00"}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestFaithfulImport shows that a faithful import passes all checks, and that
// the verdict sees one that is not.
func TestFaithfulImport(t *testing.T) {
	s := newSim(t)
	i := newImporter(t, s)
	i.fetch()
	i.deliver(i.tidy())
	for range 1000 {
		if works := s.OpenCTI.Works(); works[0].Status == "complete" && s.OpenCTI.QueuedMessages() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	v := s.Verdict()
	if !v.OK || v.Expected < 1500 || v.Repeats != 0 || len(v.RepeatedItems) != 0 {
		t.Errorf("%+v %v", v, s.Worker.Violations())
	}
	s.ThreatMatch.Publish(data.Alerts, 1)
	if v := s.Verdict(); v.OK || v.MissingCount == 0 {
		t.Errorf("with an item that was not imported: %+v", v)
	}
	if v := s.Verdict(data.Profiles); !v.OK {
		t.Errorf("profiles alone: %+v", v)
	}
}

func ask(t *testing.T, method, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestAdmin(t *testing.T) {
	s := newSim(t)
	if got := s.OpenCTI.ConnectorState(ConnectorID); !strings.Contains(got, "2026-10-01") {
		t.Errorf("state %q", got)
	}
	rows := []struct {
		method, path string
		status       int
		contains     string
	}{
		{"GET", "/", 200, "reset-state"},
		{"GET", "/stats", 200, `"peak_per_second"`},
		{"GET", "/verdict?dataset=iocs", 200, `"expected": 1200`},
		{"GET", "/env", 200, "THREATMATCH_CLIENT_SECRET=sim-secret"},
		{"POST", "/fault?part=threatmatch&rule=route=item,do=500,rate=0.5", 200, `"rate": 0.5`},
		{"POST", "/fault?part=opencti&rule=do=hang", 200, "hang"},
		{"POST", "/fault?part=worker&rule=do=hang", 400, "no faults"},
		{"POST", "/fault?part=opencti&rule=do=nonsense", 400, "unknown fault"},
		{"GET", "/faults", 200, `"route": "item"`},
		{"POST", "/heal", 200, "ok"},
		{"POST", "/clock?advance=24h&skew=x", 400, "duration"},
		{"POST", "/clock?advance=24h", 200, "threatmatch"},
		{"POST", "/publish?dataset=alerts&n=2", 200, "41"},
		{"POST", "/republish?dataset=profiles&ids=1,2", 200, "ok"},
		{"POST", "/withdraw?dataset=profiles&ids=3,x", 400, "x"},
		{"POST", "/withdraw?dataset=profiles&ids=3", 200, "ok"},
		{"POST", "/down?part=worker", 200, "ok"},
		{"POST", "/up?part=worker", 200, "ok"},
		{"POST", "/down?part=moon", 400, "moon"},
		{"POST", "/worker?delay=1ms", 200, "ok"},
		{"POST", "/set-state?state=%7B%7D", 200, "ok"},
		{"POST", "/set-state?connector=x&state=%7B%7D", 400, "FUNCTIONAL_ERROR"},
		{"POST", "/reset-state", 200, "ok"},
		{"POST", "/reset-state?connector=x", 400, "FUNCTIONAL_ERROR"},
		{"POST", "/capabilities?names=KNOWLEDGE,MODULES", 200, `"MODULES"`},
		{"POST", "/capabilities", 200, `"capabilities": []`},
		{"POST", "/echo?stale=1", 200, "ok"},
		{"POST", "/queue-size?messages=1&bytes=2", 200, "ok"},
		{"POST", "/closer", 200, "ok"},
		{"POST", "/revoke-tokens", 200, "ok"},
		{"POST", "/delete-work?id=x", 200, "ok"},
		{"POST", "/delete-connector", 200, "ok"},
		{"POST", "/reset-stats", 200, "ok"},
		{"GET", "/reset-stats", 405, ""},
		{"GET", "/nothing", 404, ""},
	}
	for _, row := range rows {
		status, text := ask(t, row.method, s.AdminURL()+row.path)
		if status != row.status || !strings.Contains(text, row.contains) {
			t.Errorf("%s %s: %d %s", row.method, row.path, status, text)
		}
	}
	if s.ThreatMatch.Source().Count(data.Profiles) != 39 || len(s.OpenCTI.Works()) != 0 {
		t.Error("what was asked for was not done")
	}
}

func TestDownAndUp(t *testing.T) {
	s := newSim(t)
	for part, address := range map[string]string{"threatmatch": s.ThreatMatch.URL(), "opencti": s.OpenCTI.URL()} {
		ask(t, "POST", s.AdminURL()+"/down?part="+part)
		if resp, err := http.Get(address); err == nil {
			resp.Body.Close()
			t.Errorf("%s answers while it is down", part)
		}
		ask(t, "POST", s.AdminURL()+"/up?part="+part)
		if status, _ := ask(t, "GET", address); status != 404 {
			t.Errorf("%s: %d after it came up", part, status)
		}
	}
}

func TestFaultsJSON(t *testing.T) {
	text, err := json.Marshal(faults.Must("slow"))
	if err != nil {
		t.Fatal(err)
	}
	var back faults.Rule
	if err := json.Unmarshal(text, &back); err != nil || back != faults.Must("slow") {
		t.Errorf("%s: %+v %v", text, back, err)
	}
}
