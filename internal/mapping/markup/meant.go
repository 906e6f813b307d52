package markup

import "strings"

// meant tells a real tag from one that the text talks about. An element that needs
// an end tag and has none is only talked about, and so are cells outside tables and
// "<p> tags".
func (l *lexer) meant(t token, raw string, attributed bool) bool {
	after := l.s[l.pos:]
	if !attributed && spokenOf(after) {
		return false
	}
	ended := int(l.names.of(t.atom).end) > l.pos
	switch t.role {
	case lineBreak, rule:
		return true
	case picture:
		return t.attr["src"] != "" || t.attr["alt"] != ""
	case hiddenVoid:
		return attributed
	case paragraph:
		return ended || !l.inSentence(raw)
	case tableRow, tableCell, tablePart, caption:
		return l.tables > 0
	case listItem, term:
		return ended || l.lists > 0
	case script:
		return ended && !l.inCode() && (attributed || !prose(after))
	case bold, italic, strike, phrase:
		return ended || after != "" && (letter(after[0]) || after[0] >= '0' && after[0] <= '9')
	}
	return ended
}

// inCode reports whether the current token is between backticks.
func (l *lexer) inCode() bool { return l.ticks%2 == 1 && l.lastTick >= l.pos }

// spokenOf reports whether a tag before s is the subject of a sentence.
func spokenOf(s string) bool {
	return strings.HasPrefix(s, " tag") || strings.HasPrefix(s, " element") || strings.HasPrefix(s, " attribute")
}

// inSentence reports whether the tag is between blanks and is followed by a
// lower-case word.
func (l *lexer) inSentence(raw string) bool {
	start := l.pos - len(raw)
	return start > 0 && l.s[start-1] == ' ' && l.pos+1 < len(l.s) && l.s[l.pos] == ' ' &&
		l.s[l.pos+1] >= 'a' && l.s[l.pos+1] <= 'z'
}

// proseMax limits how far prose looks for code, so that text with many tags takes
// linear time.
const proseMax = 200

// prose reports whether the text between <script> and </script> is part of a
// sentence: "between <script> and </script> tags".
func prose(s string) bool {
	if s == "" || s[0] != ' ' {
		return false
	}
	for i := 1; i < min(len(s), proseMax); i++ {
		switch c := s[i]; {
		case c == '<' && strings.HasPrefix(s[i:], "</"):
			return i > 2
		case c == '{' || c == '}' || c == '=':
			return false
		case c == '(' && (letter(s[i-1]) || s[i-1] == '_'):
			return false
		case c == ';' && !(letter(s[i-1]) && i+1 < len(s) && s[i+1] == ' '):
			return false
		}
	}
	return len(s) > proseMax
}
