package mapping

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"threatmatch-connector/internal/stix"
)

// FuzzMap maps arbitrary bodies: no panic, every element of objects is mapped, dead
// or counted, and workers can read the output.
func FuzzMap(f *testing.F) {
	for _, file := range goldenFiles(f) {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(part(f, archive, "input.json"), byte(len(file)))
	}
	mappers := []*Mapper{
		newMapper(f, []byte(`{"ThreatActorAsIntrusionSet":true}`)),
		newMapper(f, []byte(`{"Labels":"all","Description":"text","CreateObservables":true,"Confidence":3}`)),
		newMapper(f, []byte(`{"Labels":"none","TLP":"red"}`)),
	}
	f.Fuzz(func(t *testing.T, body []byte, which byte) {
		m := mappers[int(which)%len(mappers)]
		r := m.Map(Source{}, body)
		elements, whole := countElements(body)
		if !whole {
			if len(r.Dead) != 1 || r.Dead[0].Class != DeadBody || len(r.Objects) != 0 {
				t.Fatalf("%d objects, dead %v", len(r.Objects), r.Dead)
			}
			return
		}
		if len(r.Dead) == 1 && r.Dead[0].Class == DeadBody { // stricter than encoding/json: depth
			return
		}
		checkElements(t, elements, r)
		seen := map[string]bool{}
		for _, o := range r.Objects {
			if seen[o.ID()] {
				t.Errorf("%s twice", o.ID())
			}
			seen[o.ID()] = true
			checkWire(t, o)
			m.Settle(o, func(string) string { return "" })
		}
		for i, o := range stix.Order(r.Objects) {
			for _, ref := range o.Object.Refs() {
				if ref.ID == o.Object.ID() && !o.Cyclic {
					t.Errorf("object %d refers to itself", i)
				}
			}
		}
	})
}

// countElements counts elements the way an independent decoder reads the body.
func countElements(body []byte) (int, bool) {
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, false
	}
	var objects []json.RawMessage
	if err := json.Unmarshal(answer["objects"], &objects); err != nil || objects == nil {
		return 0, false
	}
	total := len(objects)
	for _, o := range objects {
		var inner struct{ Type string }
		if json.Unmarshal(o, &inner) != nil || inner.Type != "bundle" {
			continue
		}
		if n, ok := countElements(o); ok {
			total += n - 1
		}
	}
	return total, true
}

func checkElements(t *testing.T, elements int, r Result) {
	got := int64(len(r.Objects) + len(r.Dead))
	for name, n := range r.Counts {
		kind, _, _ := strings.Cut(name, ":")
		if kind == "generated" {
			got -= n
		}
		if slices.ContainsFunc(CountTable(), func(c CountName) bool { return c.Name == kind && c.Effect == "left out" }) {
			got += n
		}
	}
	if got != int64(elements) {
		t.Errorf("%d elements became %d: %v", elements, got, r.Counts)
	}
}

func checkWire(t *testing.T, o *stix.Object) {
	raw := o.AppendJSON(nil)
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	if hollow(v) {
		t.Errorf("null or empty list in %s", raw)
	}
	normal, err := stix.Normalize(nil, raw)
	if err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	again, err := stix.Decode(normal)
	if err != nil || string(again.AppendJSON(nil)) != string(raw) || again.Hash() != o.Hash() {
		t.Errorf("%v: %s does not come back", err, raw)
	}
	if !plain(o.Type()) && len(o.Strings("object_marking_refs")) == 0 {
		t.Errorf("no marking: %s", raw)
	}
}
