package data

import (
	"fmt"
	"math/rand/v2"
)

// item gathers the objects of one bundle, each id once.
type item struct {
	g       *Generated
	d       Dataset
	index   int
	r       *rand.Rand
	objects []object
	seen    map[string]bool
	rels    int
}

func (g *Generated) build(d Dataset, index int) *item {
	if d == IOCs {
		return &item{g: g}
	}
	b := &item{g: g, d: d, index: index, r: randomFor(g.opt.Seed, "item-"+string(d), index), seen: map[string]bool{}}
	if b.r.Float64() < g.opt.Quirks.EmptyBundles {
		return b
	}
	if d == Profiles {
		b.profile()
	} else {
		b.report()
	}
	b.oddities()
	if b.r.Float64() < g.opt.Quirks.Shuffled {
		b.r.Shuffle(len(b.objects), func(i, j int) { b.objects[i], b.objects[j] = b.objects[j], b.objects[i] })
	}
	return b
}

func (b *item) add(o object) string {
	id := o["id"].(string)
	if !b.seen[id] {
		b.seen[id] = true
		b.objects = append(b.objects, o)
	}
	return id
}

func (b *item) relate(kind, source, target string) {
	b.add(b.g.relationship(b.d, b.index, b.rels, kind, source, target))
	b.rels++
}

func (b *item) profile() {
	main := b.g.mainObject(b.index)
	id := main["id"].(string)
	b.add(main)
	b.relate("uses", id, b.add(b.g.technique(b.r.IntN(len(techniques)))))
	if b.g.opt.Dense {
		return
	}
	for range 1 + b.r.IntN(3) {
		b.relate("uses", id, b.add(b.g.technique(b.r.IntN(len(techniques)))))
	}
	if b.r.IntN(2) == 0 {
		b.relate("targets", id, b.add(b.g.vulnerability(b.r.IntN(50))))
	}
	if b.r.IntN(2) == 0 {
		b.relate("uses", id, b.add(b.g.tool(b.r.IntN(30))))
	}
	if b.r.IntN(3) == 0 {
		b.relate("targets", id, b.add(b.g.sector(b.r.IntN(len(sectors)))))
	}
	if b.r.Float64() < b.g.opt.Quirks.Refused {
		b.relate("uses", id, b.add(b.g.vulnerability(50+b.r.IntN(10))))
	}
	linked := b.links(1 + b.r.IntN(3))
	for _, other := range linked {
		b.relate("associated_content", id, other)
	}
	if len(linked) > 0 && b.r.Float64() < b.g.opt.Quirks.ObjectRefs {
		main["object_refs"] = linked
	}
	b.indicators(id, b.r.IntN(3))
	if b.r.IntN(5) == 0 {
		b.note(id)
	}
}

// links adds stubs of other profiles.
func (b *item) links(n int) []string {
	var ids []string
	count := b.g.shelves[Profiles].initial // not those added later: an item's links stay as they are
	for range n {
		if count < 2 {
			break
		}
		other := b.r.IntN(count)
		if b.d == Profiles && other == b.index || b.seen[b.g.profileID(other)] {
			continue
		}
		ids = append(ids, b.add(b.g.stub(other)))
	}
	return ids
}

// indicators relates IOCs of the IOC dataset to an object; half of them with
// the indicator beside, half by reference alone.
func (b *item) indicators(target string, n int) {
	count := b.g.shelves[IOCs].initial
	if count == 0 {
		return
	}
	for range n {
		i := b.r.IntN(count)
		if b.r.IntN(2) == 0 {
			b.add(b.g.indicatorObject(i))
		}
		b.relate("indicates", stixID(b.g.opt.Seed, "indicator", i), target)
	}
}

func (b *item) note(about string) {
	s := b.g.shelves[b.d]
	at, _ := s.updated(b.index)
	o := b.g.newObject("note", stixID(b.g.opt.Seed, "note", b.index), "", s.created(b.index), at)
	o["content"] = pick(b.r, sentences)
	o["object_refs"] = []string{about}
	b.g.decorate(o, nil, 1, 0)
	delete(o, "description")
	b.add(o)
}

// report is what alerts and reports are: a report object and what it contains.
func (b *item) report() {
	s := b.g.shelves[b.d]
	at, version := s.updated(b.index)
	o := b.g.newObject("report", stixID(b.g.opt.Seed, "report", int(b.d[0]), b.index), b.g.title(b.d, b.index), s.created(b.index), at)
	o["published"] = Stamp(s.created(b.index))
	labels, paragraphs := some(b.r, alertTypes, 1), 2
	if b.d == Reports {
		labels, paragraphs = nil, 12
		o["x_threatmatch_priority"] = "High"
		if !b.g.opt.Dense && b.r.IntN(2) == 0 {
			o["content"] = richText(b.r, 20)
		}
	}
	labels = append(labels, some(b.r, sectors, b.r.IntN(3))...)
	labels = append(labels, some(b.r, countries, b.r.IntN(2))...)
	b.g.decorate(o, labels, paragraphs, version)
	refs := []string{b.add(b.g.technique(b.r.IntN(len(techniques))))}
	if !b.g.opt.Dense {
		refs = append(refs, b.links(1+b.r.IntN(4))...)
		refs = append(refs, b.add(b.g.vulnerability(b.r.IntN(50))))
		if b.d == Alerts {
			b.indicators(refs[0], b.r.IntN(3))
			for _, rel := range b.objects {
				if rel["type"] == "relationship" {
					refs = append(refs, rel["source_ref"].(string), rel["id"].(string))
				}
			}
		}
	}
	o["object_refs"] = refs
	o["external_references"] = []object{{"source_name": "ThreatMatch", "url": fmt.Sprintf("https://eu.threatmatch.com/app/%s/view/%d", b.d, b.index+1)}}
	b.add(o)
}

// oddities adds what the bundle as a whole may have.
func (b *item) oddities() {
	q, at := b.g.opt.Quirks, b.g.Earliest()
	for _, o := range b.objects {
		if o["created_by_ref"] != nil && b.r.Float64() < 0.8 {
			b.add(b.g.author())
			break
		}
	}
	for _, o := range b.objects {
		if refs, _ := o["object_marking_refs"].([]string); len(refs) > 1 {
			b.add(b.g.statement())
			break
		} else if len(refs) == 1 && refs[0] == tlpAmber && b.r.IntN(2) == 0 {
			b.add(amber())
			break
		}
	}
	if b.r.Float64() < q.Dangling && len(b.objects) > 0 {
		b.relate("related-to", b.objects[0]["id"].(string), stixID(b.g.opt.Seed, "malware", -1, b.index))
	}
	if b.r.Float64() < q.UnknownTypes {
		b.add(b.g.newObject("x-threatmatch-widget", stixID(b.g.opt.Seed, "x-threatmatch-widget", int(b.d[0]), b.index), "Widget", at, at))
	}
	if b.r.Float64() < q.ErrorElements {
		e := object{"error": "The object could not be converted"}
		if b.r.IntN(2) == 0 {
			e["type"] = "malware"
		}
		b.objects = append(b.objects, e)
	}
}
