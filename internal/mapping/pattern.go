package mapping

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// STIX patterns are parsed like OASIS's validator does, with which the platform
// refuses invalid ones.

var patternInstant = regexp.MustCompile(`^t'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z'$`)

// patternBytes matches hex and base64.
var patternBytes = regexp.MustCompile(`^(?:[hH]'(?:[0-9a-fA-F]{2})*'|[bB]'(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?')$`)

// hyphenStep matches a path step that must be quoted.
var hyphenStep = regexp.MustCompile(`\.([A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)+)`)

// patternToken returns the next token of a pattern: a text, instant, hex or base64, a
// number, a word or a sign. It returns nil if there is none.
func patternToken(s []byte) []byte {
	switch c := s[0]; {
	case c == '\'':
		return quotedToken(s, 0)
	case len(s) > 1 && s[1] == '\'' && strings.IndexByte("tThHbB", c) >= 0:
		if token := quotedToken(s, 1); token != nil {
			return token
		}
		return s[:1]
	case c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.':
		return numberToken(s)
	case wordByte(c) && c != '-':
		return s[:run(s, 0, wordByte)]
	}
	for _, sign := range [...]string{"==", "!=", "<>", "<=", ">=", "]", "[", "(", ")", "=", "<", ">", ":", ",", "*"} {
		if len(s) >= len(sign) && string(s[:len(sign)]) == sign {
			return s[:len(sign)]
		}
	}
	return nil
}

// quotedToken returns the text that begins with the quote at i, and what is before it.
// A backslash must be followed by a quote or another backslash.
func quotedToken(s []byte, i int) []byte {
	for i++; i < len(s); i++ {
		switch {
		case s[i] == '\'':
			return s[:i+1]
		case s[i] == '\\':
			if i++; i == len(s) || s[i] != '\'' && s[i] != '\\' {
				return nil
			}
		}
	}
	return nil
}

// numberToken returns a number, with or without sign and fraction, or a dot.
func numberToken(s []byte) []byte {
	start := 0
	if s[0] == '-' || s[0] == '+' {
		start = 1
	}
	whole := run(s, start, digit)
	if whole < len(s) && s[whole] == '.' {
		if end := run(s, whole+1, digit); end > whole+1 {
			return s[:end]
		}
	}
	if whole == start && s[0] == '.' {
		return s[:1]
	}
	if whole == start {
		return nil
	}
	return s[:whole]
}

// run returns where the bytes of a kind that begin at i end.
func run(s []byte, i int, is func(byte) bool) int {
	for i < len(s) && is(s[i]) {
		i++
	}
	return i
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func wordByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || digit(c) || c == '_' || c == '-'
}

// checkPattern returns what is wrong with a STIX pattern.
func checkPattern(pattern []byte) error {
	p := parsePattern(pattern)
	if p.observations(0); len(p.token) > 0 {
		p.fail()
	}
	return p.err
}

// patternParser reads a pattern token by token: a list of them would take many times
// the memory of a long pattern.
type patternParser struct {
	rest  []byte // from the token on
	token []byte // the next; empty at the end
	err   error
}

func parsePattern(pattern []byte) *patternParser {
	p := &patternParser{rest: pattern}
	p.take()
	return p
}

// take goes to the next token.
func (p *patternParser) take() {
	p.rest = bytes.TrimSpace(p.rest[len(p.token):])
	if p.token = nil; len(p.rest) == 0 {
		return
	}
	if p.token = patternToken(p.rest); p.token == nil && p.err == nil {
		p.err = unexpected(p.rest)
	}
}

// maxPatternDepth limits the nesting of parentheses.
const maxPatternDepth = 50

func (p *patternParser) fail() {
	if p.err == nil && len(p.token) == 0 {
		p.err = fmt.Errorf("it ends too early")
	} else if p.err == nil {
		p.err = unexpected(p.token)
	}
}

