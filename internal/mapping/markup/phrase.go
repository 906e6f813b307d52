package markup

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// mark is a kind of emphasis and an index of writer.want.
type mark uint8

var markText = [...]string{"**", "*", "~~"}

func (w *writer) phraseTag(t token) {
	starts := t.kind == startToken
	switch t.role {
	case bold, italic, strike:
		switch {
		case w.plain:
		case starts:
			w.want[t.role-bold]++
		default:
			w.want[t.role-bold]--
		}
	case code:
		w.codeTag(starts)
	case link:
		w.linkTag(t, starts)
	case quotation:
		w.words(map[bool]string{true: "“", false: "”"}[starts])
	case superscript:
		if n := len(w.out); starts && n > 0 && w.space == "" && w.out[n-1] >= '0' && w.out[n-1] <= '9' {
			w.out = append(w.out, '^') // 10⁶ is not 106
		}
	case lineBreak:
		w.lineBreak()
	case picture:
		w.picture(t.attr)
	case hidden, hiddenVoid, foreign:
		if t.role != hiddenVoid {
			w.apart()
		}
	}
}

// apart separates the words before from those after.
func (w *writer) apart() {
	if w.space == "" && w.breaks == 0 && len(w.out) > 0 {
		w.space = " "
	}
}

func (w *writer) lineBreak() {
	switch {
	case w.table != nil, w.headings > 0, w.piped:
		if w.space == "" {
			w.space = " "
		}
	case w.breaks > 0 || w.marker != "" || len(w.out) == 0:
	default:
		w.endSpans()
		w.closeAll()
		w.trimLine()
		if !w.plain && len(w.out) > 0 && w.out[len(w.out)-1] != '\n' {
			w.out = append(w.out, "  "...)
		}
		w.out = append(w.out, '\n')
		w.prefix()
		w.space, w.fresh, w.lineAt = "", true, len(w.out)
	}
}

// trimLine removes the blanks at the end of the line, but not the line ends.
func (w *writer) trimLine() { w.out = bytes.TrimRight(w.out, " \t") }

// closeMarks closes the marks that are no longer wanted, and those inside them,
// which are opened again before the next word.
func (w *writer) closeMarks() {
	if w.span.begun {
		return
	}
	floor := 0
	if w.link.begun {
		floor = w.link.marks
	}
	for i := floor; i < len(w.marks); i++ {
		if w.want[w.marks[i]] <= 0 {
			w.closeTo(i)
			return
		}
	}
}

func (w *writer) closeAll() { w.closeTo(0) }

func (w *writer) closeTo(n int) {
	for len(w.marks) > n {
		last := len(w.marks) - 1
		w.out = append(w.out, markText[w.marks[last]]...)
		w.marks = w.marks[:last]
	}
}

func (w *writer) openMarks() {
	if w.span.begun || w.headings > 0 {
		return
	}
	for m := range mark(len(w.want)) {
		if w.want[m] > 0 && !slices.Contains(w.marks, m) {
			w.marks = append(w.marks, m)
			w.out = append(w.out, markText[m]...)
		}
	}
}

func (w *writer) openSpans() {
	if w.link.open > 0 && !w.link.begun {
		if w.link.marks = len(w.marks); !w.plain {
			w.out = append(w.out, '[')
		}
		w.link.begun, w.link.at = true, len(w.out)
	}
	if w.span.open > 0 && !w.span.begun {
		w.span.begun, w.span.at = true, len(w.out)
	}
}

// endSpans ends the open code and link. They start again with the next word, unless
// their end tag comes first.
func (w *writer) endSpans() {
	w.endCode()
	w.endLink()
}

func (w *writer) codeTag(starts bool) {
	if w.plain {
		return
	}
	if starts {
		w.span.open++
		return
	}
	if w.span.open--; w.span.open == 0 {
		w.endCode()
	}
}

func (w *writer) endCode() {
	if !w.span.begun {
		return
	}
	w.span.begun = false
	text := string(w.out[w.span.at:])
	w.out = w.out[:w.span.at]
	w.code(text)
}

// code writes a code span, or escaped text if the code contains what a browser
// could read as a tag, because escapes do not work in a code span.
func (w *writer) code(s string) {
	if tagLike(s) {
		w.escape(s)
		return
	}
	fence := strings.Repeat("`", longest(s, '`')+1)
	if s[0] == '`' || s[len(s)-1] == '`' {
		s = " " + s + " "
	}
	w.out = append(append(append(w.out, fence...), s...), fence...)
}

func (w *writer) linkTag(t token, starts bool) {
	w.endLink()
	w.link = span{}
	if starts {
		if href := address(w.base, t.attr["href"]); href != "" {
			w.link = span{open: 1, href: href}
		}
	}
}

func (w *writer) endLink() {
	if !w.link.begun {
		return
	}
	w.endCode()
	w.closeTo(w.link.marks)
	w.link.begun = false
	text := w.out[w.link.at:]
	switch same := string(text) == w.link.href; {
	case w.bare:
	case w.plain && !same:
		w.out = append(appendShown(append(w.out, " ("...), w.link.href), ')')
	case w.plain:
	case same || !linkable(w.link.href):
		w.out = append(w.out[:w.link.at-1], text...)
		if !same {
			w.out = append(appendShown(append(w.out, " ("...), w.link.href), ')')
		}
	default:
		w.out = append(w.out, "]("...)
		w.out = append(appendTarget(w.out, w.link.href), ')')
	}
}

// picture shows a picture of ThreatMatch. A picture of another host becomes a link,
// because loading it would tell that host who reads what.
func (w *writer) picture(a attributes) {
	name := cmp.Or(a["alt"], a["title"])
	src := address(w.base, a["src"])
	switch {
	case w.plain || src == "" || !linkable(src) || w.link.open > 0:
		w.apart()
		w.words(name)
		w.apart()
	case sameHost(w.base, src):
		w.begin()
		w.out = append(w.out, "!["...)
		w.escape(strings.Join(strings.Fields(name), " "))
		w.out = append(appendTarget(append(w.out, "]("...), src), ')')
	default:
		w.linkTag(token{attr: attributes{"href": src}}, true)
		w.words(cmp.Or(name, src))
		w.linkTag(token{}, false)
	}
}
