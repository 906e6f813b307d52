package config

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mistake is something that users do, what they are told, and how to fix it.
type mistake struct {
	title, remedy string
	env           map[string]string // besides what is right; empty removes a name
	file          string            // config.yml
	opt           func(*Options)
	messages      []string // all problems, then all warnings
}

func mistakes() []mistake {
	env := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	return []mistake{
		{title: "Something required is not set", env: env("OPENCTI_URL", "", "THREATMATCH_CLIENT_SECRET", ""),
			remedy: "Set it in one of the two places. In a container, check that the variable really reaches it: an empty one counts as not set.",
			messages: []string{
				"opencti.url: is not set; give OPENCTI_URL in the environment or opencti.url in config.yml",
				"threatmatch.client_secret: is not set; give THREATMATCH_CLIENT_SECRET in the environment or threatmatch.client_secret in config.yml",
			}},
		{title: "A ChangeMe is left", env: env("OPENCTI_TOKEN", "ChangeMe"),
			remedy:   "Put the real value in: the token of the connector's user on the platform.",
			messages: []string{"environment OPENCTI_TOKEN: opencti.token: still the sample's ChangeMe"}},
		{title: "A variable's name is cut short", env: env("THREATMATCH_TLP", "red"),
			remedy:   "Give the whole name.",
			messages: []string{"environment THREATMATCH_TLP: is not a known setting; it is ignored; did you mean THREATMATCH_TLP_LEVEL?"}},
		{title: "A variable is left in a value", env: env("THREATMATCH_CLIENT_ID", "${TM_ID}", "OPENCTI_TOKEN", "${OPENCTI_TOKEN:-x}"),
			remedy: "Docker Compose replaces `${NAME}` in a compose file, and nothing does it in config.yml or in a file of variables.",
			messages: []string{
				"environment OPENCTI_TOKEN: opencti.token: is a variable that was not replaced by its value; variables are not expanded here: give the value itself, or set OPENCTI_TOKEN",
				`environment THREATMATCH_CLIENT_ID: threatmatch.client_id = "${TM_ID}": is a variable that was not replaced by its value; variables are not expanded here: give the value itself, or set THREATMATCH_CLIENT_ID`,
			}},
		{title: "Every dataset is switched off",
			env:      env("THREATMATCH_IMPORT_PROFILES", "false", "THREATMATCH_IMPORT_ALERTS", "false", "THREATMATCH_IMPORT_REPORTS", "false", "THREATMATCH_IMPORT_IOCS", "false"),
			remedy:   "Leave at least one of them on.",
			messages: []string{"threatmatch.import_profiles: every dataset is switched off, so that nothing would be imported; switch one on"}},
		{title: "A STIX type is misspelt", env: env("THREATMATCH_TAXII_TYPES", "indicators"),
			remedy:   "Names of types have no plural.",
			messages: []string{"environment THREATMATCH_TAXII_TYPES: threatmatch.taxii_types: indicators is not a standard STIX type; a server that has none of it returns nothing; did you mean indicator?"}},
		{title: "The address has the path of the API", env: env("THREATMATCH_URL", "https://eu.threatmatch.com/api/stix"),
			remedy:   "Give the address without the path.",
			messages: []string{"environment THREATMATCH_URL: threatmatch.url: has /api in it, which the connector adds itself; give the base address, https://eu.threatmatch.com"}},
		{title: "The address has no scheme", env: env("OPENCTI_URL", "opencti.example.com:8080"),
			remedy:   "Write http:// or https:// before it.",
			messages: []string{`environment OPENCTI_URL: opencti.url = "opencti.example.com:8080": no http:// or https:// before it; allowed: an http:// or https:// address without user, password, query and fragment; did you mean "https://opencti.example.com:8080"?`}},
		{title: "The connector's id is not a UUID", env: env("CONNECTOR_ID", "threatmatch_1"),
			remedy: "Make one with `cat /proc/sys/kernel/random/uuid` and keep it: the platform keeps the state under it.",
			messages: []string{
				`environment CONNECTOR_ID: connector.id = "threatmatch_1": has an underscore, which OpenCTI uses to cut queue names apart; allowed: a UUID of version 4, such as one that cat /proc/sys/kernel/random/uuid prints`,
			}},
		{title: "A name in config.yml is misspelt", file: "threatmatch:\n  client_secert: x\n",
			remedy:   "Correct the name.",
			messages: []string{`config.yml:2: threatmatch.client_secert: is not a known setting; did you mean "threatmatch.client_secret"?`}},
		{title: "A variable's name is misspelt", env: env("THREATMATCH_CLIENTID", "x", "THREATMATCH_CLIENT_ID", ""),
			remedy: "Correct the name. Unknown variables are only a warning: other programs' variables may begin alike.",
			messages: []string{
				"threatmatch.client_id: is not set; give THREATMATCH_CLIENT_ID in the environment or threatmatch.client_id in config.yml",
				"environment THREATMATCH_CLIENTID: is not a known setting; it is ignored; did you mean THREATMATCH_CLIENT_ID?",
			}},
		{title: "A setting stands in the wrong section", file: "threatmatch:\n  log_level: info\n",
			remedy:   "Move it below the section that is named.",
			messages: []string{`config.yml:2: threatmatch.log_level: is not a known setting; did you mean "connector.log_level"?`}},
		{title: "A period is not ISO 8601", env: env("CONNECTOR_DURATION_PERIOD", "24h"),
			remedy:   "ISO 8601 begins with P, and with PT for hours, minutes and seconds. P1M is a month, PT1M a minute.",
			messages: []string{`environment CONNECTOR_DURATION_PERIOD: connector.duration_period = "24h": not a duration; allowed: an ISO 8601 duration such as P1D, P1M, PT5M or PT1H30M, HH:MM:SS, or 0; did you mean "PT24H"?`}},
		{title: "A period without T before its hours", env: env("CONNECTOR_DURATION_PERIOD", "P6H"),
			remedy:   "Write PT before hours, minutes and seconds.",
			messages: []string{`environment CONNECTOR_DURATION_PERIOD: connector.duration_period = "P6H": not a duration; allowed: an ISO 8601 duration such as P1D, P1M, PT5M or PT1H30M, HH:MM:SS, or 0; did you mean "PT6H"?`}},
		{title: "A period without a unit", env: env("CONNECTOR_DURATION_PERIOD", "60"),
			remedy:   "Say the unit: PT60M for minutes, PT60S for seconds. Only the old THREATMATCH_INTERVAL is a number of minutes.",
			messages: []string{`environment CONNECTOR_DURATION_PERIOD: connector.duration_period = "60": a number alone has no unit; allowed: an ISO 8601 duration such as P1D, P1M, PT5M or PT1H30M, HH:MM:SS, or 0`}},
		{title: "A start that is not a date", env: env("THREATMATCH_IMPORT_FROM_DATE", "01/02/2025"),
			remedy:   "Write year, month and day: 2025-02-01.",
			messages: []string{`environment THREATMATCH_IMPORT_FROM_DATE: threatmatch.import_from_date = "01/02/2025": neither a date nor a duration; allowed: an ISO 8601 date or time (2025-01-01, 2025-01-01T08:00:00Z, "2025-01-01 08:00"; UTC without a zone), or an ISO 8601 duration before now (P30D)`}},
		{title: "A marking that does not exist", env: env("THREATMATCH_TLP_LEVEL", "TLP:AMBR"),
			remedy:   "Write one of the words, without TLP before it.",
			messages: []string{`environment THREATMATCH_TLP_LEVEL: threatmatch.tlp_level = "TLP:AMBR": not one of the words that are allowed; allowed: clear, white, green, amber, amber+strict, red; did you mean "amber"?`}},
		{title: "Neither yes nor no", env: env("THREATMATCH_IMPORT_IOCS", "ture"),
			remedy:   "Write true or false.",
			messages: []string{`environment THREATMATCH_IMPORT_IOCS: threatmatch.import_iocs = "ture": neither yes nor no; allowed: true, false, yes, no, on, off, 1, 0; did you mean "true"?`}},
		{title: "Quotes in a compose file's list of variables", env: env("CONNECTOR_RUN_AND_TERMINATE", `"true"`, "CONNECTOR_NAME", `"ThreatMatch"`),
			remedy: "In `- NAME=\"value\"` the quotes are part of the value. Put them around the whole entry or leave them out.",
			messages: []string{
				`environment CONNECTOR_RUN_AND_TERMINATE: connector.run_and_terminate = "\"true\"": the quotes are part of the value; allowed: true, false, yes, no, on, off, 1, 0; did you mean "true"?`,
				`environment CONNECTOR_NAME: connector.name: begins and ends with a quote, which is taken as part of the value`,
			}},
		{title: "A size with a unit that is not clear", env: env("SPOOL_MAX_SIZE", "4G"),
			remedy:   "Write GiB for 1024³ or GB for 1000³.",
			messages: []string{`environment SPOOL_MAX_SIZE: spool.max_size = "4G": the unit G means different things to different programs; allowed: a size of at least 8MiB such as 64MiB, 4GiB or 500MB; did you mean "4GiB"?`}},
		{title: "A tab in config.yml", file: "connector:\n\tname: x\n",
			remedy:   "YAML takes only blanks to indent.",
			messages: []string{"config.yml:2: is not YAML: found character that cannot start any token (a tab, or a value that starts with @, % or ` and must be in quotes)"}},
		{title: "A secret that YAML reads as something else", file: "threatmatch:\n  client_secret: *x9\n",
			remedy:   "Put the value in single quotes.",
			messages: []string{"config.yml: is not YAML: unknown anchor … referenced (a value that starts with * must be in quotes)"}},
		{title: "config.yml is a directory", opt: func(o *Options) { _ = os.Mkdir(filepath.Join(o.Dir, "config.yml"), 0o700) },
			remedy:   "Docker makes a directory where the file to mount does not exist on the host. Remove it, and create the file first.",
			messages: []string{"config.yml: is a directory; Docker makes one when the file to mount does not exist"}},
		{title: "The file with a secret is not there", env: env("THREATMATCH_CLIENT_SECRET_FILE", "/run/secrets/nowhere", "THREATMATCH_CLIENT_SECRET", ""),
			remedy: "Check the mount and the permissions. The path is not shown, as it may be the secret itself given by mistake.",
			messages: []string{
				"environment THREATMATCH_CLIENT_SECRET_FILE: threatmatch.client_secret: names a file that cannot be read (no such file or directory); allowed: the path of a file that holds the value",
			}},
		{title: "A queue protocol that does not exist", env: env("CONNECTOR_QUEUE_PROTOCOL", "http"),
			remedy:   "Write api, or take the line away: then messages go to RabbitMQ.",
			messages: []string{`environment CONNECTOR_QUEUE_PROTOCOL: connector.queue_protocol = "http": not one of the words that are allowed; allowed: amqp, api`}},
		{title: "Neither the queue nor a directory", env: env("CONNECTOR_SEND_TO_QUEUE", "false"),
			remedy:   "Switch on send_to_directory and give it a path, or leave the queue on.",
			messages: []string{`environment CONNECTOR_SEND_TO_QUEUE: connector.send_to_queue = "false": nothing would be sent anywhere: without the queue, connector.send_to_directory and connector.send_to_directory_path are needed`}},
		{title: "A certificate check that is neither yes, no nor a file", env: env("OPENCTI_SSL_VERIFY", "fasle"),
			remedy:   "Write true, false or the path of a file with certificates.",
			messages: []string{`environment OPENCTI_SSL_VERIFY: opencti.ssl_verify = "fasle": names a file that cannot be read (no such file or directory); allowed: true, false, or the path of a file with certificates; did you mean "false"?`}},
		{title: "Set in two places", file: "connector:\n  log_level: info\n", env: env("CONNECTOR_LOG_LEVEL", "debug"),
			remedy:   "Take one of them away, or set CONNECTOR_CONFIG_PRECEDENCE=env to let the environment win.",
			messages: []string{`config.yml:2: connector.log_level: is set in two places: "info" here is used, not "debug" of environment CONNECTOR_LOG_LEVEL`}},
		{title: "The file given with --config is not there", opt: func(o *Options) { o.Path = "/etc/threatmatch-connector/config.yaml" },
			remedy:   "Correct the path.",
			messages: []string{"/etc/threatmatch-connector/config.yaml: cannot be read: no such file or directory"}},
	}
}

