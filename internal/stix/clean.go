package stix

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Clean removes nulls, empty lists and empty objects at every level, since OpenCTI's workers fail on them, and
// containers that become empty. It returns how many values it removed.
func (o *Object) Clean() int {
	removed := 0
	for i := 0; i < len(o.fields); i++ {
		raw, n := clean(o.fields[i].raw)
		if removed += n; raw == nil {
			o.fields = slices.Delete(o.fields, i, i+1)
			i--
		} else if n > 0 {
			o.fields[i].raw = raw
		}
	}
	return removed
}

// keep reports whether raw is more than an empty value.
func keep(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "[]", "{}":
		return false
	}
	return true
}

// clean returns raw without what Clean removes, nil if nothing is left, and the number of values removed.
func clean(raw json.RawMessage) (json.RawMessage, int) {
	if !keep(raw) {
		return nil, 1
	}
	if raw[0] != '{' && raw[0] != '[' || !suspicious(raw) {
		return raw, 0
	}
	out, removed := append(make([]byte, 0, len(raw)), raw[0]), 0
	add := func(key string, v json.RawMessage) {
		v, n := clean(v)
		removed += n
		if v == nil {
			return
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		if raw[0] == '{' {
			out = append(appendString(out, key), ':')
		}
		out = append(out, v...)
	}
	for e := range Elements(raw) {
		add("", e)
	}
	for k, v := range Members(raw) {
		add(k, v)
	}
	switch {
	case removed == 0:
		return raw, 0
	case len(out) == 1:
		return nil, removed
	case raw[0] == '{':
		return append(out, '}'), removed
	}
	return append(out, ']'), removed
}

// suspicious is the fast path: text without these strings has nothing to clean.
func suspicious(raw []byte) bool {
	return bytes.Contains(raw, []byte("null")) || bytes.Contains(raw, []byte("[]")) || bytes.Contains(raw, []byte("{}"))
}
