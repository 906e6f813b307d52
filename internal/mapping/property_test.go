package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/stix"
)

var drawnTypes = []string{"threat-actor", "intrusion-set", "malware", "campaign", "tool", "indicator", "report", "note",
	"identity", "location", "vulnerability", "relationship", "sighting", "ipv4-addr", "marking-definition", "x-foo"}

// drawID draws from few ids, so that duplicates, dangling references and
// cycles are frequent.
func drawID(t *rapid.T, typ string) string {
	return fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", typ, rapid.IntRange(0, 3).Draw(t, "n"))
}

func drawRef(t *rapid.T) any {
	if rapid.IntRange(0, 20).Draw(t, "bad") == 0 {
		return rapid.SampledFrom([]any{nil, "", "nonsense", 7, []any{}, "malware--1"}).Draw(t, "ref")
	}
	return drawID(t, rapid.SampledFrom(drawnTypes).Draw(t, "type"))
}

func drawRefs(t *rapid.T) []any {
	return rapid.SliceOfN(rapid.Custom(drawRef), 0, 5).Draw(t, "refs")
}

func drawObject(t *rapid.T) map[string]any {
	typ := rapid.SampledFrom(drawnTypes).Draw(t, "type")
	o := map[string]any{"type": typ, "id": drawID(t, typ), "name": "some name", "created": "2024-01-01T00:00:00.000Z",
		"modified": fmt.Sprintf("2024-01-0%dT00:00:00.000Z", rapid.IntRange(1, 3).Draw(t, "day"))}
	put := func(key string, value func() any) {
		if rapid.Bool().Draw(t, key) {
			o[key] = value()
		}
	}
	put("created_by_ref", func() any { return drawRef(t) })
	put("object_marking_refs", func() any { return drawRefs(t) })
	put("object_refs", func() any { return drawRefs(t) })
	put("x_nested", func() any { return []any{nil, map[string]any{"a": []any{}, "b": []any{nil}}} })
	put("description", func() any {
		return rapid.SampledFrom([]any{nil, "plain", "<p>a</p>", 7, "", "<script>x</script>"}).Draw(t, "text")
	})
	put("labels", func() any {
		return rapid.SliceOfN(rapid.SampledFrom([]any{"Technology ", "France", "Espionage", "Origin: Iran", "TLP:RED",
			"Trojan", "Malware", "x", nil, 7}), 0, 4).Draw(t, "labels")
	})
	switch typ {
	case "indicator":
		o["pattern"], o["pattern_type"] = "[url:value = 'x']", "stix"
	case "note":
		o["content"] = "text"
	case "ipv4-addr":
		o["value"] = "198.51.100.1"
	case "relationship":
		o["relationship_type"] = rapid.SampledFrom([]string{"uses", "targets", "associated_content", "indicates", "foo"}).Draw(t, "relation")
		o["source_ref"], o["target_ref"] = drawRef(t), drawRef(t)
	case "sighting":
		o["sighting_of_ref"], o["where_sighted_refs"] = drawRef(t), drawRefs(t)
	}
	return o
}

func drawSettings(t *rapid.T) Settings {
	return Settings{
		TLP:                       rapid.SampledFrom([]string{"", "white", "clear", "green", "amber", "amber+strict", "red"}).Draw(t, "tlp"),
		ThreatActorAsIntrusionSet: rapid.Bool().Draw(t, "actors"),
		Labels:                    rapid.SampledFrom([]string{"", LabelsAll, LabelsNone, LabelsKnowledge}).Draw(t, "labels"),
		Description:               rapid.SampledFrom([]string{"", DescriptionText}).Draw(t, "description"),
		CreateObservables:         rapid.Bool().Draw(t, "observables"),
		Confidence:                rapid.IntRange(0, 100).Draw(t, "confidence"),
	}
}

func TestMapProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := drawSettings(t)
		m, err := New(settings)
		if err != nil {
			t.Fatal(err)
		}
		elements := []any{}
		for range rapid.IntRange(0, 15).Draw(t, "objects") {
			elements = append(elements, drawObject(t))
		}
		if rapid.Bool().Draw(t, "junk") {
			elements = append(elements, nil, 3, map[string]any{"error": "x"})
		}
		body, err := json.Marshal(map[string]any{"type": "bundle", "objects": elements})
		if err != nil {
			t.Fatal(err)
		}
		r := m.Map(Source{}, body)
		if again := m.Map(Source{}, body); show(again) != show(r) {
			t.Fatal("not deterministic")
		}
		checkConserved(t, len(elements), r)
		seen := map[string]bool{}
		for _, o := range r.Objects {
			if seen[o.ID()] {
				t.Errorf("%s twice", o.ID())
			}
			seen[o.ID()] = true
			checkObject(t, o, settings.ThreatActorAsIntrusionSet)
		}
		for _, e := range elements {
			o, ok := e.(map[string]any)
			if id, _ := o["id"].(string); ok && id != "" {
				checkPresent(t, o, id, r, seen, settings.ThreatActorAsIntrusionSet)
			}
		}
		checkRelease(t, m, r)
	})
}

