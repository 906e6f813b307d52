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

func appendCanonical(dst []byte, fields []field) []byte {
	var places [48]int
	dst = append(dst, '{')
	for n, i := range sorted(places[:0], fields) {
		f := &fields[i]
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, f.key), ':')
		dst = appendCanonicalValue(dst, f.raw)
	}
	return append(dst, '}')
}

// canonical is [appendCanonicalValue] without a copy where the order of keys does not matter; buf is used where it does.
func canonical(raw json.RawMessage, buf *[]byte) []byte {
	if raw[0] == '"' || bytes.IndexByte(raw, '{') < 0 {
		return raw
	}
	*buf = appendCanonicalValue(slices.Grow((*buf)[:0], len(raw)), raw)
	return *buf
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
