package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/spool"
)

// exposed makes a world whose connector serves metrics and probes.
func exposed(t *testing.T, o options) (*walk, string) {
	t.Helper()
	k := &walk{t: t}
	k.begin(o)
	return k, k.expose()
}

// expose lets the connector serve metrics and probes, and returns where.
func (k *walk) expose() string {
	address := closedPort(k.t)
	k.env["CONNECTOR_EXPOSE_METRICS"] = "true"
	k.env["CONNECTOR_METRICS_ADDRESS"], k.env["CONNECTOR_METRICS_PORT"], _ = strings.Cut(address, ":")
	return "http://" + address
}

// get reads a page; status 0 when nobody answers.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(raw)
}

// Every metric that is served stands in the catalogue.
func TestServedMetricsAreInTheCatalogue(t *testing.T) {
	t.Parallel()
	k, base := exposed(t, options{api: few()})
	p := k.start("run")
	k.until("the run is delivered", done)
	catalogue, err := os.ReadFile("../../deploy/METRICS.md")
	must(t, err)
	code, body := get(t, base+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("metrics: %d", code)
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint() // what promtool check metrics does
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(body, -1) {
		if name := m[1]; !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.Contains(string(catalogue), "`"+name+"`") {
			t.Errorf("%s is not in the catalogue", name)
		}
	}
	for _, want := range []string{
		"bundles_sent_total 92", "records_sent_total 92", "runs_total 1", `state{state="idle"} 1`,
		`threatmatch_api_requests_total{failure="",route="item",status="200"} 12`, `threatmatch_broker_state{state="connected"} 1`,
		"threatmatch_broker_connections_total 1", `threatmatch_dataset_failed{dataset="iocs"} 0`, "threatmatch_spool_ids 92",
		`threatmatch_watermark_age_seconds{dataset="alerts"}`, "threatmatch_period_seconds 86400",
	} {
		k.eventually(want, func() bool { _, body := get(t, base+"/metrics"); return strings.Contains(body, "\n"+want) })
	}
	p.stop()
}

// A path that is too long for a socket leads to another place, which the lock
// file names, so that commands find it all the same.
func TestSocketElsewhere(t *testing.T) {
	t.Parallel()
	k := &walk{t: t}
	k.begin(options{api: few()})
	k.world.spool = filepath.Join(t.TempDir(), strings.Repeat("long/", 20), "spool")
	k.env["SPOOL_DIR"] = k.world.spool
	p := k.start("run")
	k.until("the run is delivered", done)
	info, err := spool.ReadLock(k.world.spool)
	must(t, err)
	if info.Socket == "" || len(info.Socket) > 100 {
		t.Fatalf("socket %q", info.Socket)
	}
	if out := k.run(0, "health", "--spool-dir", k.world.spool); !strings.Contains(out, "alive, ready") {
		t.Errorf("health: %s", out)
	}
	p.stop()
	if _, err := os.Stat(filepath.Dir(info.Socket)); err == nil {
		t.Error("the socket's directory is left")
	}
	if out := k.run(0, "status"); !strings.Contains(out, "stopped in order") {
		t.Errorf("status: %s", out)
	}
	p = k.start("run")
	k.until("it runs again", func(inspect.Status) bool { return true })
	p.kill()
	if out := k.run(0, "status"); !strings.Contains(out, "was killed") {
		t.Errorf("status: %s", out)
	}
}

// The commands of a running connector do what they say.
func TestLiveCommands(t *testing.T) {
	t.Parallel()
	k := &walk{t: t}
	k.begin(options{api: few(), race: true})
	k.env["SPOOL_KEEP_RECORDS"] = "P1D"
	k.platform.SetQueueSize(opencti.QueueSize{Bytes: 700e6}) // so that messages wait
	p := k.start("run")
	k.until("messages wait", func(s inspect.Status) bool { return s.Spool.Messages > 0 && stage(s, "deliver").State == "paused" })
	k.pendingMessage()
	k.run(0, "spool", "verify")
	k.platform.Heal()
	k.until("the run is delivered", done)
	k.keptAnswer()
	if out := k.run(0, "trigger"); !strings.Contains(out, "run 2 starts") {
		t.Errorf("trigger: %s", out)
	}
	k.until("run 2 is delivered", func(s inspect.Status) bool { return done(s) && s.Last.ID == 2 })
	if out := k.run(0, "repull", "--from", "P30D", "--dataset", "alerts", "--yes"); !strings.Contains(out, "run 3 imports again from") {
		t.Errorf("repull: %s", out)
	}
	k.until("run 4, what run 3 named, is delivered", func(s inspect.Status) bool { return done(s) && s.Last.ID == 4 && s.Last.Reason == "repull" })
	p.stop()
	for _, want := range []string{`run asked for asked_by="uid \d+, pid \d+" run=2`, `repull asked for asked_by="uid \d+, pid \d+" run=3`} {
		if !regexp.MustCompile(want).MatchString(p.output()) {
			t.Errorf("the log does not say %s", want)
		}
	}
}

// keptAnswer looks at what ThreatMatch sent for an item that is delivered.
func (k *walk) keptAnswer() {
	k.t.Helper()
	out := k.run(0, "spool", "find", "profiles/1")
	key := regexp.MustCompile(`see: spool show kept (\S+)`).FindStringSubmatch(out)
	if key == nil || !strings.Contains(out, "profiles/1: mapped to ") {
		k.t.Fatalf("find: %s", out)
	}
	object := regexp.MustCompile(`  object +(\S+)`).FindStringSubmatch(out)[1]
	if out := k.run(0, "spool", "show", "kept", key[1]); !strings.Contains(out, object) {
		k.t.Errorf("the answer does not have %s: %s", object, out)
	}
	out = k.run(0, "spool", "find", object)
	for _, want := range []string{"published in run 1 at", "work work_", "as profiles/1; see: spool show kept " + key[1]} {
		if !strings.Contains(out, want) {
			k.t.Errorf("find %s does not say %q: %s", object, want, out)
		}
	}
}

// pendingMessage looks at a message that waits.
func (k *walk) pendingMessage() {
	k.t.Helper()
	key := regexp.MustCompile(`"key": "([^"]+)"`).FindStringSubmatch(k.run(0, "spool", "ls", "bundles", "--json"))[1]
	var message struct {
		Applicant string `json:"applicant_id"`
		Content   string `json:"content"`
	}
	must(k.t, json.Unmarshal([]byte(k.run(0, "spool", "show", "bundles", key, "--message", "0")), &message))
	content, err := base64.StdEncoding.DecodeString(message.Content)
	must(k.t, err)
	var bundle struct {
		Objects []struct{ ID string }
	}
	must(k.t, json.Unmarshal(content, &bundle))
	if message.Applicant == "" || len(bundle.Objects) != 1 {
		k.t.Fatalf("message %+v with %s", message, content)
	}
	if out := k.run(0, "spool", "find", bundle.Objects[0].ID); !strings.Contains(out, "message 1 of bundle "+key+" is not confirmed by the broker yet") {
		k.t.Errorf("find: %s", out)
	}
	if out := k.run(0, "spool", "find", "alerts/1"); !regexp.MustCompile(`alerts/1: fetched and mapped; [1-9]\d* of its objects are not delivered yet`).MatchString(out) {
		k.t.Errorf("find the item: %s", out)
	}
}

// Whatever the log level, a run that does not end well says why, in one line.
func TestWhyItEnds(t *testing.T) {
	t.Parallel()
	k := &walk{t: t}
	k.begin(options{api: few()})
	k.env["CONNECTOR_LOG_LEVEL"] = "error"
	k.api.SetFault(faults.Rule{Route: "item", ID: "alerts/3", Kind: faults.Answer, Status: 404, ContentType: "application/json", Body: "{}"})
	if out := k.run(3, "run", "--once"); !strings.Contains(out, `INF ends with something missing reason="the run is delivered, but not all of it could be fetched or mapped: run 1: 1 item parked" exit_code=3`) {
		t.Errorf("exit code 3:\n%s", out)
	}
	k.env["CONNECTOR_RUN_AND_TERMINATE"] = "true" // a container must not look like a failure
	if out := k.run(0, "run"); !strings.Contains(out, "ends with something missing") || !strings.Contains(out, "exit_code=0") {
		t.Errorf("run and terminate:\n%s", out)
	}
	delete(k.env, "CONNECTOR_RUN_AND_TERMINATE")

	k.platform.SetQueueSize(opencti.QueueSize{Bytes: 700e6})
	k.api.Heal()
	p := k.start("run", "--once")
	k.until("messages wait", func(s inspect.Status) bool { return stage(s, "deliver").State == "paused" })
	second := k.start("run")
	if code := second.code(); code != 1 || !regexp.MustCompile(`ERR the connector cannot go on error=".*spool is locked by pid \d+.*" hint="stop the other process, or give this one a spool.dir of its own" exit_code=1`).MatchString(second.output()) {
		t.Errorf("a second one: %d\n%s", code, second.output())
	}
	must(t, p.cmd.Process.Signal(os.Interrupt))
	if code := p.code(); code != 4 || !strings.Contains(p.output(), `INF ends before everything is delivered`) || !strings.Contains(p.output(), "exit_code=4") {
		t.Errorf("stopped: %d\n%s", code, p.output())
	}
	k.env["SPOOL_DIR"] = filepath.Join(os.DevNull, "spool")
	if out := k.run(1, "run"); !strings.Contains(out, "is not a directory: name another") || strings.Count(out, "\n") != 1 {
		t.Errorf("no place for a spool:\n%s", out)
	}
}
