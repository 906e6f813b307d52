// Package terminal keeps text from outside from acting on a terminal: escape
// sequences, characters that change the writing direction, forged lines.
package terminal

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Quote returns s with every control and format character, line separator and
// invalid byte escaped as in JSON: ESC becomes \u001b. The result is one line of
// visible text.
func Quote(s string) string { return quote(s, "") }

// Text is Quote, but keeps line feeds and tabs. A JSON text stays the same JSON
// text, because such characters only occur inside its strings.
func Text(s string) string { return quote(s, "\n\t") }

// Lines is Quote for each line of a text. All lines but the first are indented, so
// that none can be mistaken for a separate line of output.
func Lines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, line := range lines {
		lines[i] = Quote(line)
	}
	return strings.Join(lines, "\n  ")
}

func quote(s, keep string) string {
	if isHarmless(s, keep) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		broken := r == utf8.RuneError && n == 1
		if !broken && (strings.ContainsRune(keep, r) || !acts(r)) {
			b.WriteString(s[i : i+n])
		} else {
			for _, unit := range utf16.AppendRune(nil, r) {
				b.WriteString(`\u`)
				for shift := 12; shift >= 0; shift -= 4 {
					b.WriteByte("0123456789abcdef"[unit>>shift&0xf])
				}
			}
		}
		i += n
	}
	return b.String()
}

func isHarmless(s, keep string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return acts(r) && !strings.ContainsRune(keep, r) }) < 0
}

// acts reports whether a terminal may do anything with r other than show it.
func acts(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
}
