package inspect

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestEveryClassHasARemedy: each class that a stage gives dead letters has its own
// row; a new class fails here.
func TestEveryClassHasARemedy(t *testing.T) {
	named := regexp.MustCompile(`(?m)^\t?(?:const )?[dD]ead[A-Z]\w* *= "([a-z_]+)"|obstacle\{key, "([a-z_]+)"|f\.note\(r, "([a-z_]+)"|^const class = "([a-z_]+)"|Class: "([a-z_]+)"`)
	found := map[string]bool{}
	for _, pattern := range []string{"../pipeline/*/*.go", "../mapping/*.go", "../../spool/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if filepath.Base(filepath.Dir(file)) == "pipelinetest" || len(file) > 8 && file[len(file)-8:] == "_test.go" {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range named.FindAllStringSubmatch(string(text), -1) {
				for _, class := range m[1:] {
					if class != "" {
						found[class] = true
					}
				}
			}
		}
	}
	for class := range found {
		if remedies[class] == "" {
			t.Errorf("class %q: no row says what to do", class)
		}
	}
	for class := range remedies {
		if class != ClassParked && !found[class] {
			t.Errorf("class %q: nothing gives it", class)
		}
	}
	for stage, class := range map[string]string{"fetch": "unavailable", "map": "new_one"} {
		if WhatToDo(stage, class) == "" {
			t.Errorf("%s, %s: nothing to do", stage, class)
		}
	}
}
