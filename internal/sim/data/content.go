package data

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Well-known markings. TLP 2.0 has ids of its own in STIX, which OpenCTI does not know.
const (
	tlpAmber       = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
	tlpGreen       = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"
	tlp2AmberStict = "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"
)

// Numbers of the portal's profile types.
const (
	kindActor     = 1
	kindIncident  = 3
	kindOperation = 4
	kindMalware   = 5
)

var kindTypes = map[int]string{kindActor: "threat-actor", kindIncident: "incident", kindOperation: "campaign", kindMalware: "malware"}

type object = map[string]any

// kind is the profile type of a profile; other datasets have none.
func (g *Generated) kind(d Dataset, index int) int {
	if d != Profiles {
		return 0
	}
	switch n := hashOf(g.opt.Seed, "kind", index) % 20; {
	case n < 9:
		return kindActor
	case n < 14:
		return kindMalware
	case n < 18:
		return kindOperation
	}
	return kindIncident
}

func (g *Generated) title(d Dataset, index int) string {
	r := randomFor(g.opt.Seed, "title-"+string(d), index)
	switch {
	case d == Alerts:
		return fmt.Sprintf("%s: %s %s (%d)", pick(r, alertTypes), pick(r, actorWords), pick(r, animalWords), index+1)
	case d == Reports:
		return fmt.Sprintf("Quarterly review of %s, issue %d", pick(r, sectors), index+1)
	}
	switch g.kind(d, index) {
	case kindActor:
		return fmt.Sprintf("%s %s %d", pick(r, actorWords), pick(r, animalWords), index+1)
	case kindMalware:
		return fmt.Sprintf("%s%s.%d", pick(r, actorWords), pick(r, malwareWords), index+1)
	case kindOperation:
		return fmt.Sprintf("Operation %s %d", pick(r, operations), index+1)
	}
	return fmt.Sprintf("%s at a %s organisation, case %d", pick(r, incidentTypes), pick(r, sectors), index+1)
}

// profileID is the STIX id of profile index.
func (g *Generated) profileID(index int) string {
	return stixID(g.opt.Seed, kindTypes[g.kind(Profiles, index)], index)
}

// mainObject is the whole object that profile index is about.
func (g *Generated) mainObject(index int) object {
	s := g.shelves[Profiles]
	at, version := s.updated(index)
	kind := g.kind(Profiles, index)
	o := g.newObject(kindTypes[kind], g.profileID(index), g.title(Profiles, index), s.created(index), at)
	r := randomFor(g.opt.Seed, "main", index)
	var labels []string
	switch kind {
	case kindActor:
		o["aliases"] = []string{fmt.Sprintf("TM-G%04d", index+1)}
		o["threat_actor_types"] = []string{"nation-state"}
		o["sophistication"] = "advanced"
		o["first_seen"] = Stamp(s.created(index).Add(-8760 * time.Hour))
		labels = append(some(r, motivations, 1), some(r, countries, 2)...)
	case kindMalware:
		o["is_family"] = true
		labels = some(r, malwareTypes, 2)
	case kindOperation:
		o["first_seen"] = Stamp(s.created(index).Add(-240 * time.Hour))
		labels = append(some(r, motivations, 1), some(r, regions, 1)...)
	case kindIncident:
		labels = some(r, incidentTypes, 1)
	}
	labels = append(labels, some(r, sectors, 1+r.IntN(3))...)
	labels = append(labels, some(r, otherLabels, r.IntN(2))...)
	o["external_references"] = []object{{"source_name": "ThreatMatch", "external_id": fmt.Sprint(index + 1)}}
	g.decorate(o, labels, 2+r.IntN(4), version)
	return o
}

// stub is a linked profile as another item's bundle shows it.
func (g *Generated) stub(index int) object {
	s := g.shelves[Profiles]
	at, _ := s.updated(index)
	return g.newObject(kindTypes[g.kind(Profiles, index)], g.profileID(index), g.title(Profiles, index), s.created(index), at)
}

func (g *Generated) newObject(stixType, id, name string, created, modified time.Time) object {
	o := object{"type": stixType, "spec_version": "2.1", "id": id, "created": Stamp(created), "modified": Stamp(modified)}
	if name != "" {
		o["name"] = name
	}
	return o
}

// decorate adds what any object may or may not have. It depends on the object
// alone, so that all its copies agree.
func (g *Generated) decorate(o object, labels []string, paragraphs, version int) {
	q := g.opt.Quirks
	r := randomFor(g.opt.Seed, o["id"].(string), version)
	fixed := randomFor(g.opt.Seed, o["id"].(string))
	if fixed.Float64() >= q.NoAuthor {
		o["created_by_ref"] = g.authorID()
	}
	g.mark(o, fixed)
	switch {
	case g.opt.Dense || r.Float64() < q.NoDescription:
	case r.Float64() < q.NullDescription:
		o["description"] = nil
	default:
		text := richText(r, paragraphs)
		if version > 0 {
			text += fmt.Sprintf("<p>Update %d.</p>", version)
		}
		o["description"] = text
	}
	if version > 0 && g.opt.Dense {
		o["description"] = fmt.Sprintf("Update %d.", version)
	}
	if len(labels) > 0 && fixed.Float64() < q.Labels {
		o["labels"] = labels
	}
}

func (g *Generated) mark(o object, r *rand.Rand) {
	q := g.opt.Quirks
	switch n := r.Float64(); {
	case n < q.NoMarking:
	case n < q.NoMarking+q.UnknownMarking:
		o["object_marking_refs"] = []string{stixID(g.opt.Seed, "marking-definition", 404)}
	case n < q.NoMarking+q.UnknownMarking+q.ShippedMarking:
		o["object_marking_refs"] = []string{tlpGreen, g.statementID()}
	case r.IntN(10) == 0 && q != Quirks{}:
		o["object_marking_refs"] = []string{tlp2AmberStict}
	default:
		o["object_marking_refs"] = []string{tlpAmber}
	}
}

func (g *Generated) authorID() string    { return stixID(g.opt.Seed, "identity", 1) }
func (g *Generated) statementID() string { return stixID(g.opt.Seed, "marking-definition", 1) }

func (g *Generated) author() object {
	o := g.newObject("identity", g.authorID(), "SecAlliance Analysts", g.Earliest(), g.Earliest())
	o["identity_class"] = "organization"
	return o
}

func (g *Generated) statement() object {
	o := g.newObject("marking-definition", g.statementID(), "", g.Earliest(), g.Earliest())
	delete(o, "modified")
	o["definition_type"] = "statement"
	o["definition"] = object{"statement": "Copyright of the feed's owner"}
	return o
}

// amber is the classic TLP:AMBER object of STIX 2.1.
func amber() object {
	return object{
		"type": "marking-definition", "spec_version": "2.1", "id": tlpAmber, "created": "2017-01-20T00:00:00.000Z",
		"definition_type": "tlp", "name": "TLP:AMBER", "definition": object{"tlp": "amber"},
	}
}
