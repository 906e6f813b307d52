package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"threatmatch-connector/internal/stix"
)

type object = map[string]any

// generator makes answers the way ThreatMatch is known to give them.
type generator struct{ *rand.Rand }

// generate returns n items. The same seed gives the same items.
func generate(n int, seed uint64) [][]byte {
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	bodies := make([][]byte, n)
	for i := range bodies {
		body, err := json.Marshal(object{"type": "bundle", "id": g.id("bundle", i), "objects": g.item(i, n)})
		if err != nil {
			panic(err) // only strings, lists and maps are encoded
		}
		bodies[i] = body
	}
	return bodies
}

var mainTypes = []string{"threat-actor", "malware", "campaign", "incident", "report", "tool"}

func (g generator) id(typ string, n int) string {
	return fmt.Sprintf("%s--%08x-0000-4000-8000-%012x", typ, n, n)
}

// mainType is the type of item n, so that others can refer to it.
func mainType(n int) string { return mainTypes[n%len(mainTypes)] }

func (g generator) date() string {
	return fmt.Sprintf("2024-%02d-%02dT%02d:%02d:00.000Z", 1+g.IntN(12), 1+g.IntN(28), g.IntN(24), g.IntN(60))
}

func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

func (g generator) item(n, all int) []any {
	o := g.named(mainType(n), n)
	o["description"] = g.html()
	o["labels"] = g.labels()
	list := []any{}
	var refs []string
	for range g.IntN(5) { // linked profiles come as stubs, or are only referred to
		other := g.IntN(all)
		if other == n {
			continue
		}
		refs = append(refs, g.id(mainType(other), other))
		if g.IntN(2) == 0 && mainType(other) != "report" {
			stub := g.named(mainType(other), other)
			stub["modified"] = stub["created"]
			list = append(list, stub)
		}
		list = append(list, object{"type": "relationship", "spec_version": "2.1", "id": g.id("relationship", n*100+len(list)),
			"created": g.date(), "modified": "2024-12-31T00:00:00.000Z", "description": pick[any](g, nil, "<p>because</p>"),
			"relationship_type": pick(g, "associated_content", "uses", "targets", "attributed-to", "related-to", "drops", "exploits"),
			"source_ref":        g.id(mainType(n), n), "target_ref": refs[len(refs)-1]})
	}
	for i := range g.IntN(4) {
		list = append(list, g.indicator(n*10+i), object{"type": "relationship", "spec_version": "2.1",
			"id": g.id("relationship", 1<<24+n*10+i), "created": g.date(), "modified": "2024-12-31T00:00:00.000Z",
			"relationship_type": "indicates", "source_ref": g.id("indicator", n*10+i), "target_ref": g.id(mainType(n), n)})
		refs = append(refs, g.id("indicator", n*10+i))
	}
	if mainType(n) == "report" {
		o["published"] = g.date()
		refs = append(refs, g.id("threat-actor", g.IntN(all/6)*6))
		o["content"] = g.html()
	}
	if len(refs) > 0 {
		o["object_refs"] = refs // also on what is no container
	}
	return g.odd(n, append(list, o))
}

// odd adds what should not be there but is.
func (g generator) odd(n int, list []any) []any {
	switch g.IntN(12) {
	case 0:
		list = append(list, object{"error": "no access"})
	case 1:
		list = append(list, object{"type": "x-threatmatch-thing", "id": g.id("x-threatmatch-thing", n)})
	case 2:
		list = append(list, object{"type": "marking-definition", "spec_version": "2.1", "id": g.id("marking-definition", n),
			"created": g.date(), "definition_type": "statement", "definition": object{"statement": fmt.Sprintf("Licence %d", n)}})
	case 3:
		list = append(list, object{"type": "ipv4-addr", "spec_version": "2.1", "id": g.id("ipv4-addr", n), "value": fmt.Sprintf("198.51.100.%d", n%256)})
	}
	return list
}

