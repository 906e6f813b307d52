package markup

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"pgregory.net/rapid"
)

// fragments are the pieces that texts are drawn from, besides words.
var fragments = []string{
	" ", " ", " ", "\n", "\n\n", "<p>", "</p>", "<p class=x>", "<b>", "</b>", "<i>", "</i>", "<em>", "<strong>", "<s>", "</s>", "<br>", "</br>", "<br/>",
	"<ul>", "</ul>", "<ol start=7>", "</ol>", "<li>", "</li>", "<li value=3>", "<table>", "</table>", "<tr>", "</tr>", "<td>", "</td>", "<td colspan=99>",
	"<td rowspan=3>", "<th>", "<caption>", "</caption>", "<tbody>", "<h1>", "</h1>", "<h3>", "</h3>", "<blockquote>", "</blockquote>", "<pre>", "</pre>",
	"<code>", "</code>", "<div>", "</div>", "<span style='x'>", "</span>", "<a href=http://a.example/x_y_z>", "<a href='javascript:x'>", "<a>", "</a>", "<hr>",
	"<img src=/p.png alt=pic>", "<img src=x onerror=y>", "<img title=\"<\" src=x>", "<iframe>", "<iframe src=x></iframe>", "</iframe>", "<title>", "</title>",
	"<select>", "<option>", "<textarea>", "</textarea>", "<object>", "<noscript>", "<plaintext>", "<xmp>", "</xmp>", "<svg>", "</svg>", "<path d=1>", "<math>",
	"<body>", "</body>", "<input>", "<input autofocus onfocus=x>", "<marquee onstart=x>", "<script>", "<style>", "<script src=x>", "<script>alert(1)</script>",
	"<style>p{}</style>", "<!--", "-->", "<!-- c -->", "<!", "<?php", "?>", "<![CDATA[", "]]>", "<!doctype html>", "</", "<", ">", "</ >", "<id>", "<it@bank.example>",
	"<http://x.example/a>", "&lt;", "&lt;script&gt;", "&amp;", "&amp;lt;", "&nbsp;", "&", "&#0;", "&#60;", "&copy=1", "*", "**", "_", "__", "`", "```", "~~",
	"[", "]", "](", "[a](b)", "\\", "#", "- ", "1. ", "> ", "|", "\"", "'", "=", " tag", "<b and c>", "<a href=\"x>", "<o:p>", "</o:p>", "\x00", "\r\n", "<wbr>",
	"<br />", "<P>", "</p >", "<p/>", "<q>", "</q>", "<sup>", "</sup>", "<dl>", "<dt>", "<dd>", "</dl>",
}

// drawText draws a text with distinguishable words: "w7z".
func drawText(t *rapid.T) (string, []string) {
	var b strings.Builder
	var words []string
	for i := range rapid.IntRange(1, 24).Draw(t, "length") {
		if rapid.IntRange(0, 2).Draw(t, "word") > 0 {
			words = append(words, fmt.Sprintf("w%dz", i))
			b.WriteString(words[len(words)-1])
			continue
		}
		b.WriteString(rapid.SampledFrom(fragments).Draw(t, "fragment"))
	}
	return b.String(), words
}

// lawful removes what may be lost: everything between <script or <style and its
// end, and the values of attributes.
func lawful(s string) string {
	for _, name := range []string{"script", "style"} {
		for from := 0; ; {
			start := strings.Index(s[from:], "<"+name)
			if start < 0 {
				break
			}
			start += from
			end := strings.LastIndex(s, "</"+name)
			if end < start {
				break
			}
			s, from = s[:start]+" "+s[end:], start
		}
	}
	return s
}

// TestSimpleTags: whoever reads the simple tags, we or the library, the tokens are the same, also behind elements
// whose content is no markup.
func TestSimpleTags(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, _ := drawText(t)
		sameTokens(t, text)
	})
	for _, name := range strings.Fields("iframe noembed noframes noscript plaintext script style textarea title xmp") {
		sameTokens(t, "<p>a</p><"+name+"><b>c</b></"+name+"><i>d</i>")
	}
}

func sameTokens(t interface{ Fatalf(string, ...any) }, text string) {
	ours, theirs := newLexer(text), newLexer(text)
	theirs.z = html.NewTokenizer(strings.NewReader(text))
	for more := true; more; {
		got, ok := ours.next(true)
		want, also := theirs.next(true)
		if !reflect.DeepEqual(got, want) || ok != also {
			t.Fatalf("%q: got %+v, want %+v", text, got, want)
		}
		more = ok
	}
}

func TestNoWordIsLost(t *testing.T) {
	c := converter(t)
	rapid.Check(t, func(t *rapid.T) {
		s, words := drawText(t)
		kept := lawful(s)
		for name, convert := range map[string]func(string) string{"Markdown": c.Markdown, "Text": c.Text, "HTML": c.HTML, "Line": c.Line} {
			got := convert(s)
			for _, word := range words {
				if strings.Contains(kept, word) && !strings.Contains(got, word) && !inValue(s, word) {
					t.Errorf("%s(%q) = %q, want %s in it", name, s, got, word)
				}
			}
			if again := convert(s); again != got {
				t.Errorf("%s(%q) = %q, then %q", name, s, got, again)
			}
		}
	})
}

// inValue reports whether a word is in the value of an attribute, as a browser
// reads the text.
func inValue(s, word string) bool {
	z := html.NewTokenizer(strings.NewReader(strings.ReplaceAll(s, "\x00", "")))
	for {
		switch tt := z.Next(); tt {
		case html.ErrorToken:
			return false
		case html.StartTagToken, html.SelfClosingTagToken:
			z.NextIsNotRawText()
			for _, a := range z.Token().Attr {
				if strings.Contains(a.Val, word) {
					return true
				}
			}
		}
	}
}

func TestNoTagIsLeft(t *testing.T) {
	c := converter(t)
	rapid.Check(t, func(t *rapid.T) {
		s, _ := drawText(t)
		checkNoTag(t, s, withoutCode(c.Markdown(s)))
		checkNoTag(t, s, c.Text(s))
		checkSafe(t, s, c.HTML(s))
	})
}

// withoutCode removes Markdown code, in which nothing is a tag.
func withoutCode(s string) string {
	var b strings.Builder
	for f, at := (&finder{s: s}), 0; ; {
		start, end := f.next(at, len(s))
		if start < 0 {
			return b.String() + s[at:]
		}
		b.WriteString(s[at:start])
		at = end
	}
}

type failing interface {
	Errorf(format string, args ...any)
}

func checkNoTag(t failing, from, got string) {
	z := html.NewTokenizer(strings.NewReader(got))
	for {
		switch z.Next() {
		case html.TextToken:
		case html.ErrorToken:
			return
		default:
			t.Errorf("%q became %q, want no tag: %s", from, got, z.Raw())
		}
	}
}

// checkSafe checks that HTML has only elements, attributes and addresses that run
// nothing.
func checkSafe(t failing, from, got string) {
	z := html.NewTokenizer(strings.NewReader(got))
	for {
		switch tt := z.Next(); tt {
		case html.ErrorToken:
			return
		case html.CommentToken, html.DoctypeToken:
			t.Errorf("%q = %q: comment", from, got)
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if r := roleOf(token.DataAtom); r == unknown || r == script || r == hidden || r == hiddenVoid || r == foreign {
				t.Errorf("%q = %q: element %s", from, got, token.Data)
			}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(strings.ToLower(a.Val), "javascript") {
					t.Errorf("%q = %q: attribute %s=%q", from, got, a.Key, a.Val)
				}
			}
		}
	}
}
