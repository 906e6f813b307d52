package config

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

const someID = "5b1b2f0e-7c1d-4d4e-9a0b-0123456789ab"

// The variables in the connector's documentation of 2021 and its compose file, with a value for each ChangeMe.
func firstGeneration() map[string]string {
	return map[string]string{
		"OPENCTI_URL": "http://localhost", "OPENCTI_TOKEN": "token-of-the-platform",
		"CONNECTOR_ID": someID, "CONNECTOR_TYPE": "EXTERNAL_IMPORT", "CONNECTOR_NAME": "ThreatMatch", "CONNECTOR_SCOPE": "threatmatch",
		"CONNECTOR_CONFIDENCE_LEVEL": "3", "CONNECTOR_UPDATE_EXISTING_DATA": "True", "CONNECTOR_LOG_LEVEL": "error",
		"THREATMATCH_URL": "https://eu.threatmatch.com", "THREATMATCH_CLIENT_ID": "client", "THREATMATCH_CLIENT_SECRET": "secret",
		"THREATMATCH_INTERVAL": "5", "THREATMATCH_IMPORT_FROM_DATE": "2010-01-01 00:00",
		"THREATMATCH_IMPORT_PROFILES": "True", "THREATMATCH_IMPORT_ALERTS": "True", "THREATMATCH_IMPORT_REPORTS": "False",
	}
}

// The variables in the documentation of 2025, with its misspelling.
func secondGeneration() map[string]string {
	return map[string]string{
		"OPENCTI_URL": "http://localhost", "OPENCTI_TOKEN": "token-of-the-platform",
		"CONNECTOR_ID": someID, "CONNECTOR_NAME": "ThreatMatch", "CONNECTOR_SCOPE": "threatmatch",
		"CONNECTOR_LOG_LEVEL": "error", "CONNECTOR_DURATION_PERIOD": "P1D",
		"THREATMATCH_URL": "https://eu.threatmatch.com", "THREATMATCH_CLIENT_ID": "client", "THREATMATCH_CLIENT_SECRET": "secret",
		"THREATMATCH_IMPORT_FROM_DATE": "P30D", "THREATMATCH_IMPORT_PROFILES": "true", "THREATMATCH_IMPORT_ALERTS": "true",
		"THREATMATCH_IMPORT_IOCS": "true", "THREATMATCH_TLP_LEVEL": "amber", "THREATMATCH_THREAT_ACTOR_AS_INSTRUSION_SET": "true",
	}
}

// asFile converts variables to the equivalent config.yml.
func asFile(vars map[string]string) string {
	parts := map[string]string{}
	for env, value := range vars {
		path, _ := pathOf(env)
		sec, name, _ := strings.Cut(path, ".")
		parts[sec] += "  " + name + ": " + yamlText(value) + "\n"
	}
	text := ""
	for sec, lines := range parts {
		text += sec + ":\n" + lines
	}
	return text
}

func TestBothGenerationsStartUnchanged(t *testing.T) {
	more := map[string][]string{ // other values that the documentation names
		"CONNECTOR_LOG_LEVEL":            {"debug", "info", "warn", "warning", "error", "INFO"},
		"CONNECTOR_CONFIDENCE_LEVEL":     {"1", "2", "4", "75", "0", "100"},
		"CONNECTOR_UPDATE_EXISTING_DATA": {"False", "true", "yes"},
		"CONNECTOR_DURATION_PERIOD":      {"PT5M", "PT1H", "P1D", "0", "P7D"},
		"THREATMATCH_URL":                {"https://eu.threatmatch.com/", "https://us.threatmatch.com"},
		"THREATMATCH_INTERVAL":           {"1", "60", "1440"},
		"THREATMATCH_IMPORT_FROM_DATE":   {"2025-01-01 00:00", "2025-01-01", "2025-01-01T00:00:00", "2025-01-01T00:00:00+00:00", "P365D", "P30D"},
		"THREATMATCH_TLP_LEVEL":          {"clear", "white", "green", "amber", "amber+strict", "red"},
		"THREATMATCH_IMPORT_IOCS":        {"False", "no", "No", "0"},
	}
	for name, vars := range map[string]map[string]string{"first": firstGeneration(), "second": secondGeneration()} {
		variants := []map[string]string{vars}
		for env, values := range more {
			for _, v := range values {
				changed := maps.Clone(vars)
				if _, ok := changed[env]; ok {
					changed[env] = v
					variants = append(variants, changed)
				}
			}
		}
		for _, v := range variants {
			fromEnv, _, err := Load(Options{Dir: t.TempDir(), Environ: environ(v)})
			if err != nil {
				t.Errorf("%s generation by environment: %v", name, err)
				continue
			}
			fromFile, _, err := Load(Options{Dir: write(t, "config.yml", asFile(v))})
			if err != nil {
				t.Errorf("%s generation by config.yml: %v", name, err)
				continue
			}
			for _, s := range Settings() {
				if s.Key != "spool.dir" && s.Key != "admin.socket" && s.get(fromEnv) != s.get(fromFile) {
					t.Errorf("%s: environment gives %q, config.yml %q", s.Key, s.get(fromEnv), s.get(fromFile))
				}
			}
		}
	}
}

