package internal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRecordsWay holds the way of a record in ARCHITECTURE.md to at most 25
// steps, each a function that is in the room it is said to be in.
func TestRecordsWay(t *testing.T) {
	doc, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## One record's way\n")
	section, _, _ = strings.Cut(section, "\n## ")
	steps := regexp.MustCompile("(?m)^\\| \\d+ \\| (?:`([^`]+)`)? ?\\| `(?:([A-Za-z]+)\\.)?([A-Za-z]+)` \\|").FindAllStringSubmatch(section, -1)
	if rows := strings.Count(section, "\n| ") - 1; len(steps) == 0 || len(steps) != rows || rows > 25 {
		t.Fatalf("got %d steps in %d rows, want 1 to 25, each with its function", len(steps), rows)
	}
	room := ""
	for _, s := range steps {
		if s[1] != "" {
			room = s[1]
		}
		declared := "func " + s[3] + "("
		if s[2] != "" {
			declared = `func \([a-z]+ \*?` + s[2] + `\) ` + s[3] + `\(`
		} else {
			declared = regexp.QuoteMeta(declared)
		}
		if !regexp.MustCompile("(?m)^" + declared).MatchString(sourceOf(t, room)) {
			t.Errorf("ARCHITECTURE.md names %s of %s, which is not there", s[2]+"."+s[3], room)
		}
	}
}

// sourceOf returns the source of a package, without its tests.
func sourceOf(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
	}
	return b.String()
}
