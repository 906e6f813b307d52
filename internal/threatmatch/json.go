package threatmatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bodies can have tens of megabytes. They are checked once as a whole and then walked in place: members and elements
// are slices of the body, not copies.

var errNotJSON = errors.New("response is not JSON")

// members yields the keys and values of a JSON object. raw must be valid JSON; anything but an object has no members.
func members(raw []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		i := space(raw, 0)
		if i >= len(raw) || raw[i] != '{' {
			return
		}
		for i = space(raw, i+1); i < len(raw) && raw[i] == '"'; {
			end := skip(raw, i)
			key, ok := unquoted(raw[i:end])
			if !ok {
				return
			}
			start := space(raw, space(raw, end)+1) // past the colon
			end = skip(raw, start)
			if !yield(key, raw[start:end]) {
				return
			}
			i = space(raw, space(raw, end)+1) // past the comma or the brace
		}
	}
}

// elements yields the values of a JSON array. raw must be valid JSON; anything but an array has no elements.
func elements(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		w := walkArray(raw)
		for e, ok := w.next(); ok && yield(e); e, ok = w.next() {
		}
	}
}

// arrayWalk is a position in a JSON array.
type arrayWalk struct {
	raw []byte
	at  int // of the next element or the closing bracket
}

func walkArray(raw []byte) arrayWalk {
	i := space(raw, 0)
	if i >= len(raw) || raw[i] != '[' {
		return arrayWalk{}
	}
	return arrayWalk{raw, space(raw, i+1)}
}

func (w *arrayWalk) more() bool { return w.at < len(w.raw) && w.raw[w.at] != ']' }

// next returns the next element; false if there is none.
func (w *arrayWalk) next() ([]byte, bool) {
	if !w.more() {
		return nil, false
	}
	end := skip(w.raw, w.at)
	e := w.raw[w.at:end:end]
	w.at = space(w.raw, end)
	if w.at < len(w.raw) && w.raw[w.at] == ',' {
		w.at = space(w.raw, w.at+1)
	}
	return e, true
}

// skip returns the index after the value that begins at i.
func skip(raw []byte, i int) int {
	for depth := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			if i = skipString(raw, i); depth == 0 {
				return i
			}
			i--
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return len(raw)
}

// skipString returns the index after the string that begins at i.
func skipString(raw []byte, i int) int {
	for i++; i < len(raw); {
		n := bytes.IndexByte(raw[i:], '"')
		if n < 0 {
			break
		}
		escapes := 0
		for escapes < n && raw[i+n-1-escapes] == '\\' {
			escapes++
		}
		if i += n + 1; escapes%2 == 0 {
			return i
		}
	}
	return len(raw)
}

func space(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r') {
		i++
	}
	return i
}

// object returns the named members of a body; absent ones are nil. It fails if the body is not a JSON object or has
// an "error".
func object(body []byte, names ...string) (map[string][]byte, Kind, error) {
	if !json.Valid(body) {
		return nil, KindMalformed, errNotJSON
	}
	if i := space(body, 0); body[i] != '{' {
		return nil, KindMalformed, errors.New("response is not a JSON object")
	}
	found := make(map[string][]byte, len(names))
	for key, value := range members(body) {
		if string(key) == "error" && !empty(value) {
			return nil, KindErrorBody, errors.New("response is an error")
		}
		for _, name := range names {
			if string(key) != name {
				continue
			}
			if isArray(found[name]) && isArray(value) { // one of them would be lost
				return nil, KindMalformed, fmt.Errorf("response has several lists %q", name)
			}
			found[name] = value
		}
	}
	return found, "", nil
}

// empty reports whether value says nothing: null, false or "".
func empty(value []byte) bool {
	switch string(value) {
	case "null", "false", `""`:
		return true
	}
	return false
}

func isArray(value []byte) bool { return len(value) > 0 && value[0] == '[' }

// maxID is the greatest length of an id in bytes; no real one is longer.
const maxID = 256

// identifier reads an id: an integer or a string. "" means none that can be requested.
func identifier(value []byte) string {
	if len(value) > 0 && value[0] == '"' {
		id := text(value)
		if id == "." || id == ".." || len(id) > maxID || strings.HasSuffix(id, "/edit") { // a suffix that marks the details of an item
			return ""
		}
		return id
	}
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	return ""
}

// text reads a JSON string; "" if it is not one.
func text(value []byte) string {
	s, _ := unquoted(value)
	return string(s)
}

// unquoted reads a JSON string, without a copy where there are no escapes, as in most; false if it is none.
func unquoted(value []byte) ([]byte, bool) {
	if n := len(value); n >= 2 && value[0] == '"' && bytes.IndexByte(value, '\\') < 0 && utf8.Valid(value) {
		return value[1 : n-1], true
	}
	var s string
	err := json.Unmarshal(value, &s)
	return []byte(s), err == nil
}
