package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/serve"
	"threatmatch-connector/internal/sim/threatmatch"
)

// TestNoSecretShows runs an import at log level debug, the commands, and what
// goes wrong with wrong secrets, and looks for the secrets in everything that
// comes out: logs, tables, errors, HTTP answers and the spool's files.
func TestNoSecretShows(t *testing.T) {
	t.Parallel()
	const token, secret, header = "canary-token-4711", "canary-secret-0815", "canary-header-1234"
	vhost := brokertest.Shared(t).VHost(t)
	broker, err := url.Parse(vhost.URL())
	must(t, err)
	password, _ := broker.User.Password()
	w := newWorld(t, options{
		amqp: vhost.URL(),
		api: threatmatch.Options{ClientSecret: secret, Generate: data.Options{
			Seed: 2, Profiles: 10, Alerts: 10, Reports: 5, IOCs: 200, Quirks: data.RealisticQuirks(),
		}},
		platform: opencti.Options{Users: map[string]opencti.User{
			token: {ID: "88ec0c6a-13ce-5e39-b486-354fe4a7084f", Name: "connector", Capabilities: []string{"CONNECTORAPI", "MODULES_MODMANAGE", "KNOWLEDGE", "KNOWLEDGE_KNUPDATE"}},
		}},
	})
	port := freePort(t)
	w.env["OPENCTI_TOKEN"], w.env["CONNECTOR_LOG_LEVEL"] = token, "debug"
	w.env["OPENCTI_CUSTOM_HEADERS"] = "X-Gate:" + header
	w.env["CONNECTOR_EXPOSE_METRICS"], w.env["CONNECTOR_METRICS_PORT"] = "true", port
	canaries := []string{token, secret, header, password}
	clean := func(what, text string) {
		t.Helper()
		for _, c := range canaries {
			if i := strings.Index(text, c); i >= 0 {
				t.Errorf("%s shows a secret: …%s…", what, text[max(0, i-80):min(len(text), i+80)])
			}
		}
	}
	run := func(args ...string) string {
		p := w.start(args...)
		p.code()
		clean(fmt.Sprint(args), p.output())
		return p.output()
	}

	daemon := w.start("run")
	w.eventually("the import is delivered", func() bool {
		return strings.Contains(daemon.output(), "run delivered") || daemon.ended()
	})
	for _, line := range []string{`"threatmatch request"`, `"opencti request"`, `"bundle made"`, `"bundle delivered"`} {
		if !strings.Contains(daemon.output(), line) {
			t.Errorf("the log at level debug has no line %s", line)
		}
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		resp, err := http.Get("http://127.0.0.1:" + port + path)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		_ = resp.Body.Close()
		clean(path, string(body))
	}
	commands := [][]string{
		{"status"}, {"status", "--json"}, {"check"}, {"check", "--json"}, {"health"}, {"version"}, {"config", "print", "--origin"},
		{"config", "print", "--json"}, {"spool", "stats"}, {"spool", "runs", "--json"}, {"spool", "run", "1", "--json"},
		{"spool", "dead", "--json"}, {"spool", "ls", "meta", "--json"}, {"spool", "ls", "ids"}, {"spool", "verify"},
	}
	for _, c := range commands {
		run(c...)
	}
	must(t, daemon.cmd.Process.Signal(os.Interrupt))
	daemon.code()
	clean("the daemon's log", daemon.output())
	for _, c := range commands {
		run(c...)
	}
	spoolIsClean(t, w.spool, canaries)

	for _, wrong := range [][2]string{
		{"OPENCTI_TOKEN", "canary-wrong-1"}, {"OPENCTI_URL", "http://user:canary-wrong-2@127.0.0.1:1"},
		{"CONNECTOR_DURATION_PERIOD", "never"}, {"THREATMATCH_CLIENT_SECRET", "canary-wrong-3"},
	} {
		old := w.env[wrong[0]]
		w.env[wrong[0]] = wrong[1]
		canaries = append(canaries, "canary-wrong")
		run("check")
		run("config", "check")
		w.env[wrong[0]] = old
	}
}

// spoolIsClean looks into the files as they are and, for what is compressed,
// into what the connector itself shows of them.
func spoolIsClean(t *testing.T, dir string, canaries []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue // the socket
		}
		for _, c := range canaries {
			if bytes.Contains(raw, []byte(c)) {
				t.Errorf("%s holds a secret", filepath.Base(f))
			}
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := serve.Listen("127.0.0.1")
	must(t, err)
	defer func() { _ = ln.Close() }()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	must(t, err)
	return port
}
