package mapping

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"threatmatch-connector/internal/stix"
)

// contentType tells the types whose full text OpenCTI shows in a tab of its own.
func contentType(typ string) bool {
	switch typ {
	case "report", "grouping", "case-incident", "case-rfi", "case-rft":
		return true
	}
	return false
}

// content moves the full text of a report to x_opencti_content, which OpenCTI
// shows as HTML; a plain content would be overwritten. What could run or load
// anything is taken out.
func (r *record) content(o *stix.Object) {
	from := "x_opencti_content"
	if !o.Has(from) {
		from = "content"
	}
	s := o.String(from)
	o.Delete("content")
	if s == "" {
		return
	}
	if from == "content" {
		r.count("content_moved", 1)
	}
	if tag.MatchString(s) {
		s = safeHTML(s)
	}
	o.Set("x_opencti_content", s)
}

// allowed lists the elements that stay; others give way to what is in them.
var allowed = map[atom.Atom]bool{atom.A: true, atom.B: true, atom.Blockquote: true, atom.Br: true, atom.Caption: true,
	atom.Code: true, atom.Dd: true, atom.Del: true, atom.Div: true, atom.Dl: true, atom.Dt: true, atom.Em: true,
	atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true, atom.H6: true, atom.Hr: true, atom.I: true,
	atom.Img: true, atom.Ins: true, atom.Li: true, atom.Ol: true, atom.P: true, atom.Pre: true, atom.S: true,
	atom.Span: true, atom.Strong: true, atom.Sub: true, atom.Sup: true, atom.Table: true, atom.Tbody: true, atom.Td: true,
	atom.Tfoot: true, atom.Th: true, atom.Thead: true, atom.Tr: true, atom.U: true, atom.Ul: true}

// banned lists the elements that go with all that is in them.
var banned = map[atom.Atom]bool{atom.Script: true, atom.Style: true, atom.Iframe: true, atom.Object: true,
	atom.Embed: true, atom.Applet: true, atom.Noscript: true, atom.Template: true, atom.Svg: true, atom.Math: true,
	atom.Form: true, atom.Input: true, atom.Button: true, atom.Textarea: true, atom.Select: true, atom.Head: true,
	atom.Link: true, atom.Meta: true, atom.Base: true, atom.Frame: true, atom.Frameset: true, atom.Audio: true,
	atom.Video: true, atom.Title: true, atom.Noembed: true, atom.Noframes: true, atom.Xmp: true, atom.Plaintext: true}

// safeHTML keeps the elements that carry structure, links and pictures.
func safeHTML(s string) string {
	body := &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body}
	nodes, err := html.ParseFragment(strings.NewReader(s), body)
	if err != nil {
		return plainOr(s)
	}
	var out strings.Builder
	for _, n := range nodes {
		writeSafe(&out, n, 0)
	}
	return out.String()
}

func writeSafe(out *strings.Builder, n *html.Node, depth int) {
	if depth > stix.MaxDepth*10 {
		return
	}
	if n.Type == html.TextNode {
		out.WriteString(html.EscapeString(n.Data))
		return
	}
	if n.Type != html.ElementNode || banned[n.DataAtom] || n.Namespace != "" {
		return
	}
	keep := allowed[n.DataAtom]
	if keep {
		out.WriteString("<" + n.Data)
		for _, a := range n.Attr {
			if safeAttribute(a) {
				out.WriteString(" " + a.Key + `="` + html.EscapeString(a.Val) + `"`)
			}
		}
		out.WriteString(">")
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		writeSafe(out, c, depth+1)
	}
	if keep && n.DataAtom != atom.Br && n.DataAtom != atom.Hr && n.DataAtom != atom.Img {
		out.WriteString("</" + n.Data + ">")
	}
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
