// Package markup converts the texts of a source into what OpenCTI shows: Markdown,
// plain text, or safe HTML. A text may be HTML, Markdown with a few tags, or prose
// that mentions tags; a tokenizer decides tag by tag.
//
// No word is lost except the content of real script and style elements. Apart from
// HTML results and Markdown code, no result contains anything that a browser could
// read as a tag. The cost is linear in the length of the text, whatever it
// contains.
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

// New returns a converter that resolves relative addresses against base and shows
// pictures of that host only. With an empty base it resolves nothing.
func New(base string) (*Converter, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	return &Converter{base: u, policy: newPolicy()}, nil
}

// Markdown converts the HTML in s. Text outside HTML blocks is taken for Markdown
// or plain text and is kept unchanged, including line breaks and code.
func (c *Converter) Markdown(s string) string { return c.write(s, &writer{base: c.base}) }

// Text is Markdown without marks: paragraphs, lists and tables become lines, and
// link addresses are in brackets.
func (c *Converter) Text(s string) string { return c.write(s, &writer{base: c.base, plain: true}) }

// Line converts a name or another short text that is never displayed as Markdown or
// HTML: no marks, no escapes, one line.
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

// clean removes what does not belong in text: NUL, and carriage returns before line
// feeds.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	if strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	return s
}
