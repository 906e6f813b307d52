package metrics

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every counter of a run in the source is explained once; auditCounters checks those that the map stage counts in its
// tests.
func TestEveryCounterIsExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range runCounters() {
		if seen[c.Name] || c.Text == "" {
			t.Errorf("%s is there twice, or has no text", c.Name)
		}
		seen[c.Name] = true
	}
	found := 0
	for _, pattern := range []string{"../pipeline/*.go", "../pipeline/*/*.go", "../../spool/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`"((?:fetch|map|deliver)\.[a-z_]+):?"`).FindAllStringSubmatch(string(raw), -1) {
				found++
				if CounterText(m[1]) == "" {
					t.Errorf("%s: %s is explained nowhere", name, m[1])
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d counters found in the source", found)
	}
}

func TestCounterText(t *testing.T) {
	for name, want := range map[string]string{
		"fetch.items_alerts": "items fetched; also by dataset", "fetch.pages_of:ipv4-addr": "of these, by STIX type behind a colon",
		"map.dead_invalid": "dead letters of this stage; also by class as dead_<class>", "map.records_iocs": "records mapped; also by dataset as records_<dataset>",
		"map.type_unknown:x-foo": "left out: objects of a type that OpenCTI does not know, by type",
	} {
		if got := CounterText(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := CounterText("map.nonsense"); got != "" {
		t.Errorf("an unknown counter: got %q, want none", got)
	}
}
