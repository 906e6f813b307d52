package stix

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
)

// Hash returns a hash of the object's content: equal for objects that differ only in the order of keys, at any level,
// and different otherwise. It is stable across versions of this program, since the spool stores it.
func (o *Object) Hash() [16]byte {
	h := sha256.New()
	var places [48]int
	var few [512]byte
	var nested []byte
	buf := append(few[:0], '{')
	for n, i := range sorted(places[:0], o.fields) {
		f := &o.fields[i]
		if n > 0 {
			buf = append(buf, ',')
		}
		buf = append(appendString(buf, f.key), ':')
		if len(f.raw) > largeText {
			h.Write(buf)
			buf = buf[:0]
			writeCanonical(f.raw, func(b []byte) { h.Write(b) })
			continue
		}
		value := canonical(f.raw, &nested)
		if len(buf)+len(value) > cap(few)-64 {
			h.Write(buf)
			h.Write(value)
			buf = buf[:0]
		} else {
			buf = append(buf, value...)
		}
	}
	h.Write(append(buf, '}'))
	var sum [sha256.Size]byte
	return [16]byte(h.Sum(sum[:0]))
}

// sorted appends the indices of the fields in the order of their keys.
func sorted(places []int, fields []field) []int {
	for i := range fields {
		places = append(places, i)
	}
	slices.SortStableFunc(places, func(a, b int) int { return strings.Compare(fields[a].key, fields[b].key) })
	return places
}

func appendCanonical(dst []byte, fields []field, large func([]byte)) []byte {
	var places [48]int
	dst = append(dst, '{')
	for n, i := range sorted(places[:0], fields) {
		f := &fields[i]
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, f.key), ':')
		dst = appendCanonicalValue(dst, f.raw, large)
	}
	return append(dst, '}')
}

// canonical is [appendCanonicalValue] without a copy where the order of keys does not matter; buf is used where it does.
func canonical(raw json.RawMessage, buf *[]byte) []byte {
	if raw[0] == '"' || bytes.IndexByte(raw, '{') < 0 {
		return raw
	}
	*buf = appendCanonicalValue(slices.Grow((*buf)[:0], len(raw)), raw, nil)
	return *buf
}

// largeText is the length from which a text is not copied to be hashed.
const largeText = 1 << 20

// writeCanonical passes what [appendCanonicalValue] appends on in pieces, large texts as they are.
func writeCanonical(raw json.RawMessage, to func([]byte)) { to(appendCanonicalValue(nil, raw, to)) }

// appendCanonicalValue appends a value with the keys at every level in order. If large is not nil, it gets what is in
// dst and a large text, in turns.
func appendCanonicalValue(dst []byte, raw json.RawMessage, large func([]byte)) []byte {
	switch raw[0] {
	case '{':
		var fields []field
		for k, v := range Members(raw) {
			fields = append(fields, field{key: k, raw: v})
		}
		return appendCanonical(dst, fields, large)
	case '[':
		dst = append(dst, '[')
		first := true
		for e := range Elements(raw) {
			if !first {
				dst = append(dst, ',')
			}
			dst, first = appendCanonicalValue(dst, e, large), false
		}
		return append(dst, ']')
	}
	if large != nil && len(raw) > largeText {
		large(dst)
		large(raw)
		return dst[:0]
	}
	return append(dst, raw...)
}
