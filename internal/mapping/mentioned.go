package mapping

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"

	"threatmatch-connector/internal/stix"
)

// elsewhere raises the level to the strictest one whose marking the object mentions
// by id in any property, unless it is a mere reference to an object of any kind.
func (m *markings) elsewhere(o *stix.Object) {
	strictest := stricter(m.mentioned(o.All()), m.mentioned(o.Repeated()))
	if strictest.Rank == 0 {
		return
	}
	level := m.r.m.defaultLevel(m.r.src.Dataset, o.Type())
	if m.levels > 0 {
		level, _ = stix.TLPByID(unite(m.ids, nil)[0])
	}
	if strictest.Rank > level.Rank {
		m.addLevel(strictest)
	}
}

// mentioned is the strictest level whose marking one of the properties mentions.
func (m *markings) mentioned(properties iter.Seq2[string, json.RawMessage]) (strictest stix.TLP) {
	for key, raw := range properties {
		switch key {
		case "id", "object_marking_refs", "granular_markings", "object_refs", "object_ref", "source_ref", "target_ref", "sighting_of_ref":
			continue
		}
		for id := range markingIDs(raw) {
			t, _ := stix.TLPByID(id)
			strictest = stricter(strictest, stricter(t, m.r.markings[id].level))
		}
	}
	return strictest
}

// markingIDs yields the ids of markings in JSON text, wherever they are, in lower case.
func markingIDs(raw json.RawMessage) iter.Seq[string] {
	const name, uuid = len(markingPrefix) - len("--"), len("00000000-0000-0000-0000-000000000000")
	return func(yield func(string) bool) {
		for i := 0; ; i += len("--") {
			next := bytes.Index(raw[i:], []byte("--"))
			if next < 0 {
				return
			}
			i += next
			end := i + len("--") + uuid
			if i >= name && end <= len(raw) && strings.EqualFold(string(raw[i-name:i]), markingPrefix[:name]) &&
				!yield(strings.ToLower(string(raw[i-name:end]))) {
				return
			}
		}
	}
}
