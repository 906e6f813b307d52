package markup

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// worst lists texts that are known to be expensive for readers of HTML or Markdown,
// besides ordinary ones. Each is repeated, or nested, up to a length.
var worst = []struct {
	name string
	text func(length int) string
}{
	{"plain", repeated("Seen in the distribution of a trojan. ")},
	{"paragraphs", repeated("<p>Seen in the <b>distribution</b> of a remote access trojan &amp; more.</p>")},
	{"links", repeated(`<p>See <a href="/app/profiles/view/89">PlugX</a>, <i>x_y</i>: http://a.example/b_c_*d*</p>`)},
	{"tables", repeated("<table><tr><th>a<th>b</tr><tr><td>c<td>d</tr></table>")},
	{"spans", repeated("<table><tr><td colspan=1000000000 rowspan=99999>a<td colspan=1e7><td colspan=2000 rowspan=2000></table>")},
	{"wide table, short rows", func(n int) string {
		return "<table><tr>" + strings.Repeat("<td>", n/8) + strings.Repeat("<tr><td>x", n/18) + "</table>"
	}},
	{"cells that reach down", func(n int) string {
		return "<table><tr>" + strings.Repeat("<td rowspan=9999>", n/34) + strings.Repeat("<tr><td>x", n/18) + "</table>"
	}},
	{"nested quotes", nested("<blockquote>", "x", "</blockquote>")},
	{"nested lists", nested("<ul><li>", "x", "</ul>")},
	{"nested tables", nested("<table><tr><td>", "x", "</table>")},
	{"nested emphasis", nested("<b><i><s>", "x", "</s></i></b>")},
	{"nested pre and code", nested("<pre><code>", "`", "</code></pre>")},
	{"deep lines", func(n int) string {
		return strings.Repeat("<blockquote>", 400) + strings.Repeat("a<br>", n/5) + strings.Repeat("</blockquote>", 400)
	}},
	{"marks", repeated("*_[`")},
	{"marks in HTML", func(n int) string { return "<p>" + strings.Repeat("*_[`", n/4) + "</p>" }},
	{"marks as words", func(n int) string { return "<p>" + strings.Repeat("* _ [ ` ]( ", n/11) + "</p>" }},
	{"backticks in code", func(n int) string { return "<code>" + strings.Repeat("`` ` ", n/5) + "</code>" }},
	{"open tags", repeated("<a ")},
	{"open links", repeated("<a href=x>y")},
	{"open quotes", repeated(`<a href="`)},
	{"open comments", repeated("<!--")},
	{"open scripts", repeated("<script> ")},
	{"open scripts with one end", func(n int) string { return strings.Repeat("<script> a ", n/11) + "</script>" }},
	{"scripts", repeated("<script>a(1)</script>")},
	{"end tags", repeated("</b></i></p></table></ul></zz>")},
	{"open emphasis with one end", func(n int) string { return strings.Repeat("<b>a", n/4) + "</b>" }},
	{"entities", repeated("&amp;&lt;&#0;&CounterClockwiseContourIntegral;&")},
	{"unknown tags", repeated("<x1><x2 y=z></x3>")},
	{"attributes", func(n int) string { return "<p " + strings.Repeat("a=b ", n/4) + ">x</p>" }},
	{"angles", repeated("<<<<")},
	{"breaks", repeated("<br>\n <p> ")},
	{"items without list", func(n int) string { return strings.Repeat("<li>a", n/5) + "</li>" }},
	{"blanks between tags", repeated("<wbr x=y> ")},
	{"ends of links", repeated("](&![")},
	{"marks behind code", repeated("`<b>`</b>&amp;")},
	{"fences with one end", func(n int) string { return "`x\n" + strings.Repeat("~~~a\n", n/5) + "<b>\n~~~\n" }},
	{"fences on one line", func(n int) string { return strings.Repeat("~~~ ", n/4) + "<b>" }},
	{"empty lines", func(n int) string {
		return strings.Repeat("<blockquote>", 10) + "<pre>" + strings.Repeat("a\n\n\n", n/4) + "b</pre>"
	}},
	{"dots", func(n int) string { return `<a href="` + strings.Repeat("../", n/3) + `">x</a>` }},
	{"pictures", repeated(`<img src=/a.png alt="x"><img src="data:image/png;base64,iVBORw0KGgo=">`)},
	{"names", repeated("<table></table><ul></ul><div></div><dl></dl><q></q><svg></svg><form></form><h1></h1>")},
}

