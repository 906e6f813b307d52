package markup

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

type kind uint8

const (
	textToken kind = iota
	startToken
	endToken
)

// token is a piece of text: words with decoded entities, or a real tag.
type token struct {
	kind kind
	role role
	atom atom.Atom
	text string
	attr attributes

	verbatim bool // Markdown code, which is kept as it is
	ended    bool // a matching end tag follows later
}

// attributes are the attributes that are used, with decoded entities, by name.
type attributes map[string]string

var usedAttributes = []string{"href", "src", "alt", "title", "start", "value", "colspan", "rowspan"}

// lexer reads text in one pass. What a browser would take for a tag but a reader
// would not (<id>, <it@bank.example>, "injects <script> tags") is returned as text,
// so that no word is lost. Only the content of a script or style element is left
// out.
type lexer struct {
	z        *html.Tokenizer // nil: up to pos all tags were simple
	s        string
	pos      int       // after the current token
	simple   atom.Atom // of the current token, if it is a simple tag
	tags     int       // number of real tags
	names    tally
	lists    int
	tables   int
	foreign  int
	ticks    int       // backticks before the current token
	lastTick int       // position of the last backtick
	buffer   [12]count // of names

	code    finder
	codeEnd int    // end of the current Markdown code
	held    string // text up to pos that was not returned yet
}

// tally is a small map.
type tally []count

type count struct {
	atom atom.Atom
	end  int32 // position of the last end tag of this name
	open int32 // number of open elements
}

func (t *tally) of(a atom.Atom) *count {
	for i := range *t {
		if (*t)[i].atom == a {
			return &(*t)[i]
		}
	}
	*t = append(*t, count{atom: a})
	return &(*t)[len(*t)-1]
}

func newLexer(s string) *lexer {
	l := &lexer{s: s, lastTick: strings.LastIndexByte(s, '`'), code: finder{s: s}}
	l.names = l.buffer[:0]
	for i := 0; ; {
		n := strings.Index(s[i:], "</")
		if n < 0 {
			return l
		}
		i += n + len("</")
		if a := nameAt(s[i:]); roleOf(a) != unknown {
			l.names.of(a).end = int32(i)
		}
	}
}

// nameAt returns the name at the start of s.
func nameAt(s string) atom.Atom {
	var name [12]byte // the longest is "figcaption"
	for i := range len(s) {
		c := s[i]
		if !letter(c) && (c < '0' || c > '9') {
			return atom.Lookup(name[:i])
		}
		if i == len(name) {
			return 0
		}
		name[i] = c | 0x20
	}
	return 0
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// advance goes to the next token. As long as all tags are simple it needs no
// tokenizer, which takes 4 KiB.
func (l *lexer) advance() html.TokenType {
	if rest := l.s[l.pos:]; l.z == nil {
		if rest == "" {
			return html.ErrorToken
		}
		if n := markAt(rest); n > 0 {
			l.pos += n
			return html.TextToken
		}
		tt, a, n := simpleTag(rest)
		if l.simple = a; n > 0 {
			l.pos += n
			return tt
		}
		l.z = html.NewTokenizer(strings.NewReader(rest))
	}
	tt := l.z.Next()
	l.pos += len(l.z.Raw())
	return tt
}

// markAt returns where the first tag, comment or the like begins; len(s) if nowhere.
func markAt(s string) int {
	for i := 0; ; i++ {
		n := strings.IndexByte(s[i:], '<')
		if n < 0 || i+n+1 == len(s) {
			return len(s)
		}
		if i += n; letter(s[i+1]) || strings.IndexByte("/!?", s[i+1]) >= 0 {
			return i
		}
	}
}

// simpleTag reads a tag at the start of s that has no attributes, and after which
// the text goes on as usual. Its length is 0 if there is none.
func simpleTag(s string) (tt html.TokenType, a atom.Atom, length int) {
	tt, rest := html.StartTagToken, s[1:]
	if rest[0] == '/' {
		tt, rest = html.EndTagToken, rest[1:]
	}
	a = nameAt(rest)
	if r := roleOf(a); r == unknown || r == hidden || r == script {
		return 0, 0, 0
	}
	rest = rest[len(a.String()):]
	if tt == html.StartTagToken {
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, " "), "/")
	}
	if rest == "" || rest[0] != '>' {
		return 0, 0, 0
	}
	return tt, a, len(s) - len(rest) + 1
}

// tagName returns the name of the current tag, and whether it has attributes.
func (l *lexer) tagName() (name []byte, a atom.Atom, more bool) {
	if l.z == nil {
		return nil, l.simple, false
	}
	name, more = l.z.TagName()
	return name, atom.Lookup(name), more
}

// notRaw says that what follows the current tag is not taken whole.
func (l *lexer) notRaw() {
	if l.z != nil {
		l.z.NextIsNotRawText()
	}
}

// next returns the next token; false at the end. markdown means that text is
// Markdown here, in whose code nothing is a tag.
func (l *lexer) next(markdown bool) (token, bool) {
	if l.held != "" {
		return l.text(markdown), true
	}
	for {
		start := l.pos
		tt := l.advance()
		raw := l.s[start:l.pos]
		l.ticks += strings.Count(raw, "`")
		if start < l.codeEnd && tt != html.TextToken && raw != "" {
			if tt == html.StartTagToken {
				l.notRaw()
			}
			tt = html.TextToken
		}
		switch tt {
		case html.ErrorToken: // the text may end inside a tag
			return token{text: raw}, raw != ""
		case html.TextToken:
			l.held = raw
			return l.text(markdown), true
		case html.StartTagToken, html.SelfClosingTagToken:
			if t, ok := l.start(raw); ok {
				return t, true
			}
		case html.EndTagToken:
			if t, ok := l.end(raw, start); ok {
				return t, true
			}
		case html.CommentToken, html.DoctypeToken:
			if text := comment(raw); text != "" {
				return token{text: text}, true
			}
		}
	}
}

