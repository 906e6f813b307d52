// Command conformance maps real, golden and generated answers and writes what
// would be sent to OpenCTI, for judge.py to hold against libraries that are
// not ours.
//
// Usage: conformance OUT FILE…
//
// FILE is a bundle, or a golden file of the mapper with its own settings.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: conformance OUT FILE…")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out string, files []string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		name, settings, body, err := read(file)
		if err != nil {
			return err
		}
		if err := release(out, name, settings, [][]byte{body}); err != nil {
			return err
		}
	}
	actors := mapping.Settings{ThreatActorAsIntrusionSet: true}
	if err := release(out, "generated", actors, generate(2000, 1)); err != nil {
		return err
	}
	kept := mapping.Settings{Labels: mapping.LabelsAll, Description: mapping.DescriptionText, CreateObservables: true, Confidence: 3}
	if err := release(out, "generated-actors-kept", kept, generate(200, 2)); err != nil {
		return err
	}
	return write(filepath.Join(out, "names.json"), names())
}

func read(file string) (string, mapping.Settings, []byte, error) {
	base := filepath.Base(file)
	name, ext := strings.TrimSuffix(base, filepath.Ext(base)), filepath.Ext(base)
	settings := mapping.Settings{ThreatActorAsIntrusionSet: true}
	data, err := os.ReadFile(file)
	if err != nil || ext != ".txtar" {
		return name, settings, data, err
	}
	var input []byte
	for _, f := range txtar.Parse(data).Files {
		switch f.Name {
		case "settings.json":
			settings = mapping.Settings{}
			err = json.Unmarshal(f.Data, &settings)
		case "input.json":
			input = f.Data
		}
	}
	return name, settings, input, err
}

// release maps the bodies of one run and does what the map stage does before
// it hands objects over, with a platform that knows nothing yet.
func release(out, name string, settings mapping.Settings, bodies [][]byte) error {
	m, err := mapping.New(settings)
	if err != nil {
		return err
	}
	counts := mapping.Counts{}
	objects := map[string]*stix.Object{}
	var ids []string
	for i, body := range bodies {
		r := m.Map(mapping.Source{Dataset: "profiles", ID: fmt.Sprint(i)}, body)
		for k, n := range r.Counts {
			counts[k] += n
		}
		counts["dead"] += int64(len(r.Dead))
		for _, o := range r.Objects {
			if old, ok := objects[o.ID()]; ok {
				objects[o.ID()] = stix.Merge(old, o)
				continue
			}
			objects[o.ID()] = o
			ids = append(ids, o.ID())
		}
	}
	held := settle(m, objects, counts)
	var list []*stix.Object
	for _, id := range ids {
		if !held[id] {
			list = append(list, objects[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(used(list))) {
		if id == m.Author().ID() && objects[id] == nil {
			list = append(list, m.Author())
		}
		if o := m.Marking(id); o != nil {
			list = append(list, o)
		}
	}
	sent := []json.RawMessage{}
	for _, o := range stix.Order(list) {
		sent = append(sent, o.Object.AppendJSON(nil))
	}
	return write(filepath.Join(out, name+".run.json"), map[string]any{"name": name, "settings": settings, "counts": counts,
		"inputs": texts(bodies), "objects": sent, "held": slices.Sorted(maps.Keys(held)), "author": m.Author().ID()})
}

// settle decides the relationships, takes out references that stay unknown,
// and returns the relationships and sightings that have lost an end.
func settle(m *mapping.Mapper, objects map[string]*stix.Object, counts mapping.Counts) map[string]bool {
	kinds := map[string]string{}
	for id, o := range objects {
		kinds[id] = mapping.Kind(o)
	}
	held := map[string]bool{}
	known := func(id string) bool {
		return objects[id] != nil && !held[id] || stix.StandardTLP(id) || id == m.Author().ID()
	}
	for again := true; again; {
		again = false
		for id, o := range objects {
			for _, r := range o.Refs() {
				if stix.Essential(o.Type(), r.Key) && !known(r.ID) && !held[id] {
					held[id], again = true, true
				}
			}
		}
	}
	for _, o := range objects {
		for k, n := range m.Settle(o, func(id string) string { return kinds[id] }) {
			counts[k] += n
		}
		o.EditRefs(func(r stix.Ref) (string, bool) { return r.ID, known(r.ID) || stix.Essential(o.Type(), r.Key) })
		m.EnsureAuthor(o)
		m.EnsureMarking(o)
	}
	return held
}

func used(list []*stix.Object) map[string]bool {
	ids := map[string]bool{}
	for _, o := range list {
		for _, r := range o.Refs() {
			ids[r.ID] = true
		}
	}
	return ids
}

func texts(bodies [][]byte) []string {
	list := make([]string, len(bodies))
	for i, b := range bodies {
		list[i] = string(b)
	}
	return list
}

func write(file string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}
