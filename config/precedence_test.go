package config

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrecedence(t *testing.T) {
	const file = "connector:\n  name: from the file\n"
	for name, c := range map[string]struct {
		file, dotenv string
		env          map[string]string
		want, origin string
		warnings     int
	}{
		"default":                       {want: "ThreatMatch", origin: "default"},
		"environment over default":      {env: map[string]string{"CONNECTOR_NAME": "E"}, want: "E", origin: "environment CONNECTOR_NAME"},
		"file over environment":         {file: file, env: map[string]string{"CONNECTOR_NAME": "E"}, want: "from the file", origin: "config.yml:2", warnings: 1},
		"environment first when told":   {file: file, env: map[string]string{"CONNECTOR_NAME": "E", "CONNECTOR_CONFIG_PRECEDENCE": "env"}, want: "E", origin: "environment CONNECTOR_NAME", warnings: 1},
		"told by .env, beside the file": {file: file, dotenv: "CONNECTOR_CONFIG_PRECEDENCE=env\n", env: map[string]string{"CONNECTOR_NAME": "E"}, want: "from the file", origin: "config.yml:2", warnings: 1},
		"told by the file":              {file: file + "  config_precedence: env\n", env: map[string]string{"CONNECTOR_NAME": "E"}, want: "E", origin: "environment CONNECTOR_NAME", warnings: 1},
		"told by both":                  {file: file + "  config_precedence: env\n", env: map[string]string{"CONNECTOR_NAME": "E", "CONNECTOR_CONFIG_PRECEDENCE": "file"}, want: "from the file", origin: "config.yml:2", warnings: 1},
		"environment over .env":         {dotenv: "CONNECTOR_NAME=D\n", env: map[string]string{"CONNECTOR_NAME": "E"}, want: "E", origin: "environment CONNECTOR_NAME", warnings: 1},
		".env over default":             {dotenv: "CONNECTOR_NAME=D\n", want: "D", origin: ".env:1"},
		"no .env where there is a file": {file: "connector:\n", dotenv: "CONNECTOR_NAME=D\n", want: "ThreatMatch", origin: "default"},
		"empty is not set":              {file: "connector:\n  name: ''\n", env: map[string]string{"CONNECTOR_NAME": "E"}, want: "E", origin: "environment CONNECTOR_NAME"},
		"same in both places":           {file: file, env: map[string]string{"CONNECTOR_NAME": " from the file"}, want: "from the file", origin: "config.yml:2"},
		"own name over an older one":    {env: map[string]string{"CONNECTOR_NAME": "E", "connector_name": "e"}, want: "E", origin: "environment CONNECTOR_NAME", warnings: 1},
		"path over a name at the top":   {file: "name: top\nconnector: {name: below}\n", want: "below", origin: "config.yml:2", warnings: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.file != "" {
				save(t, filepath.Join(dir, "config.yml"), c.file)
			}
			if c.dotenv != "" {
				save(t, filepath.Join(dir, ".env"), c.dotenv)
			}
			cfg, report := mustLoad(t, Options{Dir: dir, Environ: environ(base(), c.env)})
			if cfg.Connector.Name != c.want || report.Origins["connector.name"] != c.origin {
				t.Errorf("got %q from %q, want %q from %q", cfg.Connector.Name, report.Origins["connector.name"], c.want, c.origin)
			}
			if len(report.Warnings) != c.warnings {
				t.Errorf("warnings %q, want %d", report.Warnings, c.warnings)
			}
			for _, w := range report.Warnings {
				if !strings.Contains(w.Message, c.want) || !strings.Contains(w.Message, "two places") || w.Source != c.origin {
					t.Errorf("warning %q does not say what won", w)
				}
			}
		})
	}
}

func TestSameMeaningInTwoPlacesIsNoConflict(t *testing.T) {
	_, report := mustLoad(t, Options{
		Dir: write(t, "config.yml", "connector:\n  run_and_terminate: no\n  duration_period: P1D\n  scope: [threatmatch]\nthreatmatch:\n  max_body: 64MiB\n"),
		Environ: environ(base(), map[string]string{"CONNECTOR_RUN_AND_TERMINATE": "FALSE", "CONNECTOR_DURATION_PERIOD": "p1d",
			"CONNECTOR_SCOPE": "threatmatch,", "THREATMATCH_MAX_BODY": "65536KiB"}),
	})
	if len(report.Warnings) > 0 {
		t.Errorf("warnings %q", report.Warnings)
	}
}

func TestSecretInTwoPlaces(t *testing.T) {
	dir := write(t, "value", "secret-in-a-file\n")
	cfg, report := mustLoad(t, Options{Dir: dir, Environ: environ(base(), map[string]string{"THREATMATCH_CLIENT_SECRET_FILE": "value"})})
	if cfg.ThreatMatch.ClientSecret.Reveal() != "secret-of-the-client" {
		t.Error("the file's value goes over the variable's")
	}
	want := "environment THREATMATCH_CLIENT_SECRET: threatmatch.client_secret: is set in two places: the value here is used, " +
		"not the other one of environment THREATMATCH_CLIENT_SECRET_FILE (file value)"
	if len(report.Warnings) != 1 || report.Warnings[0].String() != want {
		t.Errorf("warnings %q, want %q", report.Warnings, want)
	}
	vars := base()
	delete(vars, "THREATMATCH_CLIENT_SECRET")
	maps.Copy(vars, map[string]string{"THREATMATCH_CLIENT_SECRET_FILE": "value", "CREDENTIALS_DIRECTORY": write(t, "threatmatch_client_secret", "another")})
	cfg, report = mustLoad(t, Options{Dir: dir, Environ: environ(vars)})
	if cfg.ThreatMatch.ClientSecret.Reveal() != "secret-in-a-file" || len(report.Warnings) != 1 {
		t.Errorf("got secret %q and warnings %q, want that of the file and one warning", cfg.ThreatMatch.ClientSecret.Reveal(), report.Warnings)
	}
}

func TestDotenvWithLineEndsOfWindows(t *testing.T) {
	vars, _, bad := dotenv("\r\nA=1\r\n# comment\r\nB='2'\r\n", nil)
	if !maps.Equal(vars, map[string]string{"A": "1", "B": "2"}) || len(bad) > 0 {
		t.Errorf("read %q, bad lines %v", vars, bad)
	}
}

func TestDotenv(t *testing.T) {
	vars, lines, bad := dotenv("\uFEFF# comment\n"+`
A=1
export B = two words # comment
C='single ${A} \' # kept'
D="double ${A} \"quoted\" \n \ä next" # comment
E=${A}-${HOME}-${NONE}-${NONE:-default}
F="over
lines"
G
H=
'I'=x#y
J=#nothing
= no name
K="never closed
L=after
`, map[string]string{"HOME": "/root", "A": "environment"})
	want := map[string]string{
		"A": "1", "B": "two words", "C": "single ${A} ' # kept", "D": "double 1 \"quoted\" \n \\ä next",
		"E": "1-/root--default", "F": "over\nlines", "H": "", "I": "x#y", "J": "", "L": "after",
	}
	if !maps.Equal(vars, want) {
		t.Errorf("read %q, want %q", vars, want)
	}
	if lines["A"] != 3 || lines["F"] != 8 || lines["H"] != 11 || lines["L"] != 16 {
		t.Errorf("got lines %v", lines)
	}
	if len(bad) != 2 || bad[0] != 14 || bad[1] != 15 {
		t.Errorf("got bad lines %v", bad)
	}
}
