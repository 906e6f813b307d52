package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBrokenFiles(t *testing.T) {
	for text, want := range map[string]string{
		"opencti:\n  url: http://x\n  url: http://y\n":                 "config.yml:3: opencti.url: is set a second time, after line 2",
		"name: a\n---\nname: b\n":                                      "config.yml:1: holds more than one document; only the first is read",
		"- name: a\n":                                                  "config.yml:1: does not consist of sections with settings",
		"just text\n":                                                  "config.yml:1: does not consist of sections with settings",
		"connector: ThreatMatch\n":                                     "config.yml:1: connector: is a section; its settings go below it, indented",
		"connector:\n  name: [a, b]\n":                                 `config.yml:2: connector.name: a list where one value is expected; allowed: text of one line`,
		"connector:\n  name: {a: b}\n":                                 "config.yml:2: connector.name: one value is expected here, not a section",
		"connector:\n  scope: [a, [b]]\n":                              "config.yml:2: connector.scope: one value is expected here",
		"connector:\n  scope: ['a,b']\n":                               `config.yml:2: connector.scope: the item "a,b" is not of the form that is allowed; allowed: names with commas between them`,
		"connector:\n  scope: [',']\n":                                 `config.yml:2: connector.scope: the item "," is not of the form that is allowed; allowed: names with commas between them`,
		"conector:\n  name: a\n":                                       `config.yml:1: conector: is not a known setting; did you mean "connector"?`,
		"threatmatch:\n  bogus: a\n":                                   `config.yml:2: threatmatch.bogus: is not a known setting`,
		"connector:\n  nmae: a\n":                                      `config.yml:2: connector.nmae: is not a known setting; did you mean "connector.name"?`,
		"connector:\n  something_else: a\n":                            "config.yml:2: connector.something_else: is not a known setting",
		"x-mine: a\n":                                                  "config.yml:1: x-mine: is not a known setting",
		"opencti:\n  log_level: info\n":                                `config.yml:2: opencti.log_level: is not a known setting; did you mean "connector.log_level"?`,
		"a: &a {name: b}\n":                                            "config.yml:1: a: is not a known setting",
		"connector:\n  <<: {name: b}\n":                                "config.yml:2: a plain name is expected here",
		"connector:\n  ? [a]\n  : b\n":                                 "config.yml:2: a plain name is expected here",
		"connector:\n  name: !mine x\n":                                "config.yml:2: connector.name: a value that starts with ! must be in quotes",
		"connector:\n  name: \"a\\0b\"\n":                              "config.yml:2: connector.name = \"a\\x00b\": not of the form that is allowed; allowed: text of one line",
		"connector:\n  name: 'a\n":                                     "config.yml:2: is not YAML: found unexpected end of stream",
		"connector:\n  name: a: b\n":                                   "config.yml:2: is not YAML: mapping values are not allowed in this context (a value with a colon and a blank in it must be in quotes)",
		"\x00":                                                         "config.yml: is not YAML: control characters are not allowed",
		"connector:\n  name_file: missing\n":                           `config.yml:2: connector.name = "missing": names a file that cannot be read (no such file or directory); allowed: the path of a file that holds the value`,
		"mq:\n  use_ssl_key_file: /dev/null\n":                         "config.yml:2: mq.use_ssl_key: names something that is not a file; allowed: the path of a file that holds the value",
		"threatmatch:\n  interval: 0\n":                                `config.yml:2: threatmatch.interval = "0": out of range; allowed: a whole number from 1 to 5256000`,
		"threatmatch:\n  requests_per_second: 0\n":                     `config.yml:2: threatmatch.requests_per_second = "0": out of range; allowed: a number above 0, at most 1000`,
		"https_ca_certificates: config.yml\n":                          `config.yml:1: https_ca_certificates = "config.yml": holds no certificate in PEM form; allowed: PEM text, or the path of a file that holds it`,
		"opencti:\n  custom_headers: 'X Y:1'\n":                        `config.yml:2: opencti.custom_headers: not name:value pairs with semicolons between them; allowed: name:value, several with semicolons between them`,
		"connector:\n  validate_before_import: yes\n":                  `config.yml:2: connector.validate_before_import = "yes": not supported yet; allowed: false`,
		"threatmatch:\n  import_labels: some\n":                        `config.yml:2: threatmatch.import_labels = "some": not one of the words that are allowed; allowed: knowledge, all, none`,
		"threatmatch:\n  description_format: html\n":                   `config.yml:2: threatmatch.description_format = "html": not one of the words that are allowed; allowed: markdown, text`,
		"connector:\n  confidence_level: -1\n":                         `config.yml:2: connector.confidence_level = "-1": out of range; allowed: a whole number from 0 to 100`,
		"connector:\n  confidence_level: 101\n":                        `config.yml:2: connector.confidence_level = "101": out of range; allowed: a whole number from 0 to 100`,
		"connector:\n  type: INTERNAL_ENRICHMENT\n":                    `config.yml:2: connector.type = "INTERNAL_ENRICHMENT": not one of the words that are allowed; allowed: EXTERNAL_IMPORT`,
		"threatmatch:\n  url: https://me:pass@eu.example.com\n":        `config.yml:2: threatmatch.url = "https://***@eu.example.com": an address with a user or a password in it; allowed: an http:// or https:// address without user, password, query and fragment`,
		"threatmatch:\n  url: https://eu.example.com/?token=t0ken@x\n": `config.yml:2: threatmatch.url = "https://eu.example.com/?***": an address with a query or a fragment; allowed: an http:// or https:// address without user, password, query and fragment; did you mean "https://eu.example.com/"?`,
		"threatmatch:\n  url: https://me:pa?ss@eu.example.com\n":       `config.yml:2: threatmatch.url = "https://***": not an address; allowed: an http:// or https:// address without user, password, query and fragment`,
		"threatmatch:\n  url: https://me:1234?5@eu.example.com\n":      `config.yml:2: threatmatch.url = "https://***": not an address; allowed: an http:// or https:// address without user, password, query and fragment`,
		"threatmatch:\n  url: https://me:p/a?ss@eu.example.com\n":      `config.yml:2: threatmatch.url = "https://***": not an address; allowed: an http:// or https:// address without user, password, query and fragment`,
		"threatmatch:\n  url: https://me:1234#5@eu.example.com\n":      `config.yml:2: threatmatch.url = "https://***@eu.example.com": not an address; allowed: an http:// or https:// address without user, password, query and fragment`,
	} {
		_, _, err := Load(Options{Dir: write(t, "config.yml", text), Environ: environ(base())})
		var got []string
		for _, p := range ProblemsOf(err) {
			got = append(got, p.Error())
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%q:\n%s\nwant:\n%s", text, strings.Join(got, "\n"), want)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, _, err := Load(Options{Environ: environ(map[string]string{"CONNECTOR_ID": "x", "SPOOL_MAX_SIZE": "1"}),
		Dir: write(t, "config.yml", "nothing: x\nthreatmatch:\n  tlp_level: pink\n  url: ''\n")})
	var keys []string
	for _, p := range ProblemsOf(err) {
		keys = append(keys, p.Key)
	}
	want := "nothing opencti.url opencti.token connector.id threatmatch.client_id threatmatch.client_secret threatmatch.tlp_level spool.max_size"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("problems %s, want %s", got, want)
	}
	// What may be in a file that cannot be read is not reported as missing.
	_, _, err = Load(Options{Environ: environ(map[string]string{"SPOOL_MAX_SIZE": "1"}), Dir: write(t, "config.yml", "connector: [\n")})
	if ps := ProblemsOf(err); len(ps) != 2 || ps[0].Source != "config.yml:1" || ps[1].Key != "spool.max_size" {
		t.Errorf("problems %v", err)
	}
}

