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
	out, removed := appendClean(make([]byte, 0, len(raw)), raw)
	switch {
	case removed == 0:
		return raw, 0
	case len(out) == 0:
		return nil, removed
	}
	return out, removed
}

// appendClean appends what clean returns, which may be nothing. All levels share one buffer.
func appendClean(dst []byte, raw json.RawMessage) ([]byte, int) {
	switch {
	case !keep(raw):
		return dst, 1
	case raw[0] != '{' && raw[0] != '[' || !suspicious(raw):
		return append(dst, raw...), 0
	}
	start, removed := len(dst), 0
	dst = append(dst, raw[0])
	add := func(key string, v json.RawMessage) {
		before := len(dst)
		if before > start+1 {
			dst = append(dst, ',')
		}
		if raw[0] == '{' {
			dst = append(appendString(dst, key), ':')
		}
		empty := len(dst)
		out, n := appendClean(dst, v)
		if dst, removed = out, removed+n; len(dst) == empty {
			dst = dst[:before]
		}
	}
	for e := range Elements(raw) {
		add("", e)
	}
	for k, v := range Members(raw) {
		add(k, v)
	}
	if len(dst) == start+1 {
		return dst[:start], removed
	}
	return append(dst, raw[len(raw)-1]), removed
}

// suspicious is the fast path: text without these strings has nothing to clean.
func suspicious(raw []byte) bool {
	return bytes.Contains(raw, []byte("null")) || bytes.Contains(raw, []byte("[]")) || bytes.Contains(raw, []byte("{}"))
}