// unexpected quotes the beginning of text, which may have tens of megabytes.
func unexpected(text []byte) error {
	return fmt.Errorf("unexpected %.20q", text[:min(len(text), 20*utf8.UTFMax)])
}

func (p *patternParser) peek() []byte {
	if p.err != nil {
		return nil
	}
	return p.token
}

// accept takes the next token if it is one of these; keywords in capitals.
func (p *patternParser) accept(words ...string) bool {
	for _, w := range words {
		if string(p.peek()) == w {
			p.take()
			return true
		}
	}
	return false
}

func (p *patternParser) expect(words ...string) {
	if !p.accept(words...) {
		p.fail()
	}
}

// expectKind takes the next token if is accepts it.
func (p *patternParser) expectKind(is func(word []byte) bool) {
	if next := p.peek(); len(next) == 0 || !is(next) {
		p.fail()
		return
	}
	p.take()
}

func (p *patternParser) observations(depth int) {
	for {
		p.observation(depth)
		if !p.accept("AND", "OR", "FOLLOWEDBY") {
			return
		}
	}
}

func (p *patternParser) observation(depth int) {
	switch {
	case depth > maxPatternDepth:
		p.err = fmt.Errorf("more than %d parentheses deep", maxPatternDepth)
	case p.accept("("):
		p.observations(depth + 1)
		p.expect(")")
	default:
		p.expect("[")
		p.comparisons(0)
		p.expect("]")
	}
	for p.err == nil {
		switch {
		case p.accept("WITHIN"):
			p.expectKind(isNumberWord)
			p.expect("SECONDS")
		case p.accept("REPEATS"):
			p.expectKind(isWhole)
			p.expect("TIMES")
		case p.accept("START"):
			p.expectKind(isInstantWord)
			p.expect("STOP")
			p.expectKind(isInstantWord)
		default:
			return
		}
	}
}

func (p *patternParser) comparisons(depth int) {
	for {
		p.comparison(depth)
		if !p.accept("AND", "OR") {
			return
		}
	}
}

func (p *patternParser) comparison(depth int) {
	switch {
	case depth > maxPatternDepth:
		p.err = fmt.Errorf("more than %d parentheses deep", maxPatternDepth)
		return
	case p.accept("("):
		p.comparisons(depth + 1)
		p.expect(")")
		return
	case p.accept("EXISTS"):
		p.path()
		return
	}
	p.path()
	p.accept("NOT")
	switch {
	case p.accept("=", "==", "!=", "<>", "<", "<=", ">", ">="):
		p.expectKind(isLiteral)
	case p.accept("LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"):
		p.expectKind(isTextWord)
	default:
		p.expect("IN")
		p.expect("(")
		if p.accept(")") {
			return
		}
		for p.expectKind(isLiteral); p.accept(","); {
			p.expectKind(isLiteral)
		}
		p.expect(")")
	}
}

// path is type:first.second[0].'third-one'.
func (p *patternParser) path() {
	p.expectKind(isName)
	p.expect(":")
	p.expectKind(isStep)
	for p.err == nil {
		switch {
		case p.accept("."):
			p.expectKind(isStep)
		case p.accept("["):
			p.expectKind(func(w []byte) bool { return string(w) == "*" || isWhole(w) })
			p.expect("]")
		default:
			return
		}
	}
}

func isNumberWord(w []byte) bool  { return len(bytes.Trim(w, "+-.0123456789")) == 0 && string(w) != "." }
func isWhole(w []byte) bool       { return len(bytes.Trim(w, "0123456789")) == 0 }
func isTextWord(w []byte) bool    { return w[0] == '\'' }
func isInstantWord(w []byte) bool { return patternInstant.Match(w) }

func isName(w []byte) bool {
	c := w[0] | 0x20
	return (c >= 'a' && c <= 'z' || w[0] == '_') && bytes.IndexByte(w, '\'') < 0
}

