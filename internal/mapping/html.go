package mapping

import (
	"html"
	"regexp"
	"strings"

	"github.com/k3a/html2text"

	"threatmatch-connector/internal/stix"
)

// tag finds a tag of HTML's own; text such as "<redacted>" or "a < b" has none.
var tag = regexp.MustCompile(`(?i)<(?:!--|!doctype\b|/?(?:a|abbr|address|article|aside|b|blockquote|body|br|caption|center|` +
	`cite|code|col|colgroup|dd|del|details|dfn|div|dl|dt|em|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|` +
	`html|i|iframe|img|ins|kbd|li|link|main|mark|meta|nav|noscript|object|ol|p|pre|q|s|samp|script|section|small|span|` +
	`strike|strong|style|sub|summary|sup|svg|table|tbody|td|tfoot|th|thead|title|tr|tt|u|ul|var|video|wbr)(?:[\s/][^<>]*)?>)`)

var entity = regexp.MustCompile(`&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});`)

// blockTag finds a tag that ends a line.
var blockTag = regexp.MustCompile(`(?i)<(?:p|br|div|[uod]l|li|table|tr|h[1-6]|blockquote|pre|hr|section|article)\b`)

// fromHTML converts a text that is HTML. Text without tags is passed as it
// is, but for entities, which no reader wants to see.
func (m *Mapper) fromHTML(s string) (string, bool) {
	if strings.IndexByte(s, '<') >= 0 && tag.MatchString(s) {
		if !blockTag.MatchString(s) { // plain text with a link or so: its lines are meant
			s = strings.ReplaceAll(s, "\n", "<br>")
		}
		return strings.TrimSpace(m.text(s)), true
	}
	if strings.IndexByte(s, '&') < 0 || !entity.MatchString(s) {
		return s, false
	}
	out := html.UnescapeString(s)
	if tag.MatchString(out) { // text that speaks of tags is not to become one
		out = strings.ReplaceAll(out, "<", "&lt;")
	}
	return out, true
}

func plainText(s string) string {
	out := html2text.HTML2TextWithOptions(sanitize(s, true), html2text.WithUnixLineBreaks(),
		html2text.WithListSupport(), html2text.WithLinksInnerText())
	if tag.MatchString(out) { // text that speaks of tags is not to become one
		out = strings.ReplaceAll(out, "<", "&lt;")
	}
	return out
}

// texts converts the long texts of an object and puts the full text of a
// report where OpenCTI shows it.
func (r *record) texts(o *stix.Object) {
	for _, key := range [...]string{"description", "x_opencti_description", "abstract", "explanation"} {
		r.convertText(o, key)
	}
	if o.Type() == "note" {
		r.convertText(o, "content")
	}
	if contentType(o.Type()) {
		r.content(o)
	}
}

func (r *record) convertText(o *stix.Object, key string) {
	raw, ok := o.Get(key)
	if !ok {
		return
	}
	s, _ := stix.Text(raw)
	out, changed := r.m.fromHTML(s)
	if !changed || out == s {
		return
	}
	r.count("html_converted", 1)
	if out == "" {
		o.Delete(key)
		return
	}
	o.Set(key, out)
}
