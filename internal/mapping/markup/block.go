package markup

import (
	"regexp"
	"strconv"
	"strings"
)

// nest is an open list or quote.
type nest struct {
	role   role
	indent string // of its lines
	number int    // of the next item
}

// nestMax is how many nested lists and quotes are shown as such. Anything deeper is
// written in the last of them, so that prefixes stay short.
const nestMax = 8

func (w *writer) blockTag(t token) {
	starts := t.kind == startToken
	switch t.role {
	case rule:
		w.line(2)
		if !w.plain && (w.table == nil || !w.table.inCell) {
			w.begin()
			w.out = append(w.out, "---"...)
			w.line(2)
		}
		return
	case listItem:
		w.item(t, starts)
		return
	case paragraph:
		w.line(2)
		w.paragraph = starts && t.ended
		return
	}
	w.paragraph = false
	if starts && (t.role == bulletList || t.role == numberedList) && w.inList() {
		w.line(1)
	} else {
		w.line(2)
	}
	if starts {
		w.blocks++
	} else {
		w.blocks--
	}
	switch t.role {
	case heading:
		w.heading(t, starts)
	case quote:
		w.nest(nest{role: quote, indent: "> "}, starts)
	case bulletList, numberedList:
		w.nest(nest{role: t.role, number: number(t.attr["start"], 1)}, starts)
	case preformatted:
		if starts {
			w.startPre()
		} else {
			w.endPre()
		}
	}
}

func (w *writer) inList() bool {
	return len(w.nesting) > 0 && w.nesting[len(w.nesting)-1].role != quote
}

// number reads the number of a list item.
func number(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < 1e9 {
		return n
	}
	return otherwise
}

func (w *writer) heading(t token, starts bool) {
	if !starts {
		w.headings--
		w.marker = ""
		return
	}
	w.headings++
	if !w.plain && (w.table == nil || !w.table.inCell) {
		w.marker += "######"[:t.atom.String()[1]-'0'] + " "
	}
}

func (w *writer) nest(n nest, starts bool) {
	switch {
	case starts && len(w.nesting) < nestMax:
		if w.plain && n.role == quote {
			n.indent = ""
		}
		w.nesting = append(w.nesting, n)
	case starts:
		w.deeper++
	case w.deeper > 0:
		w.deeper--
	case len(w.nesting) > 0:
		w.nesting = w.nesting[:len(w.nesting)-1]
		w.marker = ""
	}
}

// prefix starts a line in lists and quotes.
func (w *writer) prefix() {
	for _, n := range w.nesting {
		w.out = append(w.out, n.indent...)
	}
}

func (w *writer) item(t token, starts bool) {
	w.paragraph = false
	w.marker = ""
	if !starts {
		w.line(1)
		return
	}
	if w.table != nil && w.table.inCell {
		w.line(1)
		return
	}
	if !w.inList() {
		w.line(1)
		w.marker = "- "
		return
	}
	list := &w.nesting[len(w.nesting)-1]
	first := list.indent == ""
	if w.line(1); !first {
		w.breaks = 1
	}
	w.itemLine(t, list)
}

// itemLine writes the line end now, because the item's own indent starts with the
// next line.
func (w *writer) itemLine(t token, list *nest) {
	marker := "- "
	if list.role == numberedList {
		list.number = number(t.attr["value"], list.number)
		marker = strconv.Itoa(list.number) + ". "
		list.number++
	}
	list.indent = ""
	if w.breaks > 0 {
		w.newLine()
	}
	list.indent = strings.Repeat(" ", len(marker))
	w.marker = marker
}

func (w *writer) startPre() {
	if w.pre++; w.pre == 1 {
		w.preAt = len(w.out)
	}
}

// endPre writes preformatted text as a fenced block. If it contains what a browser
// could read as a tag, which cannot be escaped there, it is written line by line.
func (w *writer) endPre() {
	if w.pre--; w.pre > 0 {
		return
	}
	open := w.span.open // lines are no part of a code span
	w.span.open = 0
	defer func() { w.span.open = open }()
	text := strings.TrimRight(blankLines.ReplaceAllString(string(w.out[w.preAt:]), ""), htmlBlanks)
	w.out = w.out[:w.preAt]
	switch {
	case strings.TrimSpace(text) == "":
	case w.table != nil && w.table.inCell:
		w.words(text)
	case w.plain || tagLike(text):
		w.preLines(text, w.safe)
	default:
		fence := strings.Repeat("`", max(3, longest(text, '`')+1))
		w.preLines(fence+"\n"+text+"\n"+fence, func(s string) { w.out = append(w.out, s...) })
	}
	w.line(2)
}

// blankLines matches those at the start of a text.
var blankLines = regexp.MustCompile(`^[ \t\n\r\f]*\n`)

func (w *writer) preLines(text string, write func(string)) {
	w.breaks = max(w.breaks, min(len(w.out), 2))
	for line := range strings.Lines(text) {
		if strings.Trim(line, htmlBlanks) == "" {
			if len(w.nesting) == 0 || w.breaks < 2 { // in quotes each takes up to 16 bytes
				w.breaks++
			}
			continue
		}
		w.begin()
		write(strings.TrimRight(line, "\n"))
		w.breaks = 1
	}
}
