package internal_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLibrariesAreListed holds ARCHITECTURE.md's list of libraries against what
// go.mod requires directly, and go.mod against what is imported.
func TestLibrariesAreListed(t *testing.T) {
	doc, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## Libraries\n")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no section Libraries")
	}
	var listed []string
	for _, row := range regexp.MustCompile(`(?m)^\| (.*) \|.*\|$`).FindAllStringSubmatch(section, -1) {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			listed = append(listed, name[1])
		}
	}
	required := directRequirements(t)
	slices.Sort(listed)
	if !slices.Equal(listed, required) {
		t.Errorf("ARCHITECTURE.md lists\n%s\nwant what go.mod requires directly:\n%s", strings.Join(listed, "\n"), strings.Join(required, "\n"))
	}
	out, err := exec.Command("go", "mod", "tidy", "-diff").CombinedOutput()
	if err != nil {
		t.Errorf("go mod tidy changes something: %v\n%s", err, out)
	}
}

// directRequirements are the modules that go.mod requires without "// indirect".
func directRequirements(t *testing.T) []string {
	t.Helper()
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(mod)) {
		f := strings.Fields(line)
		if len(f) == 2 && strings.HasPrefix(f[1], "v") && f[0] != "require" {
			names = append(names, f[0])
		}
	}
	slices.Sort(names)
	return names
}