func isStep(w []byte) bool { return isTextWord(w) || isName(w) && bytes.IndexByte(w, '-') < 0 }

func isLiteral(w []byte) bool {
	return isTextWord(w) || isInstantWord(w) || patternBytes.Match(w) || isNumberWord(w) || string(w) == "true" || string(w) == "false"
}

// repairPattern fixes obvious mistakes: quotes that are doubled instead of escaped,
// lone backslashes, double quotes, lower-case keywords, a comparison without
// brackets, hashes.SHA-256 without quotes, a qualifier inside the brackets. If that
// does not help, or the pattern is longer than anyone writes, it returns the pattern
// unchanged.
func repairPattern(pattern []byte) []byte {
	const most = 1 << 20
	if len(pattern) > most || checkPattern(pattern) == nil {
		return pattern
	}
	fixed := strings.TrimSpace(string(pattern))
	for _, mend := range [...]func(string) string{singleQuotes, mendStrings, keywords, bracketed, quoteSteps, qualifierOut} {
		fixed = mend(fixed)
		if mended := []byte(fixed); checkPattern(mended) == nil {
			return mended
		}
	}
	return pattern
}

// innerQualifier matches a qualifier inside its observation.
var innerQualifier = regexp.MustCompile(`\s+((?:START\s+t'[^']*'\s+STOP\s+t'[^']*'|WITHIN\s+\d+\s+SECONDS|REPEATS\s+\d+\s+TIMES))\s*\]`)

func qualifierOut(s string) string { return innerQualifier.ReplaceAllString(s, "] $1") }

// doubleQuoted matches a text in single quotes, which stays, or in double quotes.
var doubleQuoted = regexp.MustCompile(`'(?:[^'\\]|\\.)*'|"[^"'\\]*"`)

// singleQuotes puts texts into single quotes.
func singleQuotes(s string) string {
	return doubleQuoted.ReplaceAllStringFunc(s, func(text string) string { return "'" + text[1:len(text)-1] + "'" })
}

// smallWord matches a text, which is kept, or a lower-case keyword.
var smallWord = regexp.MustCompile(`'(?:[^'\\]|\\.)*'|(?i)[\s\[\]()](?:and|or|not|like|matches|in|followedby|exists|issubset|issuperset)\b`)

func keywords(s string) string {
	return smallWord.ReplaceAllStringFunc(s, func(word string) string {
		if word[0] == '\'' {
			return word
		}
		return strings.ToUpper(word)
	})
}

func quoteSteps(s string) string { return hyphenStep.ReplaceAllString(s, ".'$1'") }

func bracketed(s string) string {
	if strings.HasPrefix(s, "[") {
		return s
	}
	return "[" + s + "]"
}

// mendStrings escapes what must be escaped inside quotes.
func mendStrings(s string) string {
	var out strings.Builder
	inside := false
	for i := 0; i < len(s); i++ {
		c, next := s[i], byte(0)
		if i+1 < len(s) {
			next = s[i+1]
		}
		switch {
		case !inside || c != '\'' && c != '\\':
			inside = inside != (c == '\'')
		case c == '\\' && (next == '\'' || next == '\\'):
			out.WriteByte(c)
			c, i = next, i+1
		case c == '\\':
			out.WriteByte(c)
		case next == '\'': // doubled
			out.WriteByte('\\')
			i++
		default:
			inside = false
		}
		out.WriteByte(c)
	}
	return out.String()
}

// patternSubject returns the object type that all comparisons of a STIX pattern are
// about, "" if there are several or none.
func patternSubject(pattern []byte) string {
	var subject, last []byte
	p := parsePattern(pattern)
	for ; len(p.token) > 0; p.take() {
		if p.token[0] == ':' && len(last) > 0 && isName(last) {
			if subject != nil && !bytes.Equal(subject, last) {
				return ""
			}
			subject = last
		}
		last = p.token
	}
	if p.err != nil {
		return ""
	}
	return string(subject)
}
