// Package markup turns the texts of a source into what OpenCTI shows: Markdown,
// plain text, or safe HTML. A text may be HTML, Markdown with a few tags, or
// prose that speaks of tags; a tokenizer decides, tag by tag.
//
// No word is lost but what a real script or style element holds. No result but
// HTML, and no Markdown outside of code, holds anything that a browser could read
// as a tag. The cost is linear in the length of the text, whatever is in it.
package markup

import (
	"net/url"
	"strings"

	"github.com/microcosm-cc/bluemonday"
)

// Converter converts texts. It is safe for concurrent use.
type Converter struct {
	base   *url.URL
	policy *bluemonday.Policy
}

// New returns a converter that resolves relative addresses against base and
// shows pictures of that host alone. An empty base resolves nothing.
func New(base string) (*Converter, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	return &Converter{base: u, policy: newPolicy()}, nil
}

// Markdown converts what is HTML in s. What stands outside of HTML's blocks is
// taken for Markdown or plain text and stays as it is, line breaks and code
// included.
func (c *Converter) Markdown(s string) string { return c.write(s, &writer{base: c.base}) }

// Text is Markdown without marks: paragraphs, lists and tables are lines,
// addresses of links stand in brackets.
func (c *Converter) Text(s string) string { return c.write(s, &writer{base: c.base, plain: true}) }

// Line converts a name or other short text, which no reader takes for Markdown
// or HTML: no marks, no escapes, one line.
func (c *Converter) Line(s string) string {
	if !strings.ContainsAny(s, "<&") {
		return s
	}
	return strings.Join(strings.Fields(c.write(s, &writer{base: c.base, plain: true, bare: true})), " ")
}

func (c *Converter) write(s string, w *writer) string {
	if !strings.ContainsAny(s, "<&\x00\r") {
		return s
	}
	s = clean(s)
	w.out = make([]byte, 0, len(s)+len(s)/8)
	if !tagLike(s) && (w.plain || !strings.ContainsAny(s, "`~")) {
		w.safe(Decode(s))
		return string(w.out)
	}
	l := newLexer(s)
	for {
		t, ok := l.next(w.markdown())
		if !ok {
			break
		}
		w.token(t)
	}
	if l.tags == 0 {
		return string(w.out) + w.space
	}
	return string(w.finish())
}

// clean removes what no text has: NUL, and carriage returns before line feeds.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	if strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	return s
}
