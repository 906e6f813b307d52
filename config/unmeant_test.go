package config

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// TestSampleBesideARealValue: a ChangeMe beside a real value counts as not set, wherever the two come from; alone it
// is refused.
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

// TestLeftUnfilled: a reference that was not replaced is refused, something that only looks like one is reported and
// used, and a plain value causes no message.
func TestLeftUnfilled(t *testing.T) {
	for value, want := range map[string]struct{ problem, warning string }{
		"${TM_SECRET}": {"is a variable that was not replaced", ""}, "$(TM_SECRET)": {"is a variable that was not replaced", ""},
		"{{ tm_secret }}": {"is a variable that was not replaced", ""},
		"$TM_SECRET":      {"", "a placeholder that was not filled in"}, "<your secret>": {"", "a placeholder that was not filled in"},
		"$ecret": {}, "a<b>c": {}, "pa${ss}": {}, "s3cret{{": {},
	} {
		_, report, err := Load(Options{Dir: t.TempDir(), Environ: []string{"CONNECTOR_ID=11111111-2222-4333-8444-555555555555", "THREATMATCH_CLIENT_SECRET=" + value}})
		var problems, warnings []string
		for _, p := range ProblemsOf(err) {
			if p.Key == "threatmatch.client_secret" {
				problems = append(problems, p.Error())
			}
		}
		for _, w := range report.Warnings {
			warnings = append(warnings, w.String())
		}
		for what, c := range map[string]struct {
			got  []string
			want string
		}{"problem": {problems, want.problem}, "warning": {warnings, want.warning}} {
			text := strings.Join(c.got, "\n")
			if c.want == "" && text != "" || !strings.Contains(text, c.want) || strings.Contains(text, value) {
				t.Errorf("%s: %s: got %q, want %q, without the value", value, what, text, c.want)
			}
		}
	}
}

// TestAddressOfAPage: addresses that were copied from a browser or a manual are reported.
func TestAddressOfAPage(t *testing.T) {
	for value, want := range map[string]string{
		"OPENCTI_URL=https://cti.example.com/dashboard/analyses": "opencti.url: has /dashboard in it, which is a page for people; give the base address, https://cti.example.com",
		"OPENCTI_URL=https://cti.example.com/cti/dashboard":      "give the base address, https://cti.example.com/cti",
		"THREATMATCH_URL=https://eu.threatmatch.com/api/reports": "give the base address, https://eu.threatmatch.com",
		"OPENCTI_URL=https://dashboard.example.com/":             "",
		"THREATMATCH_TLP=red":                                    "environment THREATMATCH_TLP: is not a known setting; it is ignored; did you mean THREATMATCH_TLP_LEVEL?",
	} {
		_, report, _ := Load(Options{Dir: t.TempDir(), Environ: []string{"CONNECTOR_ID=11111111-2222-4333-8444-555555555555", value}})
		var got []string
		for _, w := range report.Warnings {
			got = append(got, w.String())
		}
		if text := strings.Join(got, "\n"); want == "" && text != "" || !strings.Contains(text, want) {
			t.Errorf("%s: got %q, want %q", value, text, want)
		}
	}
}
