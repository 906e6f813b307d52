package stix

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// appendString appends s as a JSON string in normal form (RFC 8785).
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for len(s) > 0 {
		i := 0
		for i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' && s[i] < utf8.RuneSelf {
			i++
		}
		dst, s = append(dst, s[:i]...), s[i:]
		if s != "" {
			r, size := utf8.DecodeRuneInString(s)
			dst, s = appendRune(dst, r), s[size:]
		}
	}
	return append(dst, '"')
}

// Quote returns s as a JSON string in normal form.
func Quote(s string) []byte { return appendString(make([]byte, 0, len(s)+2), s) }

// appendRune appends r as it is written inside a JSON string in normal form.
func appendRune(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if r < ' ' {
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// Text returns the string in normal JSON text; false if raw is not a string.
func Text(raw json.RawMessage) (string, bool) {
	b, ok := TextBytes(raw)
	return string(b), ok
}

// TextBytes is Text without a copy if there are no escapes. The result must not be changed.
func TextBytes(raw json.RawMessage) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	b := raw[1 : len(raw)-1]
	if bytes.IndexByte(b, '\\') < 0 {
		return b, true
	}
	if out, ok := unescape(make([]byte, 0, len(b)), b); ok {
		return out, true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return []byte(s), err == nil
}

// unescape appends what the inside of a JSON string says. It returns false if that has an escape that is never written
// in normal form.
func unescape(dst, b []byte) ([]byte, bool) {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return append(dst, b...), true
		}
		if i+1 == len(b) {
			return nil, false
		}
		dst = append(dst, b[:i]...)
		c, size := b[i+1], 2
		if at := strings.IndexByte("bfnrt", c); at >= 0 {
			c = "\b\f\n\r\t"[at]
		} else if c == 'u' && i+6 <= len(b) {
			n, err := strconv.ParseUint(string(b[i+2:i+6]), 16, 7)
			if err != nil {
				return nil, false
			}
			c, size = byte(n), 6
		}
		dst, b = append(dst, c), b[i+size:]
	}
}
