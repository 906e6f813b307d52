package markup

import (
	"strings"

	"golang.org/x/net/html/atom"
)

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

// roles are the roles of the HTML elements.
var roles = roleTable(map[role]string{
	bold:        "b strong",
	italic:      "i em cite dfn var",
	strike:      "s strike del",
	code:        "code kbd samp tt",
	link:        "a",
	quotation:   "q",
	superscript: "sup",
	phrase: `span font u small big sub abbr acronym ins mark label bdi bdo time data ruby rb rt rtc rp nobr
		output blink`,
	lineBreak: "br",
	picture:   "img",
	heading:   "h1 h2 h3 h4 h5 h6",
	paragraph: "p",
	division: `div section article aside header footer main nav address center details summary figure figcaption
		fieldset legend hgroup dl dialog`,
	term:         "dt dd",
	quote:        "blockquote",
	preformatted: "pre listing xmp",
	bulletList:   "ul menu dir",
	numberedList: "ol",
	listItem:     "li",
	rule:         "hr",
	tableOf:      "table",
	tableRow:     "tr",
	tableCell:    "td th",
	tablePart:    "thead tbody tfoot colgroup",
	caption:      "caption",
	hidden: `html head body title iframe object applet noscript template form button textarea select option
		optgroup datalist frameset noembed noframes audio video canvas map marquee progress meter plaintext
		picture slot`,
	hiddenVoid: `input meta link base basefont bgsound embed param source track area col frame keygen isindex image
		wbr`,
	foreign: "svg math",
	script:  "script style",
})

func roleTable(elements map[role]string) map[atom.Atom]role {
	table := map[atom.Atom]role{}
	for r, names := range elements {
		for name := range strings.FieldsSeq(names) {
			table[atom.Lookup([]byte(name))] = r
		}
	}
	return table
}

// roleOf returns the role of an HTML element.
func roleOf(a atom.Atom) role { return roles[a] }

// block reports whether an element of this role is on its own lines.
func (r role) block() bool { return r >= heading && r <= caption }