func (g generator) named(typ string, n int) object {
	o := object{"type": typ, "spec_version": "2.1", "id": g.id(typ, n), "created": "2024-01-01T00:00:00.000Z", "modified": g.date(),
		"name": fmt.Sprintf("%s %d %s", typ, n, pick(g, "Toad", "Émile", "Ünal", "Σίσυφος"))}
	switch typ {
	case "malware":
		o["is_family"] = true
	case "threat-actor":
		o["threat_actor_types"], o["roles"] = []string{"nation-state"}, []string{"agent"}
	case "report":
		o["published"] = "2024-01-01T00:00:00.000Z"
		o["object_refs"] = []string{g.id("malware", 1)}
	}
	switch g.IntN(6) {
	case 0:
		o["object_marking_refs"] = []string{pick(g, "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
			"marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", g.id("marking-definition", n))}
	case 1:
		o["created_by_ref"] = g.id("identity", 7) // never sent
	case 2:
		o["external_references"] = []object{{"source_name": "ThreatMatch", "url": fmt.Sprintf("https://portal.example/%d", n)},
			{"source_name": "again", "url": fmt.Sprintf("https://portal.example/%d", n)}}
	}
	return o
}

func (g generator) indicator(n int) object {
	o := object{"type": "indicator", "spec_version": "2.1", "id": g.id("indicator", n), "created": g.date(),
		"modified": "2024-12-31T00:00:00.000Z", "pattern_type": "stix", "indicator_types": []string{"malicious-activity"},
		"pattern": pick(g, fmt.Sprintf("[ipv4-addr:value = '198.51.100.%d']", n%256), fmt.Sprintf("[domain-name:value = 'd%d.example']", n),
			fmt.Sprintf("[url:value = 'http://d%d.example/a']", n), fmt.Sprintf("[file:hashes.MD5 = '%032x']", n))}
	if g.IntN(2) == 0 {
		o["valid_from"] = g.date()
	}
	return o
}

func (g generator) labels() []string {
	all := []string{"Technology ", "Banking & Capital Markets", "Energy, Utilities & Mining", "France", "United States", "Russia",
		"Country of origin: Iran", "Origin: China", "Financial Gain", "Espionage", "Trojan", "Remote Access Trojan", "Botnet",
		"Phishing Attempts", "Exec Targeting ", "Vulnerability", "Ransomware Activity", "Europe", "Middle East", "random words", "TLP:RED"}
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:g.IntN(6)]
}

func (g generator) html() string {
	parts := []string{"<p>One paragraph &amp; more.</p>", "<ul><li>first</li><li>second <b>bold</b></li></ul>",
		"<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", `<p><a href="https://x.example/?a=1&amp;b">link</a></p>`,
		"<script>alert(1)</script>", "<h2>Head</h2>", "plain text\n\nwith lines"}
	g.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return strings.Join(parts[:g.IntN(len(parts))], "\n")
}

// names gives our ids for names with all the traps of case and blanks.
func names() []object {
	var list []object
	for _, name := range []string{"Plain", " Café  ", "İΣ ΟΔΟΣ", "ΑΣ", "Σ", "STRAẞE", "ǅ", "A\u0085B\u0085", "\x1cA\x1f", "\ufeffA", "a\u2028", "\"q\" \\ /",
		"tab\tnew\nline", "<&>", "😀", "\u00a0nbsp\u00a0", "\u3000wide\u3000", "I\u0307", "ΌΣΟΣ.Σ", "ß", "ŒUVRE", "КИРИЛЛИЦА", "日本", "\x01\x1f"} {
		list = append(list, object{"name": name, "sector": stix.IdentityID(name, "class"), "set": stix.NamedID("intrusion-set", name),
			"country": stix.LocationID(name, "Country"), "report": stix.ReportID(name, "2024-01-02T03:04:05.000Z"),
			"indicator": stix.IndicatorID(name), "actor": stix.ThreatActorID(name, "Threat-Actor-Group"),
			"url": stix.ReferenceID(name, "", ""), "note": stix.NoteID("2024-01-02T03:04:05.000Z", name)})
	}
	return list
}
