package mapping

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"threatmatch-connector/internal/facts"
	"threatmatch-connector/internal/sim/schema"
)

// notShaped are names that mean something else in STIX than in an input.
const notShaped = " type id key definition value objects samples modules languages tasks file files "

// TestShapes: shapes.txt is what the platform's inputs say. The product does not carry
// those, ten times the size.
func TestShapes(t *testing.T) {
	inputs, err := schema.ReadInputs()
	if err != nil {
		t.Fatal(err)
	}
	client, err := schema.ReadClient(facts.V6_9)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"String": "text", "Boolean": "boolean", "Int": "integer", "Float": "decimal", "DateTime": "instant"}
	table := map[string]string{}
	for _, input := range inputs.Names() {
		for key, f := range inputs.Fields(facts.V6_9, input) {
			s := names[f.Type]
			switch {
			case s == "", strings.Contains(notShaped, " "+key+" "), strings.ToLower(key) != key:
			case f.List == 0:
				table[key] = s
			case f.List == 1 && s == "text":
				table[key] = "list of texts"
			}
		}
	}
	// What the client puts into a numeric or boolean input has its shape, whatever its name.
	for _, kind := range slices.Sorted(maps.Keys(client)) {
		for _, h := range client[kind] {
			if s := table[h.Name]; s == "integer" || s == "decimal" || s == "boolean" {
				for _, key := range h.Properties {
					if _, known := table[key]; !known && !strings.Contains(notShaped, " "+key+" ") {
						table[key] = s
					}
				}
			}
		}
	}
	keys := map[string][]string{}
	for key, s := range table {
		keys[s] = append(keys[s], key)
	}
	want := ""
	for _, s := range slices.Sorted(maps.Keys(keys)) {
		slices.Sort(keys[s])
		want += fmt.Sprintf("%s: %s\n", s, strings.Join(keys[s], " "))
	}
	if *update {
		if err := os.WriteFile("shapes.txt", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if shapesText != want {
		t.Errorf("got\n%s, want\n%s; run: go test ./internal/mapping -run TestShapes -update", shapesText, want)
	}
}