func TestFirstGenerationMeansWhatItMeant(t *testing.T) {
	cfg, report := mustLoad(t, Options{Environ: environ(firstGeneration())})
	if got := cfg.Connector.DurationPeriod.String(); got != "PT5M" {
		t.Errorf("an interval of 5 is %s, want 5 minutes", got)
	}
	if cfg.Connector.ConfidenceLevel != 3 || !cfg.Connector.UpdateExistingData {
		t.Errorf("confidence %d, update %v", cfg.Connector.ConfidenceLevel, cfg.Connector.UpdateExistingData)
	}
	if got := strings.Join(cfg.ThreatMatch.Datasets(), " "); got != "profiles alerts iocs" {
		t.Errorf("datasets %s", got)
	}
	want := "environment THREATMATCH_INTERVAL: threatmatch.interval: is an old setting; it is read as minutes, until 2027-01-01; " +
		"write connector.duration_period = PT5M (CONNECTOR_DURATION_PERIOD), or P5D if your Python connector was of July 2026 or later: those counted days"
	if len(report.Warnings) != 1 || report.Warnings[0].String() != want {
		t.Errorf("warnings %q, want %q", report.Warnings, want)
	}
	if report.Origins["connector.duration_period"] != "environment THREATMATCH_INTERVAL" {
		t.Errorf("origin %q", report.Origins["connector.duration_period"])
	}
}

func TestIntervalGivesWayToThePeriod(t *testing.T) {
	cfg, report := mustLoad(t, Options{Environ: environ(base(), map[string]string{"THREATMATCH_INTERVAL": "5", "CONNECTOR_DURATION_PERIOD": "PT1H"})})
	if cfg.Connector.DurationPeriod.String() != "PT1H" || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0].Message, "ignored") {
		t.Errorf("got period %s and warnings %v, want PT1H and one warning: ignored", cfg.Connector.DurationPeriod, report.Warnings)
	}
}

func TestMisspeltName(t *testing.T) {
	const misspelt = "THREATMATCH_THREAT_ACTOR_AS_INSTRUSION_SET"
	cfg, report := mustLoad(t, Options{Environ: environ(base(), map[string]string{misspelt: "false"})})
	if cfg.ThreatMatch.ThreatActorAsIntrusionSet {
		t.Error("the misspelt name is not read")
	}
	want := "environment " + misspelt + ": threatmatch.threat_actor_as_intrusion_set: " + misspelt +
		" is an old name of THREATMATCH_THREAT_ACTOR_AS_INTRUSION_SET; it is read until 2028-01-01"
	if len(report.Warnings) != 1 || report.Warnings[0].String() != want {
		t.Errorf("warnings %q, want %q", report.Warnings, want)
	}
	// If the right name is given, too, that one wins.
	cfg, report = mustLoad(t, Options{Environ: environ(base(), map[string]string{misspelt: "false", "THREATMATCH_THREAT_ACTOR_AS_INTRUSION_SET": "true"})})
	if !cfg.ThreatMatch.ThreatActorAsIntrusionSet || len(report.Warnings) != 2 {
		t.Errorf("got %v and warnings %v, want true and two warnings", cfg.ThreatMatch.ThreatActorAsIntrusionSet, report.Warnings)
	}
}

