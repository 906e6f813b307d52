package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"threatmatch-connector/internal/facts"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/schema"
	"threatmatch-connector/internal/sim/worker"
)

type object = map[string]any

// versions of the platform whose verdicts are held against each other, with the
// stand-in's name for them.
var versions = map[string]string{"6.8.10": "6.8.10", "6.9.17": "6.9.17"}

// random writes n random objects for each seed into out/random/<seed>, after some that
// every kind of reference can point to, and what the worker's stand-in refuses of them
// into out/verdicts.json, by version and seed.
func random(out string, n int, seeds []uint64) error {
	client, err := schema.ReadClient(facts.V6_9)
	if err != nil {
		return err
	}
	refused := map[string]map[string]map[string]string{}
	for version := range versions {
		refused[version] = map[string]map[string]string{}
	}
	for _, seed := range seeds {
		g := &maker{Rand: rand.New(rand.NewPCG(seed, 0)), client: client}
		objects := g.whole()
		for range n {
			objects = append(objects, g.object())
		}
		name := fmt.Sprintf("seed %d", seed)
		for version, of := range versions {
			if refused[version][name], err = verdicts(of, objects); err != nil {
				return err
			}
		}
		dir := filepath.Join(out, "random", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := write(filepath.Join(dir, "bundle.json"), object{"type": "bundle", "objects": objects}); err != nil {
			return err
		}
	}
	return write(filepath.Join(out, "verdicts.json"), refused)
}

func write(file string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// verdicts are the refusals of the worker's stand-in by id.
func verdicts(version string, objects []object) (map[string]string, error) {
	platform, err := opencti.New(opencti.Options{AMQPURL: "amqp://127.0.0.1:1/", Version: version})
	if err != nil {
		return nil, err
	}
	defer platform.Close()
	w := worker.New(worker.Options{Platform: platform, MissingRetries: 1})
	refused := map[string]string{}
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		if why := w.Try(context.Background(), text); why != "" {
			refused[o["id"].(string)] = why
		}
	}
	return refused, nil
}

// maker makes objects that are mostly right and wrong in one or two places.
type maker struct {
	*rand.Rand
	client map[string][]schema.Handed
	count  int
	known  []string
}

func (g *maker) id(stixType string) string {
	g.count++
	return fmt.Sprintf("%s--%08x-0000-4000-8000-%012x", stixType, g.count, g.count)
}

func pick[T any](g *maker, list ...T) T { return list[g.IntN(len(list))] }

var places = []string{"Region", "Country", "City", "Administrative-Area", "Position"}

// right is an object of a kind with what it needs.
func (g *maker) right(kind string) object {
	stixType := kind
	extra := object{}
	switch head, tail, _ := strings.Cut(kind, "-"); {
	case head == "identity":
		stixType, extra["identity_class"] = head, map[string]string{"sector": "class"}[tail]
		if extra["identity_class"] == "" {
			extra["identity_class"] = tail
		}
	case head == "location":
		stixType = head
		extra["x_opencti_location_type"] = places[slices.IndexFunc(places, func(p string) bool { return strings.ToLower(p) == tail })]
	case kind == "threat-actor-group":
		stixType = "threat-actor"
	case kind == "threat-actor-individual":
		stixType, extra["x_opencti_type"] = "threat-actor", "Threat-Actor-Individual"
	case kind == "stix-file":
		stixType = "file"
	}
	o := object{"type": stixType, "spec_version": "2.1", "id": g.id(stixType)}
	for _, h := range g.client[kind] {
		if len(h.Properties) > 0 && h.Name != "stix_id" && g.required(h) {
			o[h.Properties[0]] = g.fitting(h)
		}
	}
	for k, v := range extra {
		o[k] = v
	}
	switch stixType {
	case "relationship":
		o["source_ref"], o["target_ref"] = pick(g, g.known...), pick(g, g.known...)
		o["relationship_type"] = pick(g, "uses", "targets", "indicates", "related-to", "based-on", "consists-of", "located-at",
			"attributed-to", "part-of", "exploits", "drops", "derived-from", "authored-by", "mitigates", "resolves-to", "has", "communicates-with")
	case "sighting":
		o["sighting_of_ref"], o["where_sighted_refs"] = pick(g, g.known...), []any{pick(g, g.known...)}
	case "marking-definition":
		o["definition_type"], o["definition"] = "statement", object{"statement": "text " + g.id("x")}
	case "indicator":
		o["pattern_type"], o["pattern"] = "stix", pick(g, patterns[:6]...)
	case "observed-data":
		o["first_observed"], o["last_observed"], o["number_observed"] = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", 1
		o["object_refs"] = []any{pick(g, g.known...)}
	}
	return o
}

// required reports whether an object of the kind is refused without the field.
func (g *maker) required(h schema.Handed) bool {
	return h.Needed || inputs.Fields(facts.V6_9, h.Input)[h.Name].Required
}

var inputs = func() *schema.Inputs {
	in, err := schema.ReadInputs()
	if err != nil {
		panic(err) // part of the program
	}
	return in
}()

// fitting is a value that a field takes.
func (g *maker) fitting(h schema.Handed) any {
	f := inputs.Fields(facts.V6_9, h.Input)[h.Name]
	var v any
	switch f.Type {
	case "Boolean":
		v = g.IntN(2) == 0
	case "Int":
		v = g.IntN(100)
	case "Float":
		v = pick[any](g, 1.5, 7, -3.25)
	case "DateTime":
		v = pick(g, times[:4]...)
	case "StixId", "StixRef":
		v = g.id("malware")
	default:
		v = pick(g, "ab", "some text", "Émile", "x y")
		if key := h.Properties[0]; strings.HasSuffix(key, "_ref") || strings.HasSuffix(key, "_refs") {
			v = pick(g, g.known...)
		}
	}
	if f.List > 0 {
		v = []any{v}
	}
	return v
}

// whole is one right object of each kind, for others to refer to.
func (g *maker) whole() []object {
	kinds := []string{}
	for kind := range g.client {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	slices.SortStableFunc(kinds, func(a, b string) int { return rank(a) - rank(b) })
	g.known = []string{"marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"}
	var objects []object
	for _, kind := range kinds {
		if kind == "identity-security-platform" {
			continue
		}
		o := g.right(kind)
		objects = append(objects, o)
		g.known = append(g.known, o["id"].(string))
	}
	return objects
}

// rank puts what refers to others last.
func rank(kind string) int {
	return max(slices.Index([]string{"observed-data", "report", "relationship", "sighting"}, kind), -1) + 1
}

var times = []string{"2024-01-02T03:04:05Z", "2024-01-02T03:04:05.123Z", "2025-06-07T08:09:10+02:00", "2020-02-29T00:00:00.000000Z",
	"2024-02-30T00:00:00Z", "2024-01-02", "2024-01-02T03:04:05", "2024-01-02T03:04:05+0000", "yesterday", "", "2024-01-02 03:04:05Z", "2024-01-02T25:00:00Z"}

var patterns = []string{"[ipv4-addr:value = '198.51.100.1']", "[domain-name:value = 'a.example' OR url:value = 'http://a.example/']",
	"[file:hashes.MD5 = '0123456789abcdef0123456789abcdef']", "[file:hashes.'SHA-256' = '" + strings.Repeat("ab", 32) + "' AND file:size > 5]",
	"[network-traffic:dst_ref.value = '198.51.100.1' AND network-traffic:dst_port IN (80, 443)] FOLLOWEDBY [process:name LIKE 'a%'] WITHIN 60 SECONDS",
	"([email-message:subject MATCHES 'x.*'] AND [windows-registry-key:values[*].data = h'ff']) REPEATS 3 TIMES",
	"[ipv4-addr:value = '198.51.100.1'", "ipv4-addr:value = '1'", "[ipv4-addr:value == 198]", "[ipv4-addr:value = 'it's']", "", "[]", "198.51.100.1",
	"[file:hashes.MD5 = 'aaaa']", "[file:hashes.'SHA-1' = 'zz']", "[ipv4-addr:value = '1'] START '2024' STOP '2025'",
	"[ipv4-addr:value = '1'] START t'2024-01-01T00:00:00Z' STOP t'2025-01-01T00:00:00Z'", "[ipv4-addr:value like '1']", "[ipv4-addr value = '1']"}

// object is a random object of a random kind.
func (g *maker) object() object {
	kinds := []string{"indicator", "relationship", "relationship", "sighting", "malware", "identity-organization"}
	for kind := range g.client {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	kind := pick(g, kinds...)
	if kind == "identity-security-platform" {
		kind = "malware"
	}
	o := g.right(kind)
	for range g.IntN(3) {
		g.change(kind, o)
	}
	return o
}

// change sets, spoils or takes away one property.
func (g *maker) change(kind string, o object) {
	switch g.IntN(12) {
	case 0:
		if keys := slices.Sorted(func(yield func(string) bool) {
			for k := range o {
				if k != "type" && k != "id" && !yield(k) {
					return
				}
			}
		}); len(keys) > 0 {
			delete(o, pick(g, keys...))
		}
		return
	case 1:
		if g.IntN(3) == 0 {
			o["created_by_ref"], o["x_opencti_created_by_ref"] = g.reference(o), g.reference(o)
			return
		}
		o[pick(g, "created_by_ref", "x_opencti_created_by_ref")] = g.reference(o)
		return
	case 2:
		o["object_marking_refs"] = []any{pick(g, "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", g.reference(o))}
		return
	case 3:
		o["labels"] = pick[any](g, []any{"a", "b"}, []any{""}, []any{7}, nil, []any{})
		return
	case 4:
		o["kill_chain_phases"] = pick[any](g, []any{object{"kill_chain_name": "k", "phase_name": "p"}}, []any{object{"kill_chain_name": "k"}}, []any{}, nil)
		return
	case 5:
		o["external_references"] = pick[any](g, []any{object{"source_name": "s", "url": "https://a.example/"}}, []any{object{"url": "https://b.example/"}}, []any{object{"source_name": ""}},
			[]any{object{"source_name": "seen on 2024-03-30"}}, []any{object{"source_name": "s", "description": "since 2012-01-02"}}, []any{})
		return
	}
	switch o["type"] {
	case "indicator":
		if g.IntN(2) == 0 {
			o["pattern"] = pick(g, patterns...)
			return
		}
		o["valid_from"], o["valid_until"] = pick(g, times[:4]...), pick(g, times[:4]...)
		return
	case "sighting":
		o["first_seen"], o["last_seen"] = pick(g, times[:4]...), pick(g, times[:4]...)
		return
	case "relationship":
		for _, key := range []string{"start_time", "stop_time"} {
			if g.IntN(4) > 0 {
				o[key] = pick(g, times[:4]...)
			}
		}
		return
	case "file", "artifact":
		o["hashes"] = pick[any](g, object{"MD5": "0123456789abcdef"}, object{"M": "0123456789"}, object{"MD5": "a"}, object{"SHA-1": 5}, object{})
		return
	}
	list := g.client[kind]
	h := list[g.IntN(len(list))]
	if len(h.Properties) == 0 || h.Name == "stix_id" || h.Name == "upsertOperations" || h.Name == "type" {
		return
	}
	key := pick(g, h.Properties...)
	if slices.Contains([]string{"definition", "definition_type", "x_opencti_definition", "x_opencti_definition_type", "identity_class", "resource_level"}, key) {
		return
	}
	o[key] = g.value(o, key, h)
}

func (g *maker) value(o object, key string, h schema.Handed) any {
	if strings.HasSuffix(key, "_refs") {
		return pick[any](g, []any{g.reference(o)}, []any{}, []any{g.reference(o), g.reference(o)})
	}
	if strings.HasSuffix(key, "_ref") {
		return g.reference(o)
	}
	if g.IntN(2) == 0 {
		return g.fitting(h)
	}
	return pick[any](g, "", " ", "a", "text", "12", 12, 1.5, -1, 101, true, false, []any{"a", "b"}, []any{1}, []any{}, pick(g, times...), 3000000000, 5.0)
}

// reference is mostly to what is known.
func (g *maker) reference(o object) string {
	if g.IntN(3) > 0 {
		return pick(g, g.known...)
	}
	return pick(g, g.id("tool"), g.id("x-unknown"), o["id"].(string), "text", "malware--7", g.id("extension-definition"))
}
