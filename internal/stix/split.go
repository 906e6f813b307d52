package stix

import (
	"bytes"
	"encoding/json"
	"iter"
)

// Elements yields the elements of a JSON list in normal form; nothing if raw is not a list. For text that is not in
// normal form the result is undefined, but it does not panic.
func Elements(raw json.RawMessage) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		if len(raw) < 2 || raw[0] != '[' {
			return
		}
		for pos := 1; pos < len(raw)-1; pos++ {
			end := valueEnd(raw, pos)
			if end == pos || !yield(raw[pos:end:end]) {
				return
			}
			pos = end
		}
	}
}

// Members yields the members of a JSON object in normal form, in order, repeated keys included; nothing if raw is not
// an object. For text that is not in normal form the result is undefined, but it does not panic.
func Members(raw json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		if len(raw) < 2 || raw[0] != '{' {
			return
		}
		for pos := 1; pos < len(raw)-1; pos++ {
			colon := valueEnd(raw, pos)
			end := valueEnd(raw, colon+1)
			if raw[pos] != '"' || end <= colon+1 || !yield(keyText(raw[pos:colon]), raw[colon+1:end:end]) {
				return
			}
			pos = end
		}
	}
}

// Member returns the last member of raw with that key, which is the one that decoders take.
func Member(raw json.RawMessage, key string) (json.RawMessage, bool) {
	var found json.RawMessage
	for k, v := range Members(raw) {
		if k == key {
			found = v
		}
	}
	return found, found != nil
}

// keyText turns a quoted key into a string, without allocating for keys that nearly every object has.
func keyText(quoted []byte) string {
	if len(quoted) < 2 {
		return ""
	}
	if k, ok := frequentKeys[string(quoted[1:len(quoted)-1])]; ok {
		return k
	}
	k, _ := Text(quoted)
	return k
}

// valueEnd returns where the value that begins at pos ends. Since the text is in normal form, only strings and
// brackets matter.
func valueEnd(raw []byte, pos int) int {
	if pos >= len(raw) {
		return len(raw)
	}
	switch raw[pos] {
	case '"':
		return stringEnd(raw, pos)
	case '{', '[':
	default:
		if end := bytes.IndexAny(raw[pos:], ",]}"); end >= 0 {
			return pos + end
		}
		return len(raw)
	}
	depth := 0
	for ; pos < len(raw); pos++ {
		switch raw[pos] {
		case '"':
			pos = stringEnd(raw, pos) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return pos + 1
			}
		}
	}
	return len(raw)
}

// stringEnd returns the position after the string that begins at pos.
func stringEnd(raw []byte, pos int) int {
	for pos++; pos < len(raw); pos++ {
		quote := bytes.IndexByte(raw[pos:], '"')
		if quote < 0 {
			break
		}
		before := raw[pos : pos+quote]
		pos += quote
		if escapes := len(before) - len(bytes.TrimRight(before, `\`)); escapes%2 == 0 {
			return pos + 1
		}
	}
	return len(raw)
}

var frequentKeys = sameText("type", "id", "spec_version", "created", "modified", "created_by_ref",
	"object_marking_refs", "object_refs", "name", "description", "labels", "confidence", "lang", "revoked",
	"external_references", "kill_chain_phases", "granular_markings", "extensions", "pattern", "pattern_type",
	"pattern_version", "valid_from", "valid_until", "indicator_types", "relationship_type", "source_ref",
	"target_ref", "start_time", "stop_time", "identity_class", "aliases", "first_seen", "last_seen", "published",
	"report_types", "malware_types", "is_family", "value", "source_name", "url", "external_id", "hashes",
	"kill_chain_name", "phase_name", "x_opencti_score", "x_opencti_main_observable_type")

func sameText(keys ...string) map[string]string {
	m := make(map[string]string, len(keys))
	for _, k := range keys {
		m[k] = k
	}
	return m
}
