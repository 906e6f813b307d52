package stix

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
)

// Hash returns a hash of the object's content: equal for objects that differ
// only in the order of keys, at any level, and different otherwise. It is
// stable across versions of this program, since the spool keeps it.
func (o *Object) Hash() [16]byte {
	sum := sha256.Sum256(appendCanonical(make([]byte, 0, o.size()), o.fields))
	return [16]byte(sum[:16])
}

func appendCanonical(dst []byte, fields []field) []byte {
	var few [48]int
	sorted := few[:0]
	for i := range fields {
		sorted = append(sorted, i)
	}
	slices.SortStableFunc(sorted, func(a, b int) int { return strings.Compare(fields[a].key, fields[b].key) })
	dst = append(dst, '{')
	for n, i := range sorted {
		f := &fields[i]
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, f.key), ':')
		dst = appendCanonicalValue(dst, f.raw)
	}
	return append(dst, '}')
}

// canonicalValue is appendCanonicalValue without a copy of what is canonical as it stands.
func canonicalValue(raw json.RawMessage) []byte {
	if raw[0] == '{' || raw[0] == '[' {
		return appendCanonicalValue(nil, raw)
	}
	return raw
}

func appendCanonicalValue(dst []byte, raw json.RawMessage) []byte {
	switch raw[0] {
	case '{':
		var fields []field
		for k, v := range Members(raw) {
			fields = append(fields, field{key: k, raw: v})
		}
		return appendCanonical(dst, fields)
	case '[':
		dst = append(dst, '[')
		first := true
		for e := range Elements(raw) {
			if !first {
				dst = append(dst, ',')
			}
			dst, first = appendCanonicalValue(dst, e), false
		}
		return append(dst, ']')
	}
	return append(dst, raw...)
}
