package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// other returns a valid value for a setting that is not its default, and how it is printed.
func other(t *testing.T, s Setting) (value, printed string) {
	t.Helper()
	special := map[string]string{
		"connector.type": "EXTERNAL_IMPORT", "connector.queue_protocol": "amqp", "connector.validate_before_import": "false",
		"connector.log_level": "debug", precedenceKey: "env", "threatmatch.tlp_level": "red",
		"threatmatch.import_labels": "all", "threatmatch.description_format": "text",
		"opencti.custom_headers": "X-One:1", "connector.metrics_namespace": "ns", "connector.metrics_subsystem": "sub",
		"connector.send_to_queue": "false", "connector.queue_threshold": "250", "threatmatch.taxii_types": "indicator,malware",
		"threatmatch.indicator_score_by_type": "IPv4-Addr=40,Url=60", "threatmatch.indicator_days_by_type": "IPv4-Addr=40,Url=60",
		"threatmatch.tlp_levels": "alerts:report=red,vulnerability=clear", "threatmatch.tlp_max": "red",
		"threatmatch.modified_since": "2024-01-01,alerts:2024-02-29",
	}
	value, ok := special[s.Key]
	if !ok {
		switch s.Kind {
		case "url":
			value = "https://other.example.com"
		case "secret", "text":
			value = "other-value"
		case "address":
			value = "https://other.example.com/{id}"
		case "host":
			value = "other-host"
		case "uuid":
			value = "6b1b2f0e-7c1d-4d4e-9a0b-0123456789ab"
		case "boolean":
			value = map[string]string{"true": "false"}[s.Default]
			if value == "" {
				value = "true"
			}
		case "boolean or path":
			value = "false"
		case "integer", "number":
			value = "3"
		case "duration":
			value = "PT42S"
		case "date or duration":
			value = "2025-01-01T00:00:00Z"
		case "size":
			value = "768MiB"
		case "list":
			value = "one,two"
		case "PEM or path":
			value = filepath.Join(t.TempDir(), "ca.pem")
			save(t, value, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
		default:
			t.Fatalf("no value for %s of kind %s", s.Key, s.Kind)
		}
	}
	switch {
	case s.Kind == "secret":
		return value, hidden
	case s.Key == "opencti.custom_headers":
		return value, "X-One:" + hidden
	}
	return value, value
}

// save writes a file.
func save(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// write puts a file into a new directory, which it returns.
func write(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	save(t, filepath.Join(dir, name), text)
	return dir
}

// fixed are values that a setting needs beside it to have an effect.
func fixed(s Setting) map[string]string {
	switch s.Key {
	case "connector.send_to_queue":
		return map[string]string{"CONNECTOR_SEND_TO_DIRECTORY": "true", "CONNECTOR_SEND_TO_DIRECTORY_PATH": "/bundles"}
	case "mq.use_ssl_key":
		return map[string]string{"MQ_USE_SSL_CERT": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}
	}
	return nil
}

// yamlOf writes one setting as config.yml has it.
func yamlOf(key, value string) string {
	if sec, name, found := strings.Cut(key, "."); found {
		return sec + ":\n  " + name + ": " + yamlText(value) + "\n"
	}
	return key + ": " + yamlText(value) + "\n"
}

func TestEverySettingFromEverySource(t *testing.T) {
	for _, s := range Settings() {
		if s.Key == "threatmatch.interval" {
			continue // has a test of its own
		}
		value, printed := other(t, s)
		without := base()
		delete(without, s.Env)
		maps.Copy(without, fixed(s))
		with := func(more map[string]string) Options { return Options{Environ: environ(without, more)} }

		sources := map[string]func(t *testing.T) (Options, string){
			"environment": func(*testing.T) (Options, string) {
				return with(map[string]string{s.Env: value}), "environment " + s.Env
			},
			"environment in lower case": func(*testing.T) (Options, string) {
				return with(map[string]string{strings.ToLower(s.Env): value}), "environment " + strings.ToLower(s.Env)
			},
			"environment with blanks": func(*testing.T) (Options, string) {
				return with(map[string]string{s.Env: " " + value + "\r\n"}), "environment " + s.Env
			},
			"a file that a variable names": func(t *testing.T) (Options, string) {
				dir := write(t, "value", value+"\n")
				o := with(map[string]string{s.Env + "_FILE": "value"})
				o.Dir = dir
				return o, "environment " + s.Env + "_FILE (file value)"
			},
			"credential": func(t *testing.T) (Options, string) {
				dir := write(t, strings.ToLower(s.Env), value)
				return with(map[string]string{"CREDENTIALS_DIRECTORY": dir}),
					"credential " + strings.ToLower(s.Env) + " (file " + filepath.Join(dir, strings.ToLower(s.Env)) + ")"
			},
			"credential by path": func(t *testing.T) (Options, string) {
				dir := write(t, s.Key, value)
				return with(map[string]string{"CREDENTIALS_DIRECTORY": dir}), "credential " + s.Key + " (file " + filepath.Join(dir, s.Key) + ")"
			},
			".env": func(t *testing.T) (Options, string) {
				o := with(nil)
				o.Dir = write(t, ".env", "# comment\n"+s.Env+"='"+value+"'\n")
				return o, ".env:2"
			},
			"config.yml": func(t *testing.T) (Options, string) {
				o := with(nil)
				o.Dir = write(t, "config.yml", yamlOf(s.Key, value))
				line := "config.yml:2"
				if sectionOf(s.Key) == "" {
					line = "config.yml:1"
				}
				return o, line
			},
			"config.yml with the file's name": func(t *testing.T) (Options, string) {
				o := with(nil)
				o.Dir = write(t, "other.yml", "\n"+yamlOf(s.Key+"_file", "value"))
				save(t, filepath.Join(o.Dir, "value"), value)
				o.Path = "other.yml"
				line := "other.yml:3 (file value)"
				if sectionOf(s.Key) == "" {
					line = "other.yml:2 (file value)"
				}
				return o, line
			},
			"config.yml by the variable's name at the top": func(t *testing.T) (Options, string) {
				o := with(nil)
				o.Dir = write(t, "config.yml", strings.ToLower(s.Env)+": "+yamlText(value)+"\n")
				return o, "config.yml:1"
			},
			"config.yml by the path at the top": func(t *testing.T) (Options, string) {
				o := with(nil)
				o.Dir = write(t, "config.yml", s.Key+": "+yamlText(value)+"\n")
				return o, "config.yml:1"
			},
		}
		for _, name := range slices.Sorted(maps.Keys(sources)) {
			t.Run(s.Key+"/"+name, func(t *testing.T) {
				opt, origin := sources[name](t)
				cfg, report := mustLoad(t, opt)
				got := s.get(cfg)
				if s.Kind == "text" && !filepath.IsAbs(got) && opt.Dir != "" {
					got = strings.TrimPrefix(got, opt.Dir+"/")
				}
				if got != printed && got != filepath.Join(opt.Dir, printed) && !strings.HasSuffix(got, "/"+printed) {
					t.Errorf("value %q, want %q", got, printed)
				}
				if report.Origins[s.Key] != origin {
					t.Errorf("origin %q, want %q", report.Origins[s.Key], origin)
				}
			})
		}
	}
}

func TestNamesAtTheTopOfTheFile(t *testing.T) {
	// As the tables of the second documentation print them in the column "config.yml".
	dir := write(t, "config.yml", `
url: http://opencti:8080/
token: token-of-the-platform
id: 5b1b2f0e-7c1d-4d4e-9a0b-0123456789ab
name: My ThreatMatch
scope: threatmatch
log_level: info
duration_period: PT6H
threatmatch.client_id: client
threatmatch.client_secret: secret-of-the-client
threatmatch.import_from_date: P30D
`)
	cfg, report := mustLoad(t, Options{Dir: dir})
	if len(report.Warnings) > 0 {
		t.Errorf("warnings: %v", report.Warnings)
	}
	if cfg.OpenCTI.URL != "http://opencti:8080" || cfg.Connector.Name != "My ThreatMatch" || cfg.Connector.DurationPeriod.String() != "PT6H" ||
		cfg.ThreatMatch.ClientID != "client" || cfg.OpenCTI.Token.Reveal() != "token-of-the-platform" {
		t.Errorf("read as %+v", cfg)
	}
}

func TestYAMLValuesStayAsWritten(t *testing.T) {
	dir := write(t, "config.yml", `
opencti: {url: "http://opencti:8080", token: 0123456789}
connector:
  id: &id 5b1b2f0e-7c1d-4d4e-9a0b-0123456789ab
  scope: [ threatmatch, "other", threatmatch ]
  name: 1e5
  duration_period: 00:30:00
  run_and_terminate: off
  log_level: ~
threatmatch:
  client_id: 010
  client_secret: 'it''s #1: "quoted"'
  import_from_date: 2025-01-01
  taxii_group: *id
  requests_per_second: 0.5
spool: # nothing below
admin:
`)
	cfg, _ := mustLoad(t, Options{Dir: dir})
	got := []any{cfg.OpenCTI.Token.Reveal(), strings.Join(cfg.Connector.Scope, "+"), cfg.Connector.Name, cfg.Connector.DurationPeriod.String(),
		cfg.Connector.RunAndTerminate, cfg.ThreatMatch.ClientID, cfg.ThreatMatch.ClientSecret.Reveal(),
		cfg.ThreatMatch.ImportFromDate.String(), cfg.ThreatMatch.TAXIIGroup, cfg.ThreatMatch.RequestsPerSecond}
	want := []any{"0123456789", "threatmatch+other", "1e5", "PT30M", false, "010", `it's #1: "quoted"`,
		"2025-01-01T00:00:00Z", "5b1b2f0e-7c1d-4d4e-9a0b-0123456789ab", 0.5}
	if !slices.Equal(got, want) {
		t.Errorf("read\n%q, want\n%q", got, want)
	}
}

func TestCustomHeaders(t *testing.T) {
	want := "X-One=1;X-Two=a:b"
	for name, dir := range map[string]string{
		"text":    write(t, "config.yml", "opencti:\n  custom_headers: ' X-One : 1 ; X-Two:a:b;'\n"),
		"list":    write(t, "config.yml", "opencti:\n  custom_headers: ['X-One:1', 'X-Two: a:b']\n"),
		"mapping": write(t, "config.yml", "opencti:\n  custom_headers:\n    X-One: 1\n    X-Two: a:b\n"),
	} {
		cfg, _ := mustLoad(t, Options{Dir: dir, Environ: environ(base())})
		var got []string
		for _, h := range cfg.OpenCTI.CustomHeaders {
			got = append(got, h.Name+"="+h.Value.Reveal())
		}
		if strings.Join(got, ";") != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestDirectoryFromTheSystem(t *testing.T) {
	cfg, report := mustLoad(t, Options{Environ: environ(base(), map[string]string{"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"})})
	if cfg.Spool.Dir != "/var/lib/one" || cfg.Admin.Socket != "/var/lib/one/admin.sock" || report.Origins["spool.dir"] != "environment STATE_DIRECTORY" {
		t.Errorf("got %+v, %+v and origin %v, want the first STATE_DIRECTORY", cfg.Spool, cfg.Admin, report.Origins["spool.dir"])
	}
	cfg, _, err := Load(Options{Environ: environ(base())})
	if err != nil || cfg.Spool.Dir != "./threatmatch-spool" || cfg.Admin.Socket != "threatmatch-spool/admin.sock" {
		t.Errorf("got %+v, %+v and error %v, want the default directory", cfg.Spool, cfg.Admin, err)
	}
}

func TestKubernetesServicesAreNoSettings(t *testing.T) {
	_, report := mustLoad(t, Options{Environ: environ(base(), map[string]string{
		"OPENCTI_SERVICE_HOST": "10.0.0.1", "OPENCTI_PORT": "tcp://10.0.0.1:8080", "OPENCTI_PORT_8080_TCP_ADDR": "10.0.0.1",
		"OPENCTI_SERVICE_PORT_HTTP": "8080", "MQ_PORT": "tcp://10.0.0.2:5672", "HOME": "/root", "OPENCTI_CONFIG_HASH": "abc",
	})})
	if len(report.Warnings) != 1 || report.Warnings[0].Key != "mq.port" {
		t.Errorf("warnings: %v", report.Warnings)
	}
}

func TestCertificates(t *testing.T) {
	const cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	dir := write(t, "ca.pem", cert)
	save(t, filepath.Join(dir, "many", "one.pem"), strings.Replace(cert, "AAAA", "BBBB", 1))
	save(t, filepath.Join(dir, "many", "readme"), "no certificate")
	cfg, report := mustLoad(t, Options{Dir: dir, Environ: environ(base(), map[string]string{
		"OPENCTI_SSL_VERIFY":    "ca.pem",
		"REQUESTS_CA_BUNDLE":    "many",
		"HTTPS_CA_CERTIFICATES": strings.ReplaceAll(strings.Replace(cert, "AAAA", "CCCC", 1), "\n", `\n`),
	})})
	if !cfg.OpenCTI.SSLVerify || !cfg.VerifyOpenCTI() || len(report.Warnings) > 0 {
		t.Errorf("verify %v, warnings %v", cfg.OpenCTI.SSLVerify, report.Warnings)
	}
	for text, where := range map[string][]byte{"AAAA": cfg.OpenCTICAs(), "BBBB": cfg.ThreatMatchCAs(), "CCCC": cfg.ThreatMatchCAs()} {
		if !strings.Contains(string(where), text) {
			t.Errorf("%s is not among %q", text, where)
		}
	}
	if strings.Contains(string(cfg.ThreatMatchCAs()), "AAAA") {
		t.Error("ThreatMatch's certificate would be checked by the platform's")
	}
	cfg, report = mustLoad(t, Options{Dir: dir, Environ: environ(base(), map[string]string{"OPENCTI_SSL_VERIFY": "False"})})
	if cfg.VerifyOpenCTI() || len(report.Warnings) != 1 {
		t.Errorf("verify %v, warnings %v", cfg.VerifyOpenCTI(), report.Warnings)
	}
	cfg, _ = mustLoad(t, Options{Dir: dir, Environ: environ(base(), map[string]string{"OPENCTI_SSL_VERIFY": "no", "HTTPS_CA_CERTIFICATES": "ca.pem"})})
	if !cfg.VerifyOpenCTI() {
		t.Error("a given authority does not force the check")
	}
}
