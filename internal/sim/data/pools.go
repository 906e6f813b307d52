package data

import "fmt"

// Objects that several items share. Each is the same in every bundle.

func (g *Generated) technique(n int) object {
	n %= len(techniques)
	o := g.newObject("attack-pattern", stixID(g.opt.Seed, "attack-pattern", n), "Technique "+techniques[n], g.Earliest(), g.Earliest())
	o["x_mitre_id"] = techniques[n]
	o["kill_chain_phases"] = []object{{"kill_chain_name": "mitre-attack", "phase_name": phases[n%len(phases)]}}
	o["external_references"] = []object{
		{"source_name": "mitre-attack", "external_id": techniques[n]},
		{"source_name": "mitre-attack", "external_id": techniques[n]},
	}
	g.decorate(o, nil, 1, 0)
	return o
}

func (g *Generated) tool(n int) object {
	o := g.newObject("tool", stixID(g.opt.Seed, "tool", n), fmt.Sprintf("%s Kit %d", animalWords[n%len(animalWords)], n), g.Earliest(), g.Earliest())
	g.decorate(o, nil, 1, 0)
	return o
}

func (g *Generated) vulnerability(n int) object {
	name := fmt.Sprintf("CVE-2026-%05d", 10000+n)
	o := g.newObject("vulnerability", stixID(g.opt.Seed, "vulnerability", n), name, g.Earliest(), g.Earliest())
	o["external_references"] = []object{{"source_name": "cve", "external_id": name, "url": "https://example.org/cve/" + name}}
	g.decorate(o, nil, 1, 0)
	return o
}

func (g *Generated) sector(n int) object {
	n %= len(sectors)
	o := g.newObject("identity", stixID(g.opt.Seed, "identity", 100+n), sectors[n], g.Earliest(), g.Earliest())
	o["identity_class"] = "class"
	return o
}

// relationship is number n of an item, between two ids.
func (g *Generated) relationship(d Dataset, index, n int, kind, source, target string) object {
	at, version := g.shelves[d].updated(index)
	id := stixID(g.opt.Seed, "relationship", int(hashOf(0, string(d))>>33), index, n)
	o := g.newObject("relationship", id, "", g.shelves[d].created(index), at)
	o["relationship_type"], o["source_ref"], o["target_ref"] = kind, source, target
	r := randomFor(g.opt.Seed, id)
	if r.Float64() < 0.2 {
		o["confidence"] = 10 * (1 + r.IntN(9))
	}
	if r.Float64() < 0.3 {
		g.decorate(o, nil, 1, version)
	}
	return o
}
