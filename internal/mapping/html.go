package mapping

import (
	"html"
	"regexp"
	"strings"

	"github.com/JohannesKaufmann/html-to-markdown/v2/converter"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/base"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/commonmark"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/strikethrough"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/table"
	"github.com/k3a/html2text"

	"threatmatch-connector/internal/stix"
)

// tag finds a tag of HTML's own; text such as "<redacted>" or "a < b" has none.
var tag = regexp.MustCompile(`(?i)<(?:!--|!doctype\b|/?(?:a|abbr|address|article|aside|b|blockquote|body|br|caption|center|` +
	`cite|code|col|colgroup|dd|del|details|dfn|div|dl|dt|em|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|` +
	`html|i|iframe|img|ins|kbd|li|link|main|mark|meta|nav|noscript|object|ol|p|pre|q|s|samp|script|section|small|span|` +
	`strike|strong|style|sub|summary|sup|svg|table|tbody|td|tfoot|th|thead|title|tr|tt|u|ul|var|video|wbr)(?:[\s/][^<>]*)?>)`)

var entity = regexp.MustCompile(`&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});`)

// fromHTML converts a text that is HTML. Text without tags is passed as it
// is, but for entities, which no reader wants to see.
func (m *Mapper) fromHTML(s string) (string, bool) {
	if strings.IndexByte(s, '<') >= 0 && tag.MatchString(s) {
		if out, err := m.text(s); err == nil {
			return strings.TrimSpace(out), true
		}
		return plainOr(s), true
	}
	if strings.IndexByte(s, '&') >= 0 && entity.MatchString(s) {
		return html.UnescapeString(s), true
	}
	return s, false
}

// plainOr is what is left to do for HTML that the converter refuses.
func plainOr(s string) string {
	out, err := plainText(s)
	if err != nil {
		return s
	}
	return out
}

func newMarkdown() func(string) (string, error) {
	c := converter.NewConverter(converter.WithPlugins(
		base.NewBasePlugin(),
		commonmark.NewCommonmarkPlugin(),
		strikethrough.NewStrikethroughPlugin(),
		table.NewTablePlugin(table.WithHeaderPromotion(true), table.WithSkipEmptyRows(true),
			table.WithNewlineBehavior(table.NewlineBehaviorPreserve),
			table.WithCellPaddingBehavior(table.CellPaddingBehaviorMinimal)),
	))
	return func(s string) (string, error) { return c.ConvertString(s) }
}

func plainText(s string) (string, error) {
	return html2text.HTML2TextWithOptions(s, html2text.WithUnixLineBreaks(), html2text.WithListSupport()), nil
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
