package internal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPromisesAreShown holds ARCHITECTURE.md to naming tests that exist, each behind
// the folder that it is in.
func TestPromisesAreShown(t *testing.T) {
	raw, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9/]+|Test[A-Za-z0-9]+)`")
	found := 0
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, "|") || !strings.Contains(line, "`Test") {
			continue
		}
		source := ""
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			if !strings.HasPrefix(m[1], "Test") {
				source = testsOf(t, m[1])
				continue
			}
			found++
			if !strings.Contains(source, "func "+m[1]+"(") {
				t.Errorf("ARCHITECTURE.md names %s, which is not where it says", m[1])
			}
		}
	}
	if found == 0 {
		t.Error("ARCHITECTURE.md names no test")
	}
}

// testsOf returns the source of all tests of a folder.
func testsOf(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(folder), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
	}
	return b.String()
}
