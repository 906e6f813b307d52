package markup

import (
	"html"
	"strings"
)

// entityMax is the length of the longest entity, "&CounterClockwiseContourIntegral;".
const entityMax = 33

// Decode replaces the entities of s. An entity without a semicolon is kept, because
// "?a=1&copy=2" is part of an address.
func Decode(s string) string {
	amp := strings.IndexByte(s, '&')
	if amp < 0 {
		return s
	}
	var b strings.Builder
	for amp >= 0 {
		b.WriteString(s[:amp])
		s = s[amp:]
		n := entityLength(s)
		switch {
		case n == 0:
			n = 1
			b.WriteByte('&')
		case s[:n] == "&nbsp;" || s[:n] == "&#160;":
			b.WriteByte(' ')
		default:
			b.WriteString(html.UnescapeString(s[:n]))
		}
		s = s[n:]
		amp = strings.IndexByte(s, '&')
	}
	b.WriteString(s)
	return b.String()
}

// entityLength returns the length of what looks like an entity at the start of s; 0
// if nothing does.
func entityLength(s string) int {
	for i := 1; i < min(len(s), entityMax); i++ {
		c := s[i]
		switch {
		case c == ';':
			if i == 1 || i == 2 && s[1] == '#' {
				return 0
			}
			return i + 1
		case letter(c), c >= '0' && c <= '9', c == '#' && i == 1:
		default:
			return 0
		}
	}
	return 0
}
