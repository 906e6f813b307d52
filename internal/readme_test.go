package internal_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/sim/opencti"
)

var update = flag.Bool("update", false, "write the generated parts of the documents")

// generatedIn says in which document each part is.
var generatedIn = map[string]string{
	"mistakes": "../deploy/TROUBLESHOOTING.md",
	"imports":  "mapping/RULES.md",
	"rules":    "mapping/RULES.md",
}

// generated makes the parts of documents that stand in the code; config has
// tests of its own for SETTINGS.md.
var generated = map[string]func() (string, error){
	"mistakes": func() (string, error) {
		raw, err := os.ReadFile("../config/mistakes.md")
		return string(raw), err
	},
	"imports": func() (string, error) {
		var b strings.Builder
		b.WriteString("| dataset | what it is | entities | relationships |\n|---|---|---|---|\n")
		for _, i := range mapping.Imports() {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", i.Dataset, i.Content, strings.Join(i.Entities, ", "), strings.Join(i.Relationships, ", "))
		}
		return b.String(), nil
	},
	"rules": func() (string, error) {
		var b strings.Builder
		b.WriteString("| ThreatMatch sends | OpenCTI gets | why |\n|---|---|---|\n")
		for _, r := range mapping.Rules() {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.From, r.To, r.Why)
		}
		return b.String(), nil
	},
}

// The README leads to every document of deploy, and names what is needed.
func TestREADMELeadsOn(t *testing.T) {
	read := func(path string) string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	text := read("../README.md")
	wanted := []string{"deploy/monitoring", "deploy/kubernetes", "deploy/systemd/threatmatch-connector.service", "KEEP=1", "DATA=dir", "CONNECTORAPI", "spool.lock", "spool.reserve", "admin.sock", "](config/SETTINGS.md", "](internal/mapping/RULES.md", "](internal/ARCHITECTURE.md", "make test", "make conformance"}
	if lines := strings.Count(text, "\n"); lines > 220 {
		t.Errorf("README.md has %d lines, want at most 220", lines)
	}
	documents, err := filepath.Glob("../deploy/*.md")
	if err != nil || len(documents) < 4 {
		t.Fatalf("got documents %v and error %v, want at least four", documents, err)
	}
	for _, d := range documents {
		wanted = append(wanted, "](deploy/"+filepath.Base(d))
	}
	for _, script := range []string{"../deploy/demo.sh", "../deploy/rabbitmq.sh"} {
		if strings.Contains(read(script), "curl ") {
			wanted = append(wanted, "curl for the demo")
		}
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read("../go.mod"))
	wanted = append(wanted, "Needs Go "+version[1]+" or newer")
	wanted = append(wanted, opencti.ProfileNames()...)
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("README.md does not name %q", w)
		}
	}
}

func TestDocumentsAreGenerated(t *testing.T) {
	for name, make := range generated {
		want, err := make()
		if err != nil {
			t.Fatal(err)
		}
		path := generatedIn[name]
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
		i, j := strings.Index(text, begin), strings.Index(text, end)
		if i < 0 || j < i {
			t.Errorf("%s has no part %q", path, name)
			continue
		}
		i += len(begin)
		if strings.TrimSpace(text[i:j]) == strings.TrimSpace(want) {
			continue
		}
		if !*update {
			t.Errorf("the part %q of %s is not what the code says; run: go test ./internal -update", name, path)
			continue
		}
		text = text[:i] + "\n" + strings.TrimSpace(want) + "\n\n" + text[j:]
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var linked = regexp.MustCompile(`\]\(([^)#:]+)\)`)

// fileName finds file and folder names in the prose of the documents.
var fileName = regexp.MustCompile("`((?:internal|spool|config|cmd|deploy)/[A-Za-z0-9_./-]+)`")

// TestDocumentsNameFilesThatExist keeps the documents from pointing into the void.
func TestDocumentsNameFilesThatExist(t *testing.T) {
	for _, doc := range []string{"../README.md", "ARCHITECTURE.md", "PERFORMANCE.md", "mapping/RULES.md", "../config/SETTINGS.md", "../spool/FORMAT.md"} {
		raw, err := os.ReadFile(doc)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range linked.FindAllStringSubmatch(string(raw), -1) {
			exists(t, doc, filepath.Join(filepath.Dir(doc), m[1]))
		}
		for _, m := range fileName.FindAllStringSubmatch(string(raw), -1) {
			exists(t, doc, filepath.Join("..", m[1]))
		}
	}
}

func exists(t *testing.T, doc, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("%s names %s, which does not exist", doc, path)
	}
}
