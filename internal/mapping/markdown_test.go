package mapping

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
	"pgregory.net/rapid"
)

// TestMarkdownOfSimpleTrees holds the short way, which parses once, to the long
// one, which writes the cleaned tree out and parses it again.
func TestMarkdownOfSimpleTrees(t *testing.T) {
	c := newConverter()
	short := 0
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
			"<p>", "<p>", "</p>", "</p>", "<p class=x>", "<b>", "</b>", "<i>", "</i>", "<em>", "</em>", "<strong>", "</strong>", "<br>", "</br>",
			"word", "word", " ", "  ", "\n", "\r", "&#13;", "&#10;", "&nbsp;", "&amp;", "&lt;b&gt;", "&zwj;", "*", "_", "#", "1. ", "- ", "> ", "`", "[a](b)",
			"\x00", "<!-- no -->", "<ul><li>", "<div>", "</div>", "<a href=http://a>", "</a>", "<script>", "<",
		}), 0, 14).Draw(t, "parts"), "")
		got, err := markdown(c, s)
		want, wantErr := c.ConvertString(safeHTML(s))
		if got != want || (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %q %v, want %q %v", s, got, err, want, wantErr)
		}
		if nodes, err := parseHTML(s); err == nil && allSimple(nodes) {
			short++
		}
	})
	if short == 0 {
		t.Error("the short way was never taken")
	}
}

func allSimple(nodes []*html.Node) bool {
	for _, n := range nodes {
		if !isSimple(n) {
			return false
		}
	}
	return true
}