// text returns the held text up to the next Markdown code, or that code.
func (l *lexer) text(markdown bool) token {
	at := l.pos - len(l.held)
	cut := func(to int) string {
		text := l.held[:to-at]
		l.held = l.held[to-at:]
		return text
	}
	l.code.within = slices.ContainsFunc(l.names, func(c count) bool { return c.open > 0 })
	if at >= l.codeEnd && markdown {
		if start, end := l.code.next(at, l.pos); start >= 0 {
			if l.codeEnd = end; start > at {
				return token{text: Decode(cut(start))}
			}
		}
	}
	if !markdown {
		l.code.at = max(l.code.at, l.pos) // its backticks will be escaped
	}
	if at < l.codeEnd {
		return token{text: cut(min(l.codeEnd, l.pos)), verbatim: true}
	}
	return token{text: Decode(cut(l.pos))}
}

// comment returns the text of a construct that starts with "<!" or "<?": all of it,
// except for what word processors and editors leave behind.
func comment(raw string) string {
	body := strings.TrimSpace(strings.TrimPrefix(raw, "<!--"))
	switch {
	case strings.HasPrefix(body, "[if "), strings.HasPrefix(body, "[endif]"), strings.HasPrefix(body, "StartFragment"),
		strings.HasPrefix(body, "EndFragment"), strings.HasPrefix(raw, "<![if "), strings.HasPrefix(raw, "<![endif]"),
		strings.HasPrefix(raw, "<?xml"), foldPrefix(raw, "<!doctype html"):
		return ""
	}
	if text, ok := strings.CutPrefix(raw, "<![CDATA["); ok && strings.HasSuffix(text, "]]>") {
		return strings.TrimSuffix(text, "]]>")
	}
	return raw
}

func foldPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// start reads a start tag. It returns false if there is nothing to return.
func (l *lexer) start(raw string) (token, bool) {
	name, a, more := l.tagName()
	t := token{kind: startToken, atom: a}
	t.role = roleOf(t.atom)
	if t.role == unknown {
		return l.noTag(raw, name)
	}
	var ok bool
	if t.attr, ok = l.attributes(more); !ok || !l.meant(t, raw, more) {
		l.notRaw()
		return token{text: raw}, true
	}
	l.tags++
	t.ended = int(l.names.of(t.atom).end) > l.pos
	if t.role == script {
		return l.skip()
	}
	l.notRaw()
	if t.role != lineBreak && t.role != picture && t.role != rule && t.role != hiddenVoid {
		l.names.of(t.atom).open++
		l.nest(t.role, 1)
	}
	return t, true
}

func (l *lexer) nest(r role, by int) {
	switch r {
	case bulletList, numberedList:
		l.lists += by
	case tableOf:
		l.tables += by
	case foreign:
		l.foreign += by
	}
}

// skip skips the content of a script, up to its end tag. A script without an end
// tag is text.
func (l *lexer) skip() (token, bool) {
	if l.z.Next() == html.TextToken {
		start := l.pos
		if l.pos += len(l.z.Raw()); l.pos == len(l.s) {
			return token{text: l.s[start:]}, true
		}
		l.z.Next()
	}
	l.pos += len(l.z.Raw())
	return token{}, false
}

// end reads an end tag.
func (l *lexer) end(raw string, at int) (token, bool) {
	name, a, _ := l.tagName()
	t := token{kind: endToken, atom: a}
	if t.role = roleOf(t.atom); t.role == unknown {
		return l.noTag(raw, name)
	}
	if n := &l.names.of(t.atom).open; *n > 0 {
		*n--
		l.nest(t.role, -1)
		return t, true
	}
	spoken := t.role != paragraph && at > 0 && l.s[at-1] == ' ' && (l.pos == len(l.s) || strings.IndexByte(" .,;:)'\"", l.s[l.pos]) >= 0)
	if spoken || t.role == script || t.role == hidden { // "… before the </body> of the page"
		return token{text: raw}, true
	}
	return t, false
}

// noTag returns as text what is not an HTML tag, except for the names used by word
// processors and parts of pictures. The brackets of an address in <…> are removed:
// Markdown readers would take the closing one for part of it.
func (l *lexer) noTag(raw string, name []byte) (token, bool) {
	if l.foreign > 0 || len(name) > 2 && name[1] == ':' && bytes.IndexByte([]byte("owvmx"), name[0]) >= 0 && !bytes.Contains(name, []byte("/")) {
		return token{}, false
	}
	if inner := raw[1 : len(raw)-1]; strings.Contains(inner, "://") && !strings.ContainsAny(inner, " \n\t<\"") {
		return token{text: inner}, true
	}
	return token{text: raw}, true
}

// attributes reads the attributes of a tag. It returns false if they are words of a
// sentence: "if a <b and c> d".
func (l *lexer) attributes(more bool) (attributes, bool) {
	if !more {
		return nil, true
	}
	a, ok := attributes{}, true
	for more {
		var key, value []byte
		key, value, more = l.z.TagAttr()
		if name := string(key); slices.Contains(usedAttributes, name) {
			a[name] = string(value)
		}
		ok = ok && (len(value) > 0 && !bytes.ContainsAny(key, "<,;.?!") || attributeName(key))
	}
	return a, ok
}

// attributeName reports whether this is a valid name of an attribute without a
// value.
func attributeName(key []byte) bool {
	return atom.Lookup(key) != 0 || bytes.IndexByte(key, '-') > 0 || bytes.HasPrefix(key, []byte("on")) ||
		len(bytes.Trim(key, `"'/`)) == 0
}