func TestUnknownVariables(t *testing.T) {
	for name, want := range map[string]string{
		"THREATMATCH_LOG_LEVEL":          "is not a known setting; it is ignored; did you mean CONNECTOR_LOG_LEVEL?",
		"THREATMATCH_CLIENT_SECERT_FILE": "is not a known setting; it is ignored; did you mean THREATMATCH_CLIENT_SECRET_FILE?",
		"CONNECTOR_RUN_EVERY":            "is not a known setting; it is ignored",
		"OPENCTI_ADMIN_EMAIL":            "is not a known setting; it is ignored",
		"CONNECTOR_HISTORY_ID":           "is not a known setting; it is ignored",
		"connector_nmae":                 "is not a known setting; it is ignored; did you mean CONNECTOR_NAME?",
		"PATH_TO_SOMETHING":              "",
		"CONNECTORS":                     "",
		"S3_OTHER":                       "",
	} {
		_, report := mustLoad(t, Options{Environ: environ(base(), map[string]string{name: canary})})
		got := ""
		for _, w := range report.Warnings {
			got += w.Message
			if w.Source != "environment "+name {
				t.Errorf("%s: source %q", name, w.Source)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAdvice(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		vars map[string]string
		key  string
	}{
		"a start in the future":    {map[string]string{"THREATMATCH_IMPORT_FROM_DATE": "2026-01-01T20:00:00Z"}, "threatmatch.import_from_date"},
		"no certificate check":     {map[string]string{"OPENCTI_SSL_VERIFY": "false"}, "opencti.ssl_verify"},
		"GraphQL's path":           {map[string]string{"OPENCTI_URL": "http://opencti:8080/graphql"}, "opencti.url"},
		"nothing remembered":       {map[string]string{"SPOOL_FORGET_AFTER": "0"}, "spool.forget_after"},
		"a directory without path": {map[string]string{"CONNECTOR_SEND_TO_DIRECTORY": "true"}, "connector.send_to_directory"},
		"a path without directory": {map[string]string{"CONNECTOR_SEND_TO_DIRECTORY_PATH": "x"}, "connector.send_to_directory_path"},
	} {
		_, report := mustLoad(t, Options{Now: now, Environ: environ(base(), c.vars)})
		if len(report.Warnings) != 1 || report.Warnings[0].Key != c.key {
			t.Errorf("%s: %q", name, report.Warnings)
		}
	}
}

func TestStartInTheFuture(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for start, want := range map[string]string{
		"2027-11-01": "environment THREATMATCH_IMPORT_FROM_DATE: threatmatch.import_from_date = \"2027-11-01T00:00:00Z\": lies in the future: " +
			"nothing would be imported before; correct it, or this machine's clock, which says 2026-11-01",
		"2026-11-01T23:00:00Z": "", // only a warning
		"2025-11-01":           "",
		"P30D":                 "",
		"0":                    "",
	} {
		_, _, err := Load(Options{Now: now, Environ: environ(base(), map[string]string{"THREATMATCH_IMPORT_FROM_DATE": start})})
		if got := fmt.Sprint(err); got != want && !(want == "" && err == nil) {
			t.Errorf("%s: %s", start, got)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".env"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, Options{Dir: dir, Environ: environ(base())}) // a directory of that name is not a file of settings
	save(t, filepath.Join(dir, "big.yml"), strings.Repeat("#\n", maxFile))
	_, _, err := Load(Options{Dir: dir, Path: "big.yml", Environ: environ(base())})
	if ps := ProblemsOf(err); len(ps) != 1 || ps[0].Error() != "big.yml: is too large for a file of settings" {
		t.Errorf("got error %v, want one problem: too large", err)
	}
	_, report := mustLoad(t, Options{Dir: write(t, "config.yaml", "x"), Environ: environ(base())})
	if len(report.Warnings) != 1 || report.Warnings[0].Key != "config.yaml" {
		t.Errorf("warnings %q", report.Warnings)
	}
	_, report = mustLoad(t, Options{Environ: environ(base(), map[string]string{"CREDENTIALS_DIRECTORY": filepath.Join(t.TempDir(), "gone")})})
	if len(report.Warnings) != 1 || report.Warnings[0].Key != "CREDENTIALS_DIRECTORY" {
		t.Errorf("warnings %q", report.Warnings)
	}
	dir = write(t, "threatmatch_client_secert", "x")
	save(t, filepath.Join(dir, "someone-elses"), "x")
	_, report = mustLoad(t, Options{Environ: environ(base(), map[string]string{"CREDENTIALS_DIRECTORY": dir})})
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0].Message, "THREATMATCH_CLIENT_SECRET") {
		t.Errorf("warnings %q", report.Warnings)
	}
	_, report = mustLoad(t, Options{Environ: environ(base()), Dir: write(t, ".env", "fine=1\nnot fine\n")})
	if len(report.Warnings) != 1 || report.Warnings[0].Source != ".env:2" {
		t.Errorf("warnings %q", report.Warnings)
	}
}