func TestEveryNameOfThePlatformIsKnown(t *testing.T) {
	vars := map[string]string{
		"OPENCTI_CUSTOM_HEADERS": "a:b", "OPENCTI_SSL_VERIFY": "false", "OPENCTI_JSON_LOGGING": "true",
		"CONNECTOR_QUEUE_THRESHOLD": "500", "CONNECTOR_RUN_AND_TERMINATE": "false", "CONNECTOR_VALIDATE_BEFORE_IMPORT": "false",
		"CONNECTOR_QUEUE_PROTOCOL": "amqp", "QUEUE_PROTOCOL": "amqp", "CONNECTOR_SEND_TO_QUEUE": "true", "CONNECTOR_SEND_TO_DIRECTORY": "false",
		"CONNECTOR_SEND_TO_DIRECTORY_PATH": "/tmp/x", "CONNECTOR_SEND_TO_DIRECTORY_RETENTION": "7",
		"CONNECTOR_EXPOSE_METRICS": "true", "CONNECTOR_METRICS_PORT": "9095", "CONNECTOR_METRICS_NAMESPACE": "a", "CONNECTOR_METRICS_SUBSYSTEM": "b",
		"MQ_HOST": "rabbitmq", "MQ_PORT": "5672", "MQ_VHOST": "/", "MQ_USE_SSL": "false", "MQ_USER": "u", "MQ_PASS": "p",
		"MQ_USE_SSL_PASSPHRASE": "x", "MQ_USE_SSL_REJECT_UNAUTHORIZED": "false",
		"HTTP_PROXY": "http://proxy:3128", "HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "localhost",
	}
	meaningless := []string{
		"CONNECTOR_AUTO", "CONNECTOR_AUTO_UPDATE", "CONNECTOR_ONLY_CONTEXTUAL", "CONNECTOR_ENRICHMENT_RESOLUTION",
		"CONNECTOR_SEND_TO_S3", "CONNECTOR_SEND_TO_S3_BUCKET", "CONNECTOR_SEND_TO_S3_FOLDER", "CONNECTOR_SEND_TO_S3_RETENTION",
		"S3_ENDPOINT", "S3_PORT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_USE_SSL", "S3_BUCKET_REGION",
		"CONNECTOR_LISTEN_PROTOCOL", "CONNECTOR_LISTEN_PROTOCOL_API_PORT", "CONNECTOR_LISTEN_PROTOCOL_API_PATH",
		"CONNECTOR_LISTEN_PROTOCOL_API_SSL", "CONNECTOR_LISTEN_PROTOCOL_API_URI", "CONNECTOR_LIVE_STREAM_ID", "CONNECTOR_LIVE_STREAM_ANYTHING",
		"CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT", "CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL", "CONNECTOR_XTM_ONE_INTENT",
	}
	for _, name := range meaningless {
		vars[name] = "false"
	}
	_, fromEnv := mustLoad(t, Options{Environ: environ(base(), vars)})
	proxies := []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
	for _, name := range append(proxies, "QUEUE_PROTOCOL") {
		delete(vars, name)
	}
	_, fromFile := mustLoad(t, Options{Environ: environ(base()), Dir: write(t, "config.yml", asFile(vars))})
	for source, report := range map[string]Report{"environment": fromEnv, "config.yml": fromFile} {
		var told []string
		for _, w := range report.Warnings {
			if strings.Contains(w.Message, "no meaning here") {
				told = append(told, strings.ToUpper(strings.ReplaceAll(w.Key, ".", "_")))
			}
			if strings.Contains(w.Message, "not a known setting") {
				t.Errorf("%s: %s", source, w)
			}
		}
		if len(told) != len(meaningless) {
			t.Errorf("%s: %d of %d meaningless names are told: %v", source, len(told), len(meaningless), told)
		}
	}
}

