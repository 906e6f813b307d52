package stix

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be nested. STIX needs about 6 levels.
const maxDepth = 100

// Errors of Normalize, which dead letters tell apart.
var (
	ErrSyntax  = errors.New("not JSON")
	ErrTooDeep = fmt.Errorf("nested deeper than %d levels", maxDepth)
)

// Normalize appends the JSON value in src to dst in normal form: no blanks outside of strings, strings as RFC 8785
// writes them, numbers as they are, or null if no double can hold them. Invalid UTF-8 and lone surrogates, on which
// Python workers fail, become U+FFFD; a byte order mark is skipped. src is not kept. It returns ErrSyntax or
// ErrTooDeep.
func Normalize(dst, src []byte) ([]byte, error) {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(src) {
		src = bytes.ToValidUTF8(src, []byte("\uFFFD"))
	}
	n := normalizer{src: src, dst: dst}
	if err := n.value(0); err != nil {
		return nil, err
	}
	if n.blanks(); n.pos != len(src) {
		return nil, n.syntax()
	}
	return n.dst, nil
}

type normalizer struct {
	src, dst []byte
	pos      int
}

func (n *normalizer) syntax() error {
	if n.pos >= len(n.src) {
		return fmt.Errorf("%w: ends too early at byte %d", ErrSyntax, len(n.src))
	}
	return fmt.Errorf("%w: unexpected %q at byte %d", ErrSyntax, n.src[n.pos], n.pos)
}

func (n *normalizer) blanks() {
	for n.pos < len(n.src) {
		switch n.src[n.pos] {
		case ' ', '\t', '\n', '\r':
			n.pos++
		default:
			return
		}
	}
}

// next skips blanks and returns the next byte without consuming it; 0 at the end.
func (n *normalizer) next() byte {
	n.blanks()
	if n.pos < len(n.src) {
		return n.src[n.pos]
	}
	return 0
}

// take copies c, which must come next.
func (n *normalizer) take(c byte) error {
	if n.next() != c {
		return n.syntax()
	}
	n.pos++
	n.dst = append(n.dst, c)
	return nil
}

func (n *normalizer) value(depth int) error {
	if depth > maxDepth {
		return ErrTooDeep
	}
	switch c := n.next(); {
	case c == '{':
		return n.container('}', depth, n.member)
	case c == '[':
		return n.container(']', depth, n.value)
	case c == '"':
		return n.text()
	case c == '-' || c >= '0' && c <= '9':
		return n.number()
	case c == 't':
		return n.word("true")
	case c == 'f':
		return n.word("false")
	case c == 'n':
		return n.word("null")
	}
	return n.syntax()
}

func (n *normalizer) container(end byte, depth int, item func(int) error) error {
	n.dst = append(n.dst, n.src[n.pos])
	n.pos++
	if n.next() == end {
		return n.take(end)
	}
	for {
		if err := item(depth + 1); err != nil {
			return err
		}
		if n.next() == ',' {
			n.pos++
			n.dst = append(n.dst, ',')
			continue
		}
		return n.take(end)
	}
}

func (n *normalizer) member(depth int) error {
	if n.next() != '"' {
		return n.syntax()
	}
	if err := n.text(); err != nil {
		return err
	}
	if err := n.take(':'); err != nil {
		return err
	}
	return n.value(depth)
}

func (n *normalizer) word(w string) error {
	if !bytes.HasPrefix(n.src[n.pos:], []byte(w)) {
		return n.syntax()
	}
	n.pos += len(w)
	n.dst = append(n.dst, w...)
	return nil
}

func (n *normalizer) digits() bool {
	start := n.pos
	for n.pos < len(n.src) && n.src[n.pos] >= '0' && n.src[n.pos] <= '9' {
		n.pos++
	}
	return n.pos > start
}

func (n *normalizer) at(set string) bool {
	return n.pos < len(n.src) && bytes.IndexByte([]byte(set), n.src[n.pos]) >= 0
}

func (n *normalizer) number() error {
	start := n.pos
	if n.at("-") {
		n.pos++
	}
	if n.at("0") {
		n.pos++
	} else if !n.digits() {
		return n.syntax()
	}
	if n.at(".") {
		n.pos++
		if !n.digits() {
			return n.syntax()
		}
	}
	if n.at("eE") {
		n.pos++
		if n.at("+-") {
			n.pos++
		}
		if !n.digits() {
			return n.syntax()
		}
	}
	return n.putNumber(n.src[start:n.pos])
}

// putNumber copies a number. What no double can hold becomes null: Python reads it as infinity, which is not JSON any
// more.
func (n *normalizer) putNumber(text []byte) error {
	if len(text) > 300 || bytes.ContainsAny(text, "eE") {
		if _, err := strconv.ParseFloat(string(text), 64); err != nil {
			text = []byte("null")
		}
	}
	n.dst = append(n.dst, text...)
	return nil
}

func (n *normalizer) text() error {
	n.pos++
	n.dst = append(n.dst, '"')
	for {
		start := n.pos
		for n.pos < len(n.src) {
			if c := n.src[n.pos]; c < ' ' || c == '"' || c == '\\' {
				break
			}
			n.pos++
		}
		n.dst = append(n.dst, n.src[start:n.pos]...)
		if n.pos == len(n.src) || n.src[n.pos] < ' ' {
			return n.syntax()
		}
		if n.src[n.pos] == '"' {
			n.pos++
			n.dst = append(n.dst, '"')
			return nil
		}
		if err := n.escape(); err != nil {
			return err
		}
	}
}

func (n *normalizer) escape() error {
	n.pos++
	if n.pos == len(n.src) {
		return n.syntax()
	}
	c := n.src[n.pos]
	switch c {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		n.dst = append(n.dst, '\\', c)
	case '/':
		n.dst = append(n.dst, '/')
	case 'u':
		r, ok := n.hex(n.pos + 1)
		if !ok {
			return n.syntax()
		}
		n.pos += 5
		if utf16.IsSurrogate(r) {
			r = n.pair(r)
		}
		n.dst = appendRune(n.dst, r)
		return nil
	default:
		return n.syntax()
	}
	n.pos++
	return nil
}

// pair joins high with the low surrogate that must follow it.
func (n *normalizer) pair(high rune) rune {
	if n.pos+1 < len(n.src) && n.src[n.pos] == '\\' && n.src[n.pos+1] == 'u' {
		if low, ok := n.hex(n.pos + 2); ok {
			if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
				n.pos += 6
				return r
			}
		}
	}
	return utf8.RuneError
}

func (n *normalizer) hex(at int) (rune, bool) {
	if at+4 > len(n.src) {
		return 0, false
	}
	var r rune
	for _, c := range n.src[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
