package mapping

import (
	"slices"
	"strings"

	"github.com/JohannesKaufmann/html-to-markdown/v2/converter"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/base"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/commonmark"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/strikethrough"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/table"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

func newConverter() *converter.Converter {
	return converter.NewConverter(converter.WithPlugins(
		base.NewBasePlugin(),
		commonmark.NewCommonmarkPlugin(commonmark.WithLinkEmptyHrefBehavior(commonmark.LinkBehaviorSkip),
			commonmark.WithListEndComment(false)),
		strikethrough.NewStrikethroughPlugin(),
		table.NewTablePlugin(table.WithHeaderPromotion(true), table.WithSkipEmptyRows(true),
			table.WithCellPaddingBehavior(table.CellPaddingBehaviorMinimal)),
	))
}

func newMarkdown() func(string) string {
	c := newConverter()
	return func(s string) string {
		out, err := markdown(c, s)
		if err != nil {
			return plainText(s)
		}
		return out
	}
}

// markdown parses the HTML once where the tree needs no cleaning, else it cleans
// it and parses what is left.
func markdown(c *converter.Converter, s string) (string, error) {
	nodes, err := parseHTML(s)
	if err != nil {
		return c.ConvertString(html.EscapeString(s))
	}
	if slices.ContainsFunc(nodes, func(n *html.Node) bool { return !isSimple(n) }) {
		return c.ConvertString(writeHTML(nodes, false))
	}
	out, err := c.ConvertNode(document(nodes))
	return string(out), err
}

// simple lists the elements that most texts get by with. A tree of these alone
// is what comes of writing it out and parsing it again, so that need not be done.
var simple = atoms("p br b strong i em")

// isSimple reports whether the node is such a tree, and strips its attributes.
func isSimple(n *html.Node) bool {
	if n.Type == html.TextNode {
		return strings.IndexByte(n.Data, '\r') < 0
	}
	if n.Type != html.ElementNode || !simple[n.DataAtom] || n.Namespace != "" {
		return false
	}
	n.Attr = nil
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if !isSimple(c) {
			return false
		}
	}
	return true
}

// document puts the nodes into the body of a page, without the blanks before
// the first, as a parser does.
func document(nodes []*html.Node) *html.Node {
	element := func(a atom.Atom) *html.Node {
		return &html.Node{Type: html.ElementNode, Data: a.String(), DataAtom: a}
	}
	doc, page, body := &html.Node{Type: html.DocumentNode}, element(atom.Html), element(atom.Body)
	doc.AppendChild(page)
	page.AppendChild(element(atom.Head))
	page.AppendChild(body)
	for i, n := range nodes {
		if i == 0 && n.Type == html.TextNode {
			if n.Data = strings.TrimLeft(n.Data, " \t\n\f"); n.Data == "" {
				continue
			}
		}
		body.AppendChild(n)
	}
	return doc
}
