package markup

import (
	"cmp"
	"html"
	"net/url"
	"regexp"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/net/html/atom"
)

// newPolicy allows structure, links that a browser may follow, and pictures.
// Nothing in it runs, and nothing is loaded from a host other than ThreatMatch (see
// tag).
func newPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("b", "blockquote", "br", "caption", "code", "dd", "del", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4",
		"h5", "h6", "hr", "i", "ins", "kbd", "li", "ol", "p", "pre", "s", "samp", "span", "strong", "sub", "sup", "table", "tbody",
		"td", "tfoot", "th", "thead", "tr", "u", "ul")
	p.AllowNoAttrs().OnElements("span", "a")
	p.AllowURLSchemes("http", "https", "ftp", "mailto")
	p.AllowDataURIImages()
	p.RequireParseableURLs(true)
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("src", "alt").OnElements("img")
	small := regexp.MustCompile(`^[0-9]{1,9}$`)
	p.AllowAttrs("start").Matching(small).OnElements("ol")
	p.AllowAttrs("value").Matching(small).OnElements("li")
	p.AllowAttrs("colspan", "rowspan").Matching(regexp.MustCompile(`^[0-9]{1,2}$`)).OnElements("td", "th")
	return p
}

// depthMax limits the nesting of elements in safe HTML; deeper elements are
// replaced by their text.
const depthMax = 100

// HTML returns s as HTML that is safe to show: its structure, links, pictures of
// ThreatMatch and embedded ones. Plain text becomes HTML too.
func (c *Converter) HTML(s string) string {
	s = clean(s)
	l := newLexer(s)
	w := safeWriter{base: c.base}
	w.out.Grow(len(s) + len(s)/8)
	for {
		t, ok := l.next(false)
		if !ok {
			break
		}
		if t.kind == textToken {
			w.out.WriteString(html.EscapeString(t.text))
		} else {
			w.tag(t)
		}
	}
	if l.tags == 0 {
		return strings.ReplaceAll(strings.TrimSpace(w.out.String()), "\n", "<br>\n")
	}
	return c.policy.Sanitize(w.out.String())
}

type safeWriter struct {
	out   strings.Builder
	base  *url.URL
	depth int
	link  bool // a link is open
}

// shownAs lists the elements that are shown as another one, or, unlike others of
// their role, as themselves; "" for not at all.
var shownAs = map[atom.Atom]string{atom.Cite: "i", atom.Dfn: "i", atom.Var: "i", atom.Strike: "s", atom.Tt: "code",
	atom.Dl: "dl", atom.U: "u", atom.Sub: "sub", atom.Ins: "ins", atom.Colgroup: ""}

// elementOf returns the element that a tag is shown as; "" for none.
func elementOf(t token) string {
	if name, ok := shownAs[t.atom]; ok {
		return name
	}
	switch t.role {
	case bold, italic, strike, code, superscript, heading, paragraph, term, quote, listItem, tableOf, tableRow, tableCell,
		tablePart, caption, link, lineBreak, rule, picture:
		return t.atom.String()
	case division:
		return "div"
	case preformatted:
		return "pre"
	case bulletList:
		return "ul"
	case numberedList:
		return "ol"
	}
	return ""
}

func (w *safeWriter) tag(t token) {
	name := elementOf(t)
	switch {
	case t.role == quotation:
		w.out.WriteByte('"')
	case name == "":
		if t.role == hidden || t.role == foreign {
			w.out.WriteByte(' ')
		}
	case t.role == picture:
		w.picture(t.attr)
	case t.role == lineBreak || t.role == rule:
		w.out.WriteString("<" + name + ">")
	case t.role == link:
		w.linkTag(t)
	case t.kind == endToken:
		if w.depth--; w.depth < depthMax {
			w.out.WriteString("</" + name + ">")
		}
	default:
		if w.depth++; w.depth <= depthMax {
			w.open(name, t)
		}
	}
}

func (w *safeWriter) open(name string, t token) {
	w.out.WriteString("<" + name)
	for _, key := range [...]string{"start", "value", "colspan", "rowspan"} { // the policy says of which elements
		if value := t.attr[key]; value != "" {
			w.attribute(key, value)
		}
	}
	w.out.WriteByte('>')
}

// linkTag writes links that a browser may follow.
func (w *safeWriter) linkTag(t token) {
	if w.link {
		w.out.WriteString("</a>")
	}
	href := address(w.base, t.attr["href"])
	if w.link = t.kind == startToken && linkable(href); w.link {
		w.out.WriteString("<a")
		w.attribute("href", href)
		w.out.WriteByte('>')
	}
}

func (w *safeWriter) attribute(key, value string) {
	w.out.WriteString(" " + key + `="` + html.EscapeString(value) + `"`)
}

// picture keeps embedded pictures, and those of ThreatMatch. A picture of another
// host becomes a link: showing it would tell that host who reads.
func (w *safeWriter) picture(a attributes) {
	name := cmp.Or(a["alt"], a["title"])
	src := address(w.base, a["src"])
	switch {
	case foldPrefix(strings.TrimSpace(a["src"]), "data:image/"):
		kind, data, _ := strings.Cut(strings.TrimSpace(a["src"]), ",")
		src = strings.ToLower(kind) + "," + data
		fallthrough
	case src != "" && sameHost(w.base, src):
		w.out.WriteString("<img")
		w.attribute("src", src)
		if name != "" {
			w.attribute("alt", name)
		}
		w.out.WriteByte('>')
	case linkable(src):
		w.out.WriteString("<a")
		w.attribute("href", src)
		w.out.WriteString(">" + html.EscapeString(cmp.Or(name, src)) + "</a>")
	default:
		w.out.WriteString(html.EscapeString(name))
	}
}
