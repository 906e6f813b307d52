package config

import "testing"

// base is the least that an installation must set.
func base() map[string]string {
	return map[string]string{
		"OPENCTI_URL":               "http://opencti:8080",
		"OPENCTI_TOKEN":             "token-of-the-platform",
		"CONNECTOR_ID":              "5b1b2f0e-7c1d-4d4e-9a0b-0123456789ab",
		"THREATMATCH_CLIENT_ID":     "client",
		"THREATMATCH_CLIENT_SECRET": "secret-of-the-client",
	}
}

// environ merges maps into an environment; later ones win, and an empty value removes a name.
func environ(maps ...map[string]string) []string {
	all := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	var list []string
	for k, v := range all {
		if v != "" {
			list = append(list, k+"="+v)
		}
	}
	return list
}

func mustLoad(t *testing.T, opt Options) (*Config, Report) {
	t.Helper()
	if opt.Dir == "" {
		opt.Dir = t.TempDir()
	}
	cfg, report, err := Load(opt)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return cfg, report
}

func TestLeastEnvironmentGivesDefaults(t *testing.T) {
	cfg, report := mustLoad(t, Options{Environ: environ(base())})
	if len(report.Warnings) > 0 {
		t.Errorf("warnings: %v", report.Warnings)
	}
	for _, s := range Settings() {
		if s.Default == "" || s.Required || s.Key == "connector.id" {
			continue
		}
		if got, want := s.get(cfg), s.normal(s.Default); got != want {
			t.Errorf("%s = %q, want %q", s.Key, got, want)
		}
	}
}