func TestTheSampleOfThePythonConnectorNeedsItsChangeMes(t *testing.T) {
	dir := write(t, "config.yml", `opencti:
  url: 'http://localhost'
  token: 'ChangeMe'
connector:
  type: 'EXTERNAL_IMPORT'
  id: 'ChangeMe'
  name: 'ThreatMatch'
  scope: 'threatmatch'
  log_level: 'info'
  duration_period: "P1D"
threatmatch:
  url: 'https://eu.threatmatch.com'
  client_id: 'ChangeMe'
  client_secret: 'ChangeMe'
  import_from_date: 'P30D'
`)
	_, _, err := Load(Options{Dir: dir})
	problems := ProblemsOf(err)
	if len(problems) != 4 {
		t.Fatalf("%d problems: %v", len(problems), err)
	}
	for _, p := range problems {
		if p.Message != changeMe || p.Source == "" {
			t.Errorf("got problem %s, want only ChangeMe ones with their source", p)
		}
	}
}

func TestTheDefaultIDIsThatOfThePythonConnector(t *testing.T) {
	cfg, report := mustLoad(t, Options{Environ: environ(base(), map[string]string{"CONNECTOR_ID": ""})})
	if cfg.Connector.ID != "9850490a-4273-429b-95f8-47dacda88fbf" || len(report.Warnings) != 1 || report.Warnings[0].Key != "connector.id" {
		t.Errorf("got id %s and warnings %v, want the known id and one warning", cfg.Connector.ID, report.Warnings)
	}
}

func TestOnceAndOffline(t *testing.T) {
	for name, c := range map[string]struct {
		vars          map[string]string
		once, offline bool
	}{
		"daemon":            {map[string]string{}, false, false},
		"run and terminate": {map[string]string{"CONNECTOR_RUN_AND_TERMINATE": "true"}, true, false},
		"zero period":       {map[string]string{"CONNECTOR_DURATION_PERIOD": "0"}, true, false},
		"zero ISO period":   {map[string]string{"CONNECTOR_DURATION_PERIOD": "PT0S"}, true, false},
		"offline": {map[string]string{"OPENCTI_URL": "", "OPENCTI_TOKEN": "", "CONNECTOR_SEND_TO_QUEUE": "false",
			"CONNECTOR_SEND_TO_DIRECTORY": "true", "CONNECTOR_SEND_TO_DIRECTORY_PATH": "out"}, false, true},
		"directory beside the platform": {map[string]string{"CONNECTOR_SEND_TO_QUEUE": "false",
			"CONNECTOR_SEND_TO_DIRECTORY": "true", "CONNECTOR_SEND_TO_DIRECTORY_PATH": "out"}, false, false},
	} {
		dir := t.TempDir()
		cfg, _ := mustLoad(t, Options{Dir: dir, Environ: environ(base(), c.vars)})
		if cfg.Once() != c.once || cfg.Offline() != c.offline {
			t.Errorf("%s: once %v, offline %v", name, cfg.Once(), cfg.Offline())
		}
		if p := cfg.Connector.SendToDirectoryPath; p != "" && p != filepath.Join(dir, "out") {
			t.Errorf("%s: directory %s", name, p)
		}
	}
	_, _, err := Load(Options{Dir: t.TempDir(), Environ: environ(base(), map[string]string{"OPENCTI_URL": "", "CONNECTOR_SEND_TO_QUEUE": "false",
		"CONNECTOR_SEND_TO_DIRECTORY": "true", "CONNECTOR_SEND_TO_DIRECTORY_PATH": "out"})})
	if ps := ProblemsOf(err); len(ps) != 1 || ps[0].Key != "opencti.url" {
		t.Errorf("a token without an address: %v", err)
	}
	_, _, err = Load(Options{Dir: t.TempDir(), Environ: environ(base(), map[string]string{"OPENCTI_URL": "", "OPENCTI_TOKEN": "", "CONNECTOR_SEND_TO_QUEUE": "false"})})
	if ps := ProblemsOf(err); len(ps) != 3 {
		t.Errorf("neither a platform nor a directory: %v", err)
	}
}
