package config

import (
	"bytes"
	"flag"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated files anew")

// Generated returns the files beside this package that are made from the table, by name, each with the function that
// writes it.
func Generated() map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"config.yml.sample":            WriteSample,
		"connector_config_schema.json": WriteSchema,
		"connector_manifest.json":      WriteManifest,
		"connector_catalog.json":       WriteCatalog,
		"SETTINGS.md":                  WriteMarkdown,
	}
}

func sampleText(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSample(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSampleNeedsOnlyItsChangeMes(t *testing.T) {
	text := sampleText(t)
	_, _, err := Load(Options{Dir: write(t, "config.yml", text)})
	for _, p := range ProblemsOf(err) {
		if p.Message != changeMe {
			t.Errorf("got problem %s, want only ChangeMe ones", p)
		}
	}
	text = strings.Replace(text, "\n  id: ChangeMe", "\n  id: "+someID, 1)
	text = strings.ReplaceAll(text, ": ChangeMe", ": filled-in")
	cfg, report := mustLoad(t, Options{Dir: write(t, "config.yml", text)})
	if len(report.Warnings) > 0 {
		t.Errorf("warnings %q", report.Warnings)
	}
	for _, s := range Settings() {
		if s.Default != "" && s.Key != "connector.id" && s.get(cfg) != s.normal(s.Default) {
			t.Errorf("%s = %q", s.Key, s.get(cfg))
		}
	}
}

func TestSampleIsWholeWithoutItsMarks(t *testing.T) {
	// A line of settings, unlike one of text, is "# name:" without a blank in the name.
	mark := regexp.MustCompile(`(?m)^( *)# ( *)([a-z_]+:(?: .*)?)$`)
	text := mark.ReplaceAllString(sampleText(t), "$1$2$3")
	text = strings.ReplaceAll(text, ": ChangeMe", ": "+someID)
	dir := write(t, "config.yml", text)
	for _, name := range []string{"/etc/ssl/rabbitmq/ca.pem", "/etc/ssl/rabbitmq/client.pem", "/etc/ssl/rabbitmq/client.key", "/etc/ssl/company-ca.pem"} {
		text = strings.ReplaceAll(text, name, filepath.Base(name))
		save(t, filepath.Join(dir, filepath.Base(name)), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	}
	save(t, filepath.Join(dir, "config.yml"), text)
	cfg, report := mustLoad(t, Options{Dir: dir})
	for _, w := range report.Warnings {
		if w.Key != "connector.send_to_directory_path" {
			t.Errorf("got warning %s, want only that of connector.send_to_directory_path", w)
		}
	}
	for _, s := range Settings() {
		if s.Legacy != "" {
			continue
		}
		if !strings.HasPrefix(report.Origins[s.Key], "config.yml:") {
			t.Errorf("%s is not in the sample (%s)", s.Key, report.Origins[s.Key])
		}
		if s.get(cfg) == "" {
			t.Errorf("%s has no example", s.Key)
		}
	}
}

// In the sample a comment is above its key, at the same indent, also in sections that are commented out.
func TestSampleIndent(t *testing.T) {
	for line := range strings.Lines(sampleText(t)) {
		if strings.HasPrefix(line, "#  ") {
			t.Errorf("another indent than that of its comment: %s", line)
		}
	}
}
