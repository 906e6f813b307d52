package markup

import "golang.org/x/net/html/atom"

// role is how we treat an HTML element.
type role uint8

const (
	unknown role = iota // not HTML

	bold
	italic
	strike
	code
	link
	quotation
	superscript
	phrase // only its text counts

	lineBreak
	picture

	heading
	paragraph
	division
	term // dt, dd
	quote
	preformatted
	bulletList
	numberedList
	listItem
	rule

	tableOf
	tableRow
	tableCell
	tablePart // thead, tbody, tfoot
	caption

	hidden     // shows nothing itself; the text in it counts
	hiddenVoid // the same, without an end tag
	foreign    // svg and math: their elements are not HTML
	script     // script and style: their content is not text
)

// roleOf returns the role of an HTML element.
func roleOf(a atom.Atom) role {
	switch a {
	case atom.B, atom.Strong:
		return bold
	case atom.I, atom.Em, atom.Cite, atom.Dfn, atom.Var:
		return italic
	case atom.S, atom.Strike, atom.Del:
		return strike
	case atom.Code, atom.Kbd, atom.Samp, atom.Tt:
		return code
	case atom.A:
		return link
	case atom.Q:
		return quotation
	case atom.Sup:
		return superscript
	case atom.Span, atom.Font, atom.U, atom.Small, atom.Big, atom.Sub, atom.Abbr, atom.Acronym, atom.Ins, atom.Mark,
		atom.Label, atom.Bdi, atom.Bdo, atom.Time, atom.Data, atom.Ruby, atom.Rb, atom.Rt, atom.Rtc, atom.Rp, atom.Nobr,
		atom.Output, atom.Blink:
		return phrase
	case atom.Br:
		return lineBreak
	case atom.Img:
		return picture
	}
	return blockRole(a)
}

func blockRole(a atom.Atom) role {
	switch a {
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		return heading
	case atom.P:
		return paragraph
	case atom.Div, atom.Section, atom.Article, atom.Aside, atom.Header, atom.Footer, atom.Main, atom.Nav, atom.Address,
		atom.Center, atom.Details, atom.Summary, atom.Figure, atom.Figcaption, atom.Fieldset, atom.Legend, atom.Hgroup,
		atom.Dl, atom.Dialog:
		return division
	case atom.Dt, atom.Dd:
		return term
	case atom.Blockquote:
		return quote
	case atom.Pre, atom.Listing, atom.Xmp:
		return preformatted
	case atom.Ul, atom.Menu, atom.Dir:
		return bulletList
	case atom.Ol:
		return numberedList
	case atom.Li:
		return listItem
	case atom.Hr:
		return rule
	case atom.Table:
		return tableOf
	case atom.Tr:
		return tableRow
	case atom.Td, atom.Th:
		return tableCell
	case atom.Thead, atom.Tbody, atom.Tfoot, atom.Colgroup:
		return tablePart
	case atom.Caption:
		return caption
	}
	return hiddenRole(a)
}

func hiddenRole(a atom.Atom) role {
	switch a {
	case atom.Html, atom.Head, atom.Body, atom.Title, atom.Iframe, atom.Object, atom.Applet, atom.Noscript, atom.Template,
		atom.Form, atom.Button, atom.Textarea, atom.Select, atom.Option, atom.Optgroup, atom.Datalist, atom.Frameset,
		atom.Noembed, atom.Noframes, atom.Audio, atom.Video, atom.Canvas, atom.Map, atom.Marquee, atom.Progress, atom.Meter,
		atom.Plaintext, atom.Picture, atom.Slot:
		return hidden
	case atom.Input, atom.Meta, atom.Link, atom.Base, atom.Basefont, atom.Bgsound, atom.Embed, atom.Param, atom.Source,
		atom.Track, atom.Area, atom.Col, atom.Frame, atom.Keygen, atom.Isindex, atom.Image, atom.Wbr:
		return hiddenVoid
	case atom.Svg, atom.Math:
		return foreign
	case atom.Script, atom.Style:
		return script
	}
	return unknown
}

// block reports whether an element of this role is on its own lines.
func (r role) block() bool { return r >= heading && r <= caption }
