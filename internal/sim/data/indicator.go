package data

import (
	"encoding/json"
	"fmt"
	"time"
)

// indicator is IOC index as JSON. It is written by hand: lists of a million
// IOCs are served with little time per object.
func (g *Generated) indicator(index int, at time.Time, version int) json.RawMessage {
	raw, _ := json.Marshal(g.iocObject(index, at, version)) // strings and numbers only
	return raw
}

// iocObject is a struct, not a map: a million of these are made in one import.
func (g *Generated) iocObject(index int, at time.Time, version int) *ioc {
	h := hashOf(g.opt.Seed, "ioc", index)
	format := "2006-01-02T15:04:05.000Z"
	if g.opt.SubMillisecond {
		format = "2006-01-02T15:04:05.000000Z"
	}
	created := g.shelves[IOCs].created(index).UTC()
	o := &ioc{
		Type: "indicator", SpecVersion: "2.1", ID: stixID(g.opt.Seed, "indicator", index),
		Created: created.Format(format), Modified: at.UTC().Format(format), ValidFrom: created.Format(format),
		PatternType: "stix", IndicatorTypes: []string{"malicious-activity"},
	}
	o.Name, o.Pattern = pattern(index, h)
	share := func(n uint) float64 { return float64(mix(h+uint64(n))>>11) / (1 << 53) }
	q := g.opt.Quirks
	if share(1) >= q.NoAuthor {
		o.CreatedByRef = g.authorID()
	}
	if n := share(2); n >= q.NoMarking {
		o.MarkingRefs = []string{tlpAmber}
		if n < q.NoMarking+q.UnknownMarking {
			o.MarkingRefs = []string{stixID(g.opt.Seed, "marking-definition", 404)}
		}
	}
	if share(3) >= q.NoDescription && !g.opt.Dense {
		o.Description = "<p>Seen in traffic of <b>" + actorWords[h%uint64(len(actorWords))] + "</b> infrastructure &amp; staging.</p>"
	}
	if version > 0 {
		o.Description += fmt.Sprintf("<p>Update %d.</p>", version)
	}
	if share(4) < q.Labels {
		o.Labels = []string{malwareTypes[h%uint64(len(malwareTypes))]}
	}
	return o
}

// indicatorObject is the same as a map, for an item's bundle.
func (g *Generated) indicatorObject(index int) object {
	at, version := g.shelves[IOCs].updated(index)
	var o object
	_ = json.Unmarshal(g.indicator(index, at, version), &o) // just made
	return o
}

type ioc struct {
	Type           string   `json:"type"`
	SpecVersion    string   `json:"spec_version"`
	ID             string   `json:"id"`
	Created        string   `json:"created"`
	Modified       string   `json:"modified"`
	CreatedByRef   string   `json:"created_by_ref,omitempty"`
	MarkingRefs    []string `json:"object_marking_refs,omitempty"`
	Name           string   `json:"name"`
	Description    string   `json:"description,omitempty"`
	Labels         []string `json:"labels,omitempty"`
	IndicatorTypes []string `json:"indicator_types"`
	Pattern        string   `json:"pattern"`
	PatternType    string   `json:"pattern_type"`
	ValidFrom      string   `json:"valid_from"`
}

// pattern makes each index a value of its own.
func pattern(index int, h uint64) (name, text string) {
	switch index % 5 {
	case 0:
		name = fmt.Sprintf("%d.%d.%d.%d", 11+index>>24&0x7f, index>>16&0xff, index>>8&0xff, index&0xff)
		return name, "[ipv4-addr:value = '" + name + "']"
	case 1:
		name = fmt.Sprintf("c%d.example-%s.net", index, malwareWordsLower[h%uint64(len(malwareWordsLower))])
		return name, "[domain-name:value = '" + name + "']"
	case 2:
		name = fmt.Sprintf("http://cdn%d.example.org/a/%x.bin", index, h>>40)
		return name, "[url:value = '" + name + "']"
	case 3:
		name = fmt.Sprintf("%016x%016x%016x%016x", h, mix(h), mix(h+1), uint64(index))
		return name, "[file:hashes.'SHA-256' = '" + name + "']"
	}
	name = fmt.Sprintf("mail%d@example.com", index)
	return name, "[email-addr:value = '" + name + "']"
}

var malwareWordsLower = []string{"loader", "drop", "bot", "rat", "stealer", "locker", "shell", "kit"}
