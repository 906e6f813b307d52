package stix

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// entryKeys says which entries of a list are equal for OpenCTI's splitter.
var entryKeys = map[string]func(json.RawMessage) entryKey{
	"external_references": referenceKey,
	"kill_chain_phases":   phaseKey,
}

// DedupeReferences keeps one of equal external references, of equal kill chain phases and of equal entries of a list
// of references, as OpenCTI's splitter does, and drops entries without a key: an external reference needs a url, or a
// source_name and an external_id. What the kept entry lacks comes from those equal to it; of one address with several
// ids, each further id gets an entry of its own. It returns how many entries were removed.
func (o *Object) DedupeReferences() int {
	return o.dedupe("external_references") + o.dedupe("kill_chain_phases") + o.dedupeRefs()
}

// entryKey is what makes two entries equal; the zero value means no key.
type entryKey struct{ kind, a, b string }

// referenceKey follows pycti: a url alone decides, whatever else is there.
func referenceKey(entry json.RawMessage) entryKey {
	raw, _ := Member(entry, "url")
	if url, ok := Text(raw); ok {
		return entryKey{"url", url, ""}
	}
	return pairKey("id", entry, "source_name", "external_id")
}

func phaseKey(entry json.RawMessage) entryKey {
	return pairKey("phase", entry, "kill_chain_name", "phase_name")
}

// pairKey is the key of an entry that two texts decide.
func pairKey(kind string, entry json.RawMessage, first, second string) entryKey {
	rawA, _ := Member(entry, first)
	rawB, _ := Member(entry, second)
	a, okA := Text(rawA)
	b, okB := Text(rawB)
	if !okA || !okB {
		return entryKey{}
	}
	return entryKey{kind, a, b}
}

func (o *Object) dedupe(key string) int {
	i := o.index(key)
	if i < 0 || !isList(o.fields[i].raw) {
		return 0
	}
	var entries []json.RawMessage
	for e := range Elements(o.fields[i].raw) {
		entries = append(entries, e)
	}
	kept := combineEntries(entries, entryKeys[key], fillUp)
	switch {
	case slices.EqualFunc(kept, entries, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }):
	case len(kept) == 0:
		o.Delete(key)
	default:
		o.fields[i].raw = listOf(kept)
	}
	return len(entries) - len(kept)
}

// combineEntries combines entries with equal keys into one, in the place of the first; entries without a key are left
// out.
func combineEntries(entries []json.RawMessage, keyOf func(json.RawMessage) entryKey,
	combine func(a, b json.RawMessage) json.RawMessage) []json.RawMessage {
	groups := make(map[entryKey][]json.RawMessage, len(entries))
	order := make([]entryKey, 0, len(entries))
	add := func(e json.RawMessage) {
		k := keyOf(e)
		if k == (entryKey{}) {
			return
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], e)
	}
	for _, e := range entries {
		add(e)
	}
	kept := make([]json.RawMessage, 0, len(order))
	for i := 0; i < len(order); i++ {
		group := groups[order[i]]
		one := group[0]
		for _, e := range group[1:min(len(group), 1+combineMax)] {
			if !bytes.Equal(one, e) {
				one = combine(one, e)
			}
		}
		if order[i].kind == "url" && len(group) > 1 {
			var others []json.RawMessage
			one, others = divideIDs(one, group)
			for _, e := range others {
				add(e)
			}
		}
		kept = append(kept, one)
	}
	return kept
}

// divideIDs leaves the address of the group to one of its ids, in one. Each other id gets a reference of its own
// without the address, since OpenCTI keeps one reference per address.
func divideIDs(one json.RawMessage, group []json.RawMessage) (json.RawMessage, []json.RawMessage) {
	sources := map[string]json.RawMessage{}
	for _, e := range group {
		m := maps.Collect(Members(e))
		if id := string(m["external_id"]); id != "" && bytes.Compare(m["source_name"], sources[id]) > 0 {
			sources[id] = m["source_name"]
		}
	}
	if len(sources) < 2 {
		return one, nil
	}
	named := func(m map[string]json.RawMessage, id string) json.RawMessage {
		m["external_id"], m["source_name"] = json.RawMessage(id), sources[id]
		return objectOf(m)
	}
	ids := slices.Sorted(maps.Keys(sources))
	last := len(ids) - 1
	var others []json.RawMessage
	for _, id := range ids[:last] {
		others = append(others, named(map[string]json.RawMessage{}, id))
	}
	return named(maps.Collect(Members(one)), ids[last]), others
}

// combineMax is how many entries are combined into one, since that is parsed again for each.
const combineMax = 20

// fillUp combines two entries: what the first lacks comes from the second. The name of a source goes with its id,
// since OpenCTI reads the two as one.
func fillUp(first, second json.RawMessage) json.RawMessage {
	a, b := maps.Collect(Members(first)), maps.Collect(Members(second))
	if a["external_id"] == nil && b["external_id"] != nil && b["source_name"] != nil {
		a["source_name"] = b["source_name"]
	}
	for k, v := range b {
		if a[k] == nil {
			a[k] = v
		}
	}
	return objectOf(a)
}

// combine combines two entries, with the same result in either order: what one lacks comes from the other, else the
// greater value wins.
func combine(a, b json.RawMessage) json.RawMessage {
	ma, mb := maps.Collect(Members(a)), maps.Collect(Members(b))
	source, id := ma["source_name"], ma["external_id"]
	if bytes.Compare(nameOf(ma), nameOf(mb)) < 0 {
		source, id = mb["source_name"], mb["external_id"]
	}
	for k, v := range mb {
		if bytes.Compare(v, ma[k]) > 0 {
			ma[k] = v
		}
	}
	for k, v := range map[string]json.RawMessage{"source_name": source, "external_id": id} {
		if v != nil {
			ma[k] = v
		}
	}
	return objectOf(ma)
}

// nameOf is the key by which names are ordered: with an id after those without, then by value.
func nameOf(m map[string]json.RawMessage) []byte {
	id, ok := m["external_id"]
	if !ok {
		return append([]byte{0}, m["source_name"]...)
	}
	return append(append([]byte{1}, id...), m["source_name"]...)
}
