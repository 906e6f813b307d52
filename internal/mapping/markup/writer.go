package markup

import (
	"bytes"
	"net/url"
	"strings"
)

// writer writes Markdown, token by token. A mark is opened when the first word
// after it is written, and closed after the last, so that marks touch words and are
// properly nested.
type writer struct {
	out   []byte
	base  *url.URL
	plain bool // no marks, no escapes
	bare  bool // also nothing is kept from looking like a tag

	breaks int    // line ends to write before the next word
	space  string // blanks to write before the next word
	marker string // "- " or "## " to write before the next word
	fresh  bool   // at the start of a line
	lineAt int    // where the text of the line starts
	piped  bool   // the line is a row of a Markdown table

	blocks    int  // open blocks that need an end tag
	paragraph bool // a paragraph is open
	headings  int

	want  [3]int // how many of bold, italic, strike are open
	marks []mark // the marks that are written
	span  span   // the open code or link
	link  span

	nesting []nest
	deeper  int // lists and quotes nested deeper than the last one shown
	pre     int // depth of preformatted text
	preAt   int
	table   *table
}

// span is text that is rewritten when it ends.
type span struct {
	open  int // depth; 0 = none
	at    int // start of its text, if it has any
	begun bool
	href  string
	marks int // marks that were open before it
}

func (w *writer) token(t token) {
	switch {
	case t.verbatim && !w.plain:
		w.begin()
		w.out = append(w.out, t.text...)
	case t.kind == textToken:
		w.text(t.text)
	case w.pre > 0 && t.role != preformatted:
		if t.kind == startToken && t.role.block() || t.role == lineBreak {
			w.text("\n")
		}
	case t.role >= tableOf && t.role <= caption:
		w.tableTag(t)
	case t.role.block():
		w.blockTag(t)
	default:
		w.phraseTag(t)
	}
}

// markdown reports whether text is currently kept unchanged.
func (w *writer) markdown() bool {
	return !w.bare && w.pre == 0 && w.span.open == 0 && w.blocks == 0 && !w.paragraph && w.table == nil
}

// text writes words. Words in blocks are HTML, where line ends mean nothing; others
// are already Markdown or plain text.
func (w *writer) text(s string) {
	switch {
	case w.pre > 0:
		w.out = append(w.out, s...)
	case w.table != nil && !w.table.inCell:
		if strings.TrimSpace(s) != "" {
			w.openCell(token{})
			w.words(s)
		}
	case w.blocks > 0 || w.paragraph || w.table != nil:
		w.words(s)
	default:
		w.raw(s)
	}
}

func (w *writer) raw(s string) {
	body := strings.TrimLeft(s, blanks)
	lead := s[:len(s)-len(body)]
	if w.breaks > 0 { // an empty line follows anyway
		lead = lead[strings.LastIndexByte(lead, '\n')+1:]
	} else if w.fresh { // after <br>
		lead = strings.TrimPrefix(lead, "\n")
	}
	if len(w.space) < 100 { // blanks between invisible tags must not pile up
		w.space += lead
	}
	if body == "" {
		return
	}
	kept := strings.TrimRight(body, blanks)
	if line := strings.LastIndexByte(s[:len(s)-len(body)+len(kept)], '\n'); line >= 0 || len(w.out) == 0 || w.fresh {
		w.piped = strings.HasPrefix(strings.TrimLeft(s[line+1:], " "), "|")
	}
	w.begin()
	w.safe(kept)
	w.space = body[len(kept):]
	w.piped = w.piped && !strings.Contains(w.space, "\n")
}

// blanks are those of Markdown and plain text, htmlBlanks those of HTML.
const (
	blanks     = " \t\n\f\v"
	htmlBlanks = " \t\n\r\f"
)

func (w *writer) words(s string) {
	for s != "" {
		rest := strings.TrimLeft(s, htmlBlanks)
		if len(rest) < len(s) && w.space == "" {
			w.space = " "
		}
		if s = rest; s == "" {
			return
		}
		end := strings.IndexAny(s, htmlBlanks)
		if end < 0 {
			end = len(s)
		}
		w.begin()
		w.word(s[:end])
		s = s[end:]
	}
}

// begin writes what was postponed until the next word.
func (w *writer) begin() {
	if w.breaks > 0 {
		w.newLine()
	}
	if w.marker != "" {
		w.out = append(w.out, w.marker...)
		w.marker, w.lineAt = "", len(w.out)
	}
	w.closeMarks()
	if !w.fresh || w.blocks == 0 && !w.paragraph && w.table == nil {
		w.out = append(w.out, w.space...)
	}
	w.space, w.fresh = "", false
	w.openMarks()
	w.openSpans()
}

// line requests n line ends before the next word, unless it is the first.
func (w *writer) line(n int) {
	if w.table != nil && w.table.inCell { // a cell has one line
		if w.space == "" {
			w.space = " "
		}
		return
	}
	w.endSpans()
	w.closeAll()
	if w.marker == "" {
		w.breaks = max(w.breaks, n)
	}
	w.space = ""
}

func (w *writer) newLine() {
	if len(w.out) > 0 {
		w.out = bytes.TrimRight(w.out, htmlBlanks)
		for range w.breaks {
			w.trimLine()
			w.out = append(w.out, '\n')
			w.prefix()
		}
	} else {
		w.prefix()
	}
	w.breaks, w.fresh, w.lineAt = 0, true, len(w.out)
}

func (w *writer) finish() []byte {
	if w.pre > 0 {
		w.pre = 1
		w.endPre()
	}
	w.endSpans()
	w.closeAll()
	if w.table != nil {
		w.endTable()
	}
	return bytes.Trim(w.out, htmlBlanks)
}
