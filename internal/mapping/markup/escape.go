package markup

import "strings"

// word writes a word of HTML text. Addresses, paths, hashes and code are unchanged,
// in a code span if Markdown would change them; elsewhere whatever Markdown would
// read as a mark is escaped.
func (w *writer) word(s string) {
	switch {
	case w.bare, w.span.begun:
		w.out = append(w.out, s...)
	case w.plain:
		w.safe(s)
	case w.startsLine() && lineMark(s):
		w.lineMark(s)
	case !strings.ContainsAny(s, "\\`*_[]<&~"):
		w.out = append(w.out, s...)
	case !codeLike(s):
		w.escape(s)
	case !active(s):
		w.out = append(w.out, s...)
	default:
		before, s, after := peel(s)
		w.out = append(w.out, before...)
		w.code(s)
		w.out = append(w.out, after...)
	}
}

// safe writes text so that nothing can be read as a tag, and changes nothing else.
func (w *writer) safe(s string) {
	if w.bare {
		w.out = append(w.out, s...)
		return
	}
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			w.out = append(w.out, s...)
			return
		}
		w.out = append(w.out, s[:i]...)
		if tagAt(s, i) {
			w.out = append(w.out, "&lt;"...)
		} else {
			w.out = append(w.out, '<')
		}
		s = s[i+1:]
	}
}

// tagAt reports whether the "<" at s[i] can start a tag, together with what may
// follow s.
func tagAt(s string, i int) bool {
	return i+1 == len(s) || letter(s[i+1]) || strings.IndexByte("/!?", s[i+1]) >= 0
}

func tagLike(s string) bool {
	for i := range len(s) {
		if s[i] == '<' && tagAt(s, i) {
			return true
		}
	}
	return false
}

// escape writes text with an escape wherever Markdown could read a mark.
func (w *writer) escape(s string) {
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '<' && tagAt(s, i):
			w.out = append(w.out, "&lt;"...)
			continue
		case c == '&' && entityLength(s[i:]) > 0:
			w.out = append(w.out, "&amp;"...)
			continue
		case c == '*' && s != "*", c == '`', c == '_' && !inside(s, i) && s != "_",
			c == '\\' && i+1 < len(s) && punctuation(s[i+1]), c == '~' && neighbour(s, i, '~'),
			c == '(' && i > 0 && s[i-1] == ']':
			w.out = append(w.out, '\\')
		}
		w.out = append(w.out, c)
	}
}

// inside reports whether s[i] is between letters or digits, where "_" is not a
// mark.
func inside(s string, i int) bool {
	return i > 0 && i+1 < len(s) && !punctuation(s[i-1]) && !punctuation(s[i+1])
}

func neighbour(s string, i int, c byte) bool {
	return i > 0 && s[i-1] == c || i+1 < len(s) && s[i+1] == c
}

func punctuation(c byte) bool {
	return c > ' ' && c < 0x7f && !letter(c) && (c < '0' || c > '9')
}

// codeLike reports whether a word is an address, path, hash or code, defanged or
// not: it has a character that words in a sentence do not have, or a mark between
// two letters.
func codeLike(s string) bool {
	_, s, _ = peel(s)
	if strings.Contains(s, "](") {
		return false
	}
	for i := range len(s) {
		switch s[i] {
		case '\\', '/', '@', '=', '$', '%', '^', '{', '}', '|':
			return true
		case '.', ':', '_', '(', '~', '*', '&', '[', ']', '<', '>':
			if inside(s, i) {
				return true
			}
		}
	}
	return strings.Contains(s, "[.]") || strings.Contains(s, "__") || len(s) > 2 && s[0] == '*' && s[1] == '.'
}

// peel splits the punctuation of a sentence off a word. A bracket that the
// word opens is part of it.
func peel(s string) (before, word, after string) {
	word = strings.TrimLeft(s, "(\"'“‘")
	before = s[:len(s)-len(word)]
	trimmed := strings.TrimRight(word, ".,;:!?)\"'”’")
	if trimmed == "" {
		return "", s, ""
	}
	for open := strings.Count(trimmed, "(") - strings.Count(trimmed, ")"); open > 0 && len(trimmed) < len(word) && word[len(trimmed)] == ')'; open-- {
		trimmed = word[:len(trimmed)+1]
	}
	return before, trimmed, word[len(trimmed):]
}

// active reports whether Markdown would show s differently.
func active(s string) bool {
	for i := range len(s) {
		switch c := s[i]; c {
		case '*', '`':
			return true
		case '_':
			if !inside(s, i) {
				return true
			}
		case '\\':
			if i+1 < len(s) && punctuation(s[i+1]) {
				return true
			}
		case '~':
			if neighbour(s, i, '~') {
				return true
			}
		case '<':
			if tagAt(s, i) {
				return true
			}
		case '&':
			if entityLength(s[i:]) > 0 {
				return true
			}
		case ']':
			if i+1 < len(s) && (s[i+1] == '(' || s[i+1] == ':') {
				return true
			}
		}
	}
	return false
}

// startsLine reports whether the next word is the first of its line.
func (w *writer) startsLine() bool { return len(w.out) == w.lineAt }

// lineMark reports whether a word means something at the start of a line: a
// heading, list, quote, rule, table, fence or definition.
func lineMark(s string) bool {
	switch s[0] {
	case '#', '-', '+', '=', '>', '*', '~', '`', '_':
		return strings.Trim(s, s[:1]) == "" || s[0] == '>' || strings.HasPrefix(s, "```") || strings.HasPrefix(s, "~~~")
	case '|', '[':
		return true
	}
	digits := strings.TrimLeft(s, "0123456789")
	return len(digits) == 1 && len(s) > 1 && len(s) < 11 && (digits == "." || digits == ")")
}

func (w *writer) lineMark(s string) {
	if n := len(s) - 1; s[0] >= '0' && s[0] <= '9' {
		w.out = append(append(append(w.out, s[:n]...), '\\'), s[n])
		return
	}
	if strings.Trim(s, s[:1]) == "" {
		w.out = append(w.out, '\\')
		w.out = append(w.out, s...)
		return
	}
	w.out = append(w.out, '\\', s[0])
	w.escape(s[1:])
}

// longest returns the length of the longest run of c.
func longest(s string, c byte) int {
	most, run := 0, 0
	for i := range len(s) {
		if run++; s[i] != c {
			run = 0
		}
		most = max(most, run)
	}
	return most
}
