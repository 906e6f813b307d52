package internal_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"threatmatch-connector/internal/sim/opencti"
)

var update = flag.Bool("update", false, "write the generated part of the guide")

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

// TestMistakesAreInTheGuide: the list of mistakes that config makes is a part of the guide.
func TestMistakesAreInTheGuide(t *testing.T) {
	const guide, begin, end = "../deploy/TROUBLESHOOTING.md", "<!-- begin mistakes -->\n", "<!-- end mistakes -->"
	want, err := os.ReadFile("../config/mistakes.md")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(raw), begin)
	list, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		t.Fatalf("%s has no part between %q and %q", guide, begin, end)
	}
	text := strings.TrimSpace(string(want))
	if strings.TrimSpace(list) == text {
		return
	}
	if !*update {
		t.Fatalf("the mistakes in %s are not those of config; run: go test ./internal -update", guide)
	}
	if err := os.WriteFile(guide, []byte(before+begin+"\n"+text+"\n\n"+end+after), 0o644); err != nil {
		t.Fatal(err)
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