// checkConserved checks that every element is an object, dead, or counted.
func checkConserved(t *rapid.T, elements int, r Result) {
	generated, left := int64(0), int64(0)
	for name, n := range r.Counts {
		kind, _, _ := strings.Cut(name, ":")
		row := slices.IndexFunc(CountTable(), func(c CountName) bool { return c.Name == kind })
		if row < 0 || n <= 0 {
			t.Errorf("count %s = %d is not in the table", name, n)
			continue
		}
		if CountTable()[row].Effect == "left out" {
			left += n
		}
		if kind == "generated" {
			generated += n
		}
	}
	if got := int64(len(r.Objects)+len(r.Dead)) - generated + left; got != int64(elements) {
		t.Errorf("%d elements became %d: %v", elements, got, r.Counts)
	}
}

// checkPresent checks that an element with an id is in the result unless it cannot
// be mapped.
func checkPresent(t *rapid.T, o map[string]any, id string, r Result, seen map[string]bool, actors bool) {
	if rest, ok := strings.CutPrefix(id, actorPrefix); ok && actors {
		id = setPrefix + rest
	}
	switch o["type"] {
	case "x-foo", "relationship", "sighting":
		return // may be unknown, or lack an end
	}
	if !seen[id] {
		t.Errorf("%s is gone: %v", id, r.Counts)
	}
}

func checkObject(t *rapid.T, o *stix.Object, actors bool) {
	raw := o.AppendJSON(nil)
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	if hollow(v) {
		t.Errorf("null or empty list in %s", raw)
	}
	if actors && bytes.Contains(raw, []byte(actorPrefix)) {
		t.Errorf("threat actor in %s", raw)
	}
	if bytes.Contains(raw, []byte("<script")) {
		t.Errorf("script in %s", raw)
	}
	for _, ref := range o.Refs() {
		typ, ok := stix.SplitID(ref.ID)
		if !ok || !stix.Supported(typ) || ref.ID == o.ID() {
			t.Errorf("reference %v in %s", ref, raw)
		}
	}
	if plain(o.Type()) {
		return
	}
	if len(o.Strings("object_marking_refs")) == 0 {
		t.Errorf("no marking: %s", raw)
	}
	if o.String("created_by_ref") == "" && o.String("x_opencti_created_by_ref") == "" {
		t.Errorf("no author: %s", raw)
	}
	if !stix.Container(o.Type()) && o.Has("object_refs") {
		t.Errorf("object_refs: %s", raw)
	}
}

func hollow(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0 || slices.ContainsFunc(v, hollow)
	case map[string]any:
		for _, e := range v {
			if hollow(e) {
				return true
			}
		}
		return len(v) == 0
	}
	return false
}

// checkRelease does what the stage does at a release: relationships are settled by
// the known kinds, and everything is ordered.
func checkRelease(t *rapid.T, m *Mapper, r Result) {
	kinds := map[string]string{}
	for _, o := range r.Objects {
		kinds[o.ID()] = Kind(o)
	}
	for _, o := range r.Objects {
		m.Settle(o, func(id string) string { return kinds[id] })
		relation := o.String("relationship_type")
		if s, d := kinds[o.String("source_ref")], kinds[o.String("target_ref")]; s != "" && d != "" &&
			!m.accepts(ends{[]string{s}, []string{d}}, relation) {
			t.Errorf("%s %s %s is refused", s, relation, d)
		}
	}
	place := map[string]int{}
	ordered := stix.Order(r.Objects)
	if len(ordered) != len(r.Objects) {
		t.Fatalf("%d objects ordered to %d", len(r.Objects), len(ordered))
	}
	for i, o := range ordered {
		place[o.Object.ID()] = i
	}
	for i, o := range ordered {
		for _, ref := range o.Object.Refs() {
			if at, ok := place[ref.ID]; ok && at >= i && !o.Cyclic {
				t.Errorf("%s refers to %s, which comes later", o.Object.ID(), ref.ID)
			}
		}
	}
}
