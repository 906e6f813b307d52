package data

import (
	"html"
	"math/rand/v2"
	"strings"
)

// richText is an HTML description as the portal's editor writes it: n blocks of
// paragraphs, lists, links, tables and entities.
func richText(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		switch r.IntN(6) {
		case 0:
			b.WriteString("<ul>")
			for range 2 + r.IntN(2) {
				b.WriteString("<li>" + sentence(r) + "</li>")
			}
			b.WriteString("</ul>")
		case 1:
			b.WriteString(`<p>See <a href="https://example.org/advisory?id=7&amp;lang=en">the advisory</a>. ` + sentence(r) + "</p>")
		case 2:
			b.WriteString("<h3>Assessment</h3><p><strong>" + sentence(r) + "</strong><br/>" + sentence(r) + "</p>")
		case 3:
			b.WriteString("<table><thead><tr><th>Sector</th><th>Cases</th></tr></thead><tbody><tr><td>" +
				html.EscapeString(pick(r, sectors)) + "</td><td>4</td></tr></tbody></table>")
		case 4:
			b.WriteString("<blockquote>" + sentence(r) + "&nbsp;&ndash; an analyst</blockquote><pre>schtasks /create /tn upd</pre>")
		default:
			b.WriteString("<p>" + sentence(r) + " " + sentence(r) + "</p>\n")
		}
	}
	return b.String()
}

func sentence(r *rand.Rand) string { return html.EscapeString(pick(r, sentences)) }
