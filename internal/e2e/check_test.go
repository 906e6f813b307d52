package e2e_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/serve"
)

// TestCheckSaysWhatIsWrong breaks the set-up in one way after the other.
func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{platform: opencti.Options{Users: map[string]opencti.User{
		opencti.ConnectorToken: {ID: "88ec0c6a-13ce-5e39-b486-354fe4a7084f", Name: "connector", Capabilities: []string{"CONNECTORAPI", "MODULES_MODMANAGE"}},
		"weak-token":           {ID: "88ec0c6a-13ce-5e39-b486-354fe4a70850", Name: "weak", Capabilities: []string{"KNOWLEDGE"}},
	}}})
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	closed := closedPort(t)

	first := w.run(0, "check")
	if !strings.Contains(first, "? RabbitMQ connection  not known until") || strings.Contains(first, "✗") {
		t.Errorf("before the first run:\n%s", first)
	}
	if _, err := os.Stat(w.spool); err == nil {
		t.Error("check made the spool directory")
	}
	if m := w.platform.Stats().Mutations; len(m) > 0 {
		t.Errorf("check changed the platform: %v", m)
	}
	w.run(0, "run", "--once")
	if out := w.run(0, "check"); strings.ContainsAny(out, "✗?") || !strings.Contains(out, "✓ RabbitMQ route") {
		t.Errorf("a set-up in order:\n%s", out)
	}
	mutations := maps.Clone(w.platform.Stats().Mutations)

	tests := []struct {
		name string
		env  map[string]string
		skew time.Duration
		code int
		want []string // a line each, with the hint behind it
	}{
		{"wrong secret", map[string]string{"THREATMATCH_CLIENT_SECRET": "wrong"}, 0, 1, []string{
			"✗ ThreatMatch token answered 401 unauthorized", "→ check threatmatch.client_id and threatmatch.client_secret"}},
		{"wrong url", map[string]string{"THREATMATCH_URL": w.platform.URL()}, 0, 1, []string{
			"✗ ThreatMatch token answered 404 not found", "→ check threatmatch.url"}},
		{"nothing there", map[string]string{"THREATMATCH_URL": "http://" + closed}, 0, 1, []string{
			"✗ ThreatMatch address nothing listens at " + closed, "→ check threatmatch.url, and whether the server runs"}},
		{"no such host", map[string]string{"OPENCTI_URL": "http://opencti.invalid:8080"}, 0, 1, []string{
			"✗ OpenCTI address the name opencti.invalid is not known here", "→ check opencti.url and this machine's DNS"}},
		{"no TLS there", map[string]string{"OPENCTI_URL": strings.Replace(w.platform.URL(), "http:", "https:", 1)}, 0, 1, []string{
			"✗ OpenCTI address no TLS is spoken there", "→ check http:// or https:// and the port in opencti.url"}},
		{"wrong token", map[string]string{"OPENCTI_TOKEN": "wrong"}, 0, 1, []string{
			"✗ OpenCTI token OpenCTI: AUTH_REQUIRED", "→ check opencti.token"}},
		{"token without rights", map[string]string{"OPENCTI_TOKEN": "weak-token"}, 0, 1, []string{
			"✗ OpenCTI rights the user may not register connectors: CONNECTORAPI is missing", "→ give the user the role Connector"}},
		{"broker not there", map[string]string{"MQ_HOST": "127.0.0.1", "MQ_PORT": closed[strings.Index(closed, ":")+1:]}, 0, 1, []string{
			"✗ RabbitMQ connection " + closed + ",", "RabbitMQ: nothing listens at " + closed, "→ check MQ_HOST and MQ_PORT, and whether the server runs"}},
		{"broker refuses", map[string]string{"MQ_PASS": "wrong"}, 0, 1, []string{
			"✗ RabbitMQ connection", "username or password not allowed", "→ check the broker's user"}},
		{"unwritable spool", map[string]string{"SPOOL_DIR": filepath.Join(file, "spool")}, 0, 1, []string{
			"✗ spool " + file + "/spool:", "not a directory", "→ the directory must be writable"}},
		{"spool of another", map[string]string{"CONNECTOR_ID": "22222222-2222-4333-8444-555555555555"}, 0, 1, []string{
			"✗ spool", "spool belongs to another connector"}},
		{"clock behind", nil, time.Hour, 1, []string{
			"✗ clock this machine's clock is 1h0m0s behind ThreatMatch's", "→ set the clock"}},
		{"settings", map[string]string{"THREATMATCH_TLP_LEVEL": "purple", "OPENCTI_TOKEN": ""}, 0, 78, []string{
			"✗ settings environment THREATMATCH_TLP_LEVEL: threatmatch.tlp_level = \"purple\"", "✗ settings opencti.token: is not set"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kept := maps.Clone(w.env)
			defer func() { w.env = kept }()
			maps.Copy(w.env, tt.env)
			w.api.Skew(tt.skew)
			defer w.api.Skew(0)
			out := strings.Join(strings.Fields(w.run(tt.code, "check")), " ")
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
	if now := w.platform.Stats().Mutations; !maps.Equal(now, mutations) {
		t.Errorf("check changed the platform: %v, then %v", mutations, now)
	}
	var findings []struct{ Name, Verdict, Detail string }
	must(t, json.Unmarshal([]byte(w.run(0, "check", "--json")), &findings))
	if len(findings) < 12 {
		t.Errorf("findings %+v", findings)
	}
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := serve.Listen("127.0.0.1")
	must(t, err)
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}
