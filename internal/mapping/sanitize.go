package mapping

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// safeHTML keeps the elements that carry structure, links and pictures, and
// nothing that could run or load anything. HTML that cannot be parsed, such as
// one nested thousands of levels deep, is returned as escaped text.
func safeHTML(s string) string { return sanitize(s, false) }

// sanitize is safeHTML; plain prepares for a reader that knows paragraphs and
// line breaks only.
func sanitize(s string, plain bool) string {
	nodes, err := parseHTML(s)
	if err != nil {
		return html.EscapeString(s)
	}
	return writeHTML(nodes, plain)
}

func parseHTML(s string) ([]*html.Node, error) {
	body := &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body}
	return html.ParseFragment(strings.NewReader(s), body)
}

func writeHTML(nodes []*html.Node, plain bool) string {
	w := safeWriter{plain: plain}
	for _, n := range nodes {
		w.write(n)
	}
	return w.out.String()
}

// elements that stay, and what they are written as. Others give way to what is
// in them.
var allowed = allowedTable("a b blockquote br caption code dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins li ol p "+
	"pre s span strong sub sup table tbody td tfoot th thead tr u ul",
	"address article aside center details fieldset figcaption figure footer header main nav section summary")

// banned lists the elements that go with all that is in them.
var banned = atoms("script style iframe object embed applet noscript template svg math form input button textarea " +
	"select head link meta base frame frameset audio video title noembed noframes xmp plaintext")

// blocks lists the elements that begin on a line of their own.
var blocks = atoms("blockquote dd div dl dt h1 h2 h3 h4 h5 h6 hr li ol p pre table tr ul br")

func atoms(names string) map[atom.Atom]bool {
	m := map[atom.Atom]bool{}
	for name := range strings.FieldsSeq(names) {
		m[atom.Lookup([]byte(name))] = true
	}
	return m
}

func allowedTable(same, asDiv string) map[atom.Atom]string {
	m := map[atom.Atom]string{}
	for a := range atoms(same) {
		m[a] = a.String()
	}
	for a := range atoms(asDiv) {
		m[a] = "div"
	}
	return m
}

type safeWriter struct {
	out   strings.Builder
	plain bool
	cell  int // depth of table cells: Markdown has no blocks in them
	pre   int // depth of preformatted text
}

func (w *safeWriter) write(n *html.Node) {
	if n.Type == html.TextNode {
		text := html.EscapeString(n.Data)
		if w.plain && w.pre > 0 {
			text = strings.ReplaceAll(text, "\n", "<br>")
		}
		w.out.WriteString(text)
		return
	}
	if n.Type != html.ElementNode || banned[n.DataAtom] || n.Namespace != "" {
		return
	}
	name := allowed[n.DataAtom]
	switch {
	case name != "" && w.cell > 0 && (blocks[n.DataAtom] || name == "div" || isCell(n)):
		w.out.WriteByte(' ')
		w.children(n)
		w.out.WriteByte(' ')
		return
	case isCell(n):
		w.cell++
		defer func() { w.cell-- }()
	case n.DataAtom == atom.Pre:
		w.pre++
		defer func() { w.pre-- }()
	}
	w.element(name, n)
}

func (w *safeWriter) element(name string, n *html.Node) {
	switch {
	case w.plain && name == "div":
		name = "p"
	case n.DataAtom == atom.A && !has(n, "href"):
		name = ""
	case n.DataAtom == atom.Img && (w.plain || !has(n, "src")):
		w.out.WriteString(html.EscapeString(attribute(n, "alt")))
		return
	}
	w.open(name, n.Attr)
	w.children(n)
	if name != "" && n.DataAtom != atom.Br && n.DataAtom != atom.Hr && n.DataAtom != atom.Img {
		w.out.WriteString("</" + name + ">")
	}
	switch {
	case !w.plain:
	case isCell(n) && n.NextSibling != nil:
		w.out.WriteString(" | ")
	case n.DataAtom == atom.Tr || n.DataAtom == atom.Pre || n.DataAtom == atom.Dt || n.DataAtom == atom.Dd:
		w.out.WriteString("<br>")
	}
}

func isCell(n *html.Node) bool { return n.DataAtom == atom.Td || n.DataAtom == atom.Th }

func (w *safeWriter) children(n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		w.write(c)
	}
}

func (w *safeWriter) open(name string, attributes []html.Attribute) {
	if name == "" {
		return
	}
	w.out.WriteString("<" + name)
	for _, a := range attributes {
		if safeAttribute(a) {
			w.out.WriteString(" " + a.Key + `="` + html.EscapeString(a.Val) + `"`)
		}
	}
	w.out.WriteByte('>')
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key && safeAttribute(a) })
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func safeAttribute(a html.Attribute) bool {
	switch a.Key {
	case "href", "src":
		scheme, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(a.Val)), ":")
		return slices.Contains([]string{"http", "https", "mailto"}, scheme)
	case "alt", "title", "colspan", "rowspan":
		return true
	}
	return false
}
