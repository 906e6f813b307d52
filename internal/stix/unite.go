package stix

import (
	"bytes"
	"encoding/json"
	"slices"
)

// isUnited reports whether a property is a list in one of the copies, or the hashes of a file. A list wins over any
// other value.
func isUnited(a, b *Object, key string) bool {
	ra, _ := a.Get(key)
	rb, _ := b.Get(key)
	return united(ra, key) || united(rb, key)
}

func united(raw json.RawMessage, key string) bool {
	return isList(raw) || key == "hashes" && len(raw) > 0 && raw[0] == '{'
}

// unite returns the union of a list that one or both of the copies have. Equal lists keep their order; the entries of
// different ones are sorted.
func unite(a, b *Object, key string) field {
	ia, ib := a.index(key), b.index(key)
	switch {
	case ia < 0 || !united(a.fields[ia].raw, key):
		return b.own(ib)
	case ib < 0 || !united(b.fields[ib].raw, key):
		return a.own(ia)
	}
	fa, fb := a.own(ia), b.own(ib)
	if (fa.stamp == filledIn) != (fb.stamp == filledIn) {
		if fa.stamp == filledIn {
			return fb
		}
		return fa
	}
	out := field{key: key, stamp: fa.stamp}
	switch {
	case bytes.Equal(fa.raw, fb.raw):
		out.raw = fa.raw
	case key == "hashes":
		out.raw = uniteMembers(fa.raw, fb.raw)
	default:
		out.raw = listOf(uniteEntries(key, fa.raw, fb.raw))
	}
	return out
}

// own returns a list property, which has no time: only whether it was filled in is kept.
func (o *Object) own(i int) field {
	f := o.fields[i]
	if f.stamp != filledIn {
		f.stamp = 0
	}
	return f
}

// uniteEntries returns the entries of both lists, sorted, each once in canonical form; of external references and
// kill chain phases each key once.
func uniteEntries(key string, lists ...json.RawMessage) []json.RawMessage {
	var entries []json.RawMessage
	for _, list := range lists {
		for e := range Elements(list) {
			entries = append(entries, appendCanonicalValue(nil, e, nil))
		}
	}
	slices.SortFunc(entries, func(x, y json.RawMessage) int { return bytes.Compare(x, y) })
	entries = slices.CompactFunc(entries, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) })
	if keyOf := entryKeys[key]; keyOf != nil {
		entries = combineEntries(entries, keyOf, combine)
		slices.SortFunc(entries, func(x, y json.RawMessage) int { return bytes.Compare(x, y) })
	}
	return entries
}

func uniteMembers(a, b json.RawMessage) json.RawMessage {
	all := map[string]json.RawMessage{}
	for _, raw := range [...]json.RawMessage{a, b} {
		for k, v := range Members(raw) {
			if bytes.Compare(v, all[k]) > 0 {
				all[k] = v
			}
		}
	}
	return objectOf(all)
}

// uniteMarkings returns the markings of both. Of the TLP levels that sources gave the strictest wins; a level that
// was filled in yields to them.
func uniteMarkings(a, b *Object) field {
	const key = "object_marking_refs"
	ia, ib := a.index(key), b.index(key)
	switch {
	case ia < 0:
		return b.own(ib)
	case ib < 0:
		return a.own(ia)
	}
	fa, fb := a.own(ia), b.own(ib)
	if bytes.Equal(fa.raw, fb.raw) && (fa.stamp == filledIn) == (fb.stamp == filledIn) {
		return fa
	}
	var level, filled TLP
	var others []string
	for _, f := range [...]field{fa, fb} {
		for _, id := range texts(f.raw) {
			switch t, ok := TLPByID(id); {
			case !ok:
				others = append(others, id)
			case f.stamp == filledIn && t.Rank > filled.Rank:
				filled = t
			case f.stamp != filledIn && t.Rank > level.Rank:
				level = t
			}
		}
	}
	out := field{key: key}
	if level.Rank == 0 && filled.Rank > 0 {
		level, out.stamp = filled, filledIn
	}
	slices.Sort(others)
	list := slices.Compact(others)
	if level.Rank > 0 {
		list = append([]string{level.ID}, list...)
	}
	out.raw = stringList(list)
	return out
}

func listOf(entries []json.RawMessage) json.RawMessage {
	size := len("[]") + len(entries)
	for _, e := range entries {
		size += len(e)
	}
	out := append(make([]byte, 0, size), '[')
	for i, e := range entries {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	return append(out, ']')
}

// objectOf writes members in canonical order.
func objectOf(members map[string]json.RawMessage) json.RawMessage {
	fields := make([]field, 0, len(members))
	for k, v := range members {
		fields = append(fields, field{key: k, raw: v})
	}
	return appendCanonical(nil, fields, nil)
}
