package config

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// TestSampleBesideARealValue: a ChangeMe that stands beside a real value counts as
// not set, wherever the two come from; alone it is refused.
func TestSampleBesideARealValue(t *testing.T) {
	for name, c := range map[string]struct{ file, env string }{
		"in the file":         {"ChangeMe", "s3cret-value"},
		"in the environment":  {"s3cret-value", "changeme"},
		"in the file, quoted": {`"ChangeMe "`, "s3cret-value"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			save(t, filepath.Join(dir, "config.yml"), "opencti:\n  url: http://127.0.0.1:8080\n  token: abc\nthreatmatch:\n  client_id: someone\n  client_secret: "+c.file+"\n")
			cfg, report, err := Load(Options{Dir: dir, Environ: []string{"THREATMATCH_CLIENT_SECRET=" + c.env}})
			if err != nil {
				t.Fatalf("got %v, want the real value", err)
			}
			if got := cfg.ThreatMatch.ClientSecret.Reveal(); got != "s3cret-value" {
				t.Errorf("got %q, want the real value", got)
			}
			for _, w := range report.Warnings {
				if w.Key == "threatmatch.client_secret" {
					t.Errorf("warned: %v, want nothing", w)
				}
			}
			var out bytes.Buffer
			if err := WriteEffective(&out, cfg, report, false, false, true); err != nil {
				t.Fatal(err)
			}
			for key, want := range map[string]bool{"threatmatch.client_id": true, "threatmatch.url": false, "mq.host": false} {
				if got := strings.Contains(out.String(), key+" "); got != want {
					t.Errorf("%s among the changed: %v, want %v", key, got, want)
				}
			}
		})
	}
}