func TestMistakes(t *testing.T) {
	for _, m := range mistakes() {
		t.Run(m.title, func(t *testing.T) {
			opt := Options{Dir: t.TempDir(), Environ: environ(base(), m.env)}
			if m.file != "" {
				save(t, filepath.Join(opt.Dir, "config.yml"), m.file)
			}
			if m.opt != nil {
				m.opt(&opt)
			}
			cfg, report, err := Load(opt)
			var got []string
			for _, p := range ProblemsOf(err) {
				got = append(got, p.Error())
			}
			if (cfg == nil) != (len(got) > 0) {
				t.Errorf("settings %v beside %d problems", cfg, len(got))
			}
			for _, w := range report.Warnings {
				got = append(got, w.String())
			}
			if strings.Join(got, "\n") != strings.Join(m.messages, "\n") {
				t.Errorf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(m.messages, "\n"))
			}
		})
	}
}

// writeMistakes writes the part of deploy/TROUBLESHOOTING.md about settings.
func writeMistakes(w io.Writer) error {
	var b strings.Builder
	for _, m := range mistakes() {
		fmt.Fprintf(&b, "**%s**\n\n```\n%s\n```\n\n%s\n\n", m.title, strings.Join(m.messages, "\n"), m.remedy)
	}
	_, err := io.WriteString(w, strings.TrimSuffix(b.String(), "\n"))
	return err
}

func TestGeneratedFiles(t *testing.T) {
	files := Generated()
	maps.Copy(files, map[string]func(io.Writer) error{"mistakes.md": writeMistakes})
	for name, write := range files {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if *update {
			if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, b.Bytes()) {
			t.Errorf("%s is not what the source gives; run: go test ./config -update", name)
		}
	}
}