func repeated(s string) func(int) string {
	return func(n int) string { return strings.Repeat(s, n/len(s)+1) }
}

func nested(open, inner, closing string) func(int) string {
	return func(n int) string {
		depth := n/(len(open)+len(closing)) + 1
		return strings.Repeat(open, depth) + inner + strings.Repeat(closing, depth)
	}
}

// conversions lists the conversions whose cost is tested.
func conversions(c *Converter) map[string]func(string) string {
	return map[string]func(string) string{"Markdown": c.Markdown, "Text": c.Text, "HTML": c.HTML, "Line": c.Line, "Resolve": c.Resolve}
}

// TestMemoryIsLinear limits each conversion of each of the worst texts to as much
// memory per length as a text a quarter as long needs, and to a bound, with a
// margin for the race detector, which makes pools forget their content.
func TestMemoryIsLinear(t *testing.T) {
	c := converter(t)
	for name, convert := range conversions(c) {
		for _, w := range worst {
			small, large := w.text(1<<14), w.text(1<<16)
			few, many := allocated(convert, small), allocated(convert, large)
			if many > 6*few+1<<16 {
				t.Errorf("%s of %s: %d bytes allocated for %d, %d for %d", name, w.name, few, len(small), many, len(large))
			}
			if bound := uint64(300 * len(large)); many > bound {
				t.Errorf("%s of %s: %d bytes allocated for %d, want at most %d", name, w.name, many, len(large), bound)
			}
			if got := convert(large); len(got) > 12*len(large) {
				t.Errorf("%s of %s: %d bytes became %d", name, w.name, len(large), len(got))
			}
		}
	}
}

// TestRefusedFences limits how often fences that do not count are read again, each up to the end that they share.
func TestRefusedFences(t *testing.T) {
	s := "`x\n" + strings.Repeat("~~~a\n", 1000) + "<b>\n~~~\n"
	f := finder{s: s}
	if start, _ := f.next(0, len(s)); start >= 0 || f.refused == 0 || f.refused > (refusedMost+1)*len(s) {
		t.Errorf("code at %d, and %d bytes of fences refused in %d", start, f.refused, len(s))
	}
}

func allocated(convert func(string) string, s string) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	convert(s)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// BenchmarkWorst is the table of processor time and memory by length: ns and bytes
// per byte of text must not grow with it.
func BenchmarkWorst(b *testing.B) {
	c := converter(b)
	for _, name := range []string{"Markdown", "Text", "HTML", "Resolve"} {
		convert := conversions(c)[name]
		for _, w := range worst {
			for _, length := range []int{1 << 14, 1 << 17, 1 << 20} {
				s := w.text(length)
				b.Run(fmt.Sprintf("%s/%s/%dKiB", name, w.name, length>>10), func(b *testing.B) {
					b.SetBytes(int64(len(s)))
					b.ReportAllocs()
					before := cpuTime()
					for b.Loop() {
						convert(s)
					}
					b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/float64(len(s)), "ns/byte")
				})
			}
		}
	}
}

func FuzzConvert(f *testing.F) {
	for _, w := range worst {
		f.Add(w.text(200))
	}
	for _, s := range fragments {
		f.Add(s + "w1z" + s)
	}
	c := converter(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, convert := range conversions(c) {
			if got := convert(s); len(got) > 12*len(s)+1000 {
				t.Errorf("%q: %d bytes became %d", s, len(s), len(got))
			}
		}
		checkNoTag(t, s, withoutCode(c.Markdown(s)))
		checkNoTag(t, s, c.Text(s))
		checkSafe(t, s, c.HTML(s))
	})
}

// BenchmarkDescription converts typical descriptions: a few paragraphs.
func BenchmarkDescription(b *testing.B) {
	c := converter(b)
	s := strings.Repeat("<p>Seen in the <b>distribution</b> of a remote access trojan &amp; more; it beacons to 198.51.100.7 "+
		"every hour, and drops evil_tool.exe.</p>\n", 8)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		c.Markdown(s)
	}
}

// cpuTime is the processor time that the process has used so far.
func cpuTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
