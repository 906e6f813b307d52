package markup

import (
	"strings"
	"testing"
)

func converter(t testing.TB) *Converter {
	t.Helper()
	c, err := New("https://eu.threatmatch.com")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMarkdown(t *testing.T) {
	c := converter(t)
	for _, x := range []struct{ in, want string }{
		{"plain a < b && c > d", "plain a < b && c > d"},
		{"<h2>Summary</h2><p>One.</p><ul><li>Two</li><li>Three<ul><li>deep</li></ul></li></ul><ol><li>a</li></ol><table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>x<br>y</td></tr></table><p><a href=\"https://x.y/?a=1&amp;b=2\">link</a> <em>caf&eacute;</em></p>",
			"## Summary\n\nOne.\n\n- Two\n- Three\n  - deep\n\n1. a\n\n| A | B |\n|---|---|\n| 1 | x y |\n\n[link](https://x.y/?a=1&b=2) *café*"},
		{"<p onclick=\"x()\">safe<script>alert(1)</script><style>p{}</style><a href=\"javascript:alert(1)\">here</a></p><iframe src=\"//evil\"></iframe><!-- c -->",
			"safehere\n\n&lt;!-- c -->"},
		{"line one\n\nline <b>two</b>",
			"line one\n\nline **two**"},
		{"<p>Unclosed <b>bold <i>both</b> it",
			"Unclosed **bold *both*** *it*"},
		{"The skimmer injects <script> tags into checkout pages and exfiltrates.",
			"The skimmer injects &lt;script> tags into checkout pages and exfiltrates."},
		{"It adds an <iframe> to the page that loads the kit. Second.",
			"It adds an &lt;iframe> to the page that loads the kit. Second."},
		{"<p>Para one.</p><p>Payload is in a <select> box, and in <style>. Then it beacons to 203.0.113.7.</p>",
			"Para one.\n\nPayload is in a &lt;select> box, and in &lt;style>. Then it beacons to 203.0.113.7."},
		{"Config has <object> and <input> fields. It then drops b.exe",
			"Config has &lt;object> and &lt;input> fields. It then drops b.exe"},
		{"[Cobalt Strike](https://attack.mitre.org/software/S0154) uses <code>rundll32.exe</code>.\n\n* item one\n* item two\n\n## Heading\n\n| a | b |\n|---|---|\n| 1 | 2 |",
			"[Cobalt Strike](https://attack.mitre.org/software/S0154) uses `rundll32.exe`.\n\n* item one\n* item two\n\n## Heading\n\n| a | b |\n|---|---|\n| 1 | 2 |"},
		{"<p>See <a href=\"/app/profiles/view/89\">PlugX</a> and <a href=\"//eu.threatmatch.com/app/alerts/view/7\">alert</a> and <a href=\"ftp://x.example/a\">f</a></p>",
			"See [PlugX](https://eu.threatmatch.com/app/profiles/view/89) and [alert](https://eu.threatmatch.com/app/alerts/view/7) and [f](ftp://x.example/a)"},
		{"<p>C2: hxxps://evil[.]example/a_b_c*d and 1.2.3[.]4; path C:\\Users\\*\\AppData; regex ^a_b$; CVE-2024-1234; &lt;redacted&gt;</p>",
			"C2: `hxxps://evil[.]example/a_b_c*d` and 1.2.3[.]4; path `C:\\Users\\*\\AppData`; regex ^a_b$; CVE-2024-1234; &lt;redacted>"},
		{"<p>Sends GET /gate.php?id=<id>&key=<key> to <ip>:<port></p>",
			"Sends GET /gate.php?id=&lt;id>&key=&lt;key> to &lt;ip>:&lt;port>"},
		{"Runs copy <filename> \\\\<ip>\\C$\\temp with <b>admin</b> rights, List<string> x",
			"Runs copy &lt;filename> \\\\&lt;ip>\\C$\\temp with **admin** rights, List&lt;string> x"},
		{"Mail header: From: \"IT\" <it@bank.example><br>Subject: Invoice",
			"Mail header: From: \"IT\" &lt;it@bank.example>  \nSubject: Invoice"},
		{"<ol start=5><li>five<li>six<li value=9>nine</ol>after",
			"5. five\n6. six\n9. nine\n\nafter"},
		{"<p>http://h/a_b_c and snake_case and *star* and _under_ and [x](y)</p>",
			"http://h/a_b_c and snake_case and \\*star\\* and \\_under\\_ and [x]\\(y)"},
		{"<blockquote><p>a</p><p>b</p></blockquote><pre>x = 1\n  y</pre><hr>end",
			"> a\n>\n> b\n\n```\nx = 1\n  y\n```\n\n---\n\nend"},
		{"<p>https://h/*_(a)?r=(2) (see http://h/*b*)</p>", "`https://h/*_(a)?r=(2)` (see `http://h/*b*`)"},
		{"<p><b>Bold </b>text <i> it </i>x<a href=http://a.example><b>l</b></a></p>",
			"**Bold** text *it* x**[l](http://a.example)**"},
		{"<ul><li><p>a</p></li><li>b<br>c<ol><li>x</li><li>y</li></ol></li></ul>",
			"- a\n- b  \n  c\n  1. x\n  2. y"},
		{"a<br>b <sup>2</sup> 10<sup>6</sup>",
			"a  \nb 2 10^6"},
		{"<table><tr><td colspan=1000000000>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
			"| a | b |\n|---|---|\n| c |"},
		{"<table><caption>T</caption><tr><td rowspan=2>a</td><td>b|c</td></tr><tr><td>d</td></tr></table>",
			"T\n\n| a | b\\|c |\n|---|---|\n|  | d |"},
		{"<img src=/x.png alt=Fig><img src=https://o.example/p.png alt=Other><img title=\"<\" src=x onerror=alert(1)>",
			"![Fig](https://eu.threatmatch.com/x.png)[Other](https://o.example/p.png)![&lt;](https://eu.threatmatch.com/x)"},
		{"text\n\n<ul>\n  <li>a</li>\n  <li>b</li>\n</ul>\n\n* md item\n",
			"text\n\n- a\n- b\n\n* md item"},
		{"Uses <https://evil.example/a?b=c> and <svg onload=x()> tags",
			"Uses https://evil.example/a?b=c and &lt;svg onload=x()> tags"},
		{"<div>\n<p>One</p>\n<p>Two</p>\n</div>",
			"One\n\nTwo"},
		{"<pre>\n \n  a\n\n \nb\n\n</pre><ul><li>x<pre>a\n\n\nb</pre></li></ul>", "```\n  a\n\n\nb\n```\n\n- x\n\n  ```\n  a\n\n  b\n  ```"},
		{"x<code><pre> \n&lt;b>\n\nc</pre>d</code>", "x\n\n&lt;b>\n\nc\n\n`d`"},
		{"<code><pre>a`</pre></code>", "```\na`\n```"},
	} {
		got := c.Markdown(x.in)
		if got != x.want {
			t.Errorf("%q: got %q, want %q", x.in, got, x.want)
		}
	}
}

// TestAddressesAsText: an address that is no link is text, in which nothing acts.
func TestAddressesAsText(t *testing.T) {
	c := converter(t)
	for _, x := range []struct{ in, markdown, text string }{
		{"<a href='https://x/&quot;><script>1</script>`a`'>p</a>", "[p](https://x/%22%3E%3Cscript%3E1%3C/script%3E%60a%60)", "p (https://x/\"%3E%3Cscript%3E1%3C/script%3E%60a%60)"},
		{"<a href='hxxps://x.y/[a](javascript:1)<b>'>p</a>", "p (hxxps://x.y/[a]%28javascript:1)%3Cb%3E)", "p (hxxps://x.y/[a]%28javascript:1)%3Cb%3E)"},
	} {
		if got := c.Markdown(x.in); got != x.markdown {
			t.Errorf("%q: got %q, want %q", x.in, got, x.markdown)
		}
		if got := c.Text(x.in); got != x.text {
			t.Errorf("%q: got the text %q, want %q", x.in, got, x.text)
		}
	}
}

// TestMarkdownCode: nothing in Markdown code is a tag or an entity. Text inside
// HTML, or without an end, is not such code.
func TestMarkdownCode(t *testing.T) {
	c := converter(t)
	for _, x := range []struct{ in, want string }{
		{"Run:\n\n```html\n<b>x</b> &amp; <i>y</i>\n```\n\nand <b>this</b>.", "Run:\n\n```html\n<b>x</b> &amp; <i>y</i>\n```\n\nand **this**."},
		{"Use `<b>bold</b>` and `&lt;x&gt;` then <i>it</i>", "Use `<b>bold</b>` and `&lt;x&gt;` then *it*"},
		{"~~~\n<table><tr><td>1</td></tr></table>\n~~~\nafter<br>line", "~~~\n<table><tr><td>1</td></tr></table>\n~~~\nafter  \nline"},
		{"Code ``a ` <em>b</em>`` end <strong>s</strong>", "Code ``a ` <em>b</em>`` end **s**"},
		{"`<script>alert(1)</script>` is injected, <script>x()</script>not", "`<script>alert(1)</script>` is injected, not"},
		{"- `<p>` opens\n- `</p>` closes\n- <b>bold</b>", "- `<p>` opens\n- `</p>` closes\n- **bold**"},
		{"   ```\n   <hr>\n   ```  \nx", "   ```\n   <hr>\n   ```  \nx"},
		{"only `&amp;` and &amp;", "only `&amp;` and &"},
		{"a `<b \"` c> d", "a `<b \"` c> d"},
		{"`<script>`</b>`` x", "`&lt;script>``` x"},
		{"`<b>`<script>x</script>` x", "`&lt;b>`` x"},
		{"`<img src=/x>`&grave; x", "`![](https://eu.threatmatch.com/x)`` x"},
		{"<b>`<i>`</b></p> x", "**`<i>`** x"},
		{"<b>see `<i>`</b> now", "**see `<i>`** now"},
		{"`a <b>b</b>\n\nnew `paragraph", "`a **b**\n\nnew `paragraph"},
		{"```\n<b>no end</b>", "```\n**no end**"},
		{"\\`<b>b</b>\\`", "\\`**b**\\`"},
		{"<p>tick ` <b>b</b> ` tick</p>", "tick \\` **b** \\` tick"},
		{"<p>one ` tick</p>two `<u>` ticks", "one \\` tick\n\ntwo `<u>` ticks"},
		{"<code>x <b>y</b></code> `<b>`", "`x y` `<b>`"},
	} {
		if got := c.Markdown(x.in); got != x.want {
			t.Errorf("%q: got %q, want %q", x.in, got, x.want)
		}
	}
	if got, want := c.Text("`<b>x</b>`"), "`&lt;b>x&lt;/b>`"; got != want {
		t.Errorf("as text: got %q, want %q", got, want)
	}
}

// TestNoCodeForSomeReaders: a tag stays only in what is code for every reader of
// Markdown. Each of these texts has it between backticks or fences that a reader
// pairs in another way.
func TestNoCodeForSomeReaders(t *testing.T) {
	c := converter(t)
	for _, in := range []string{
		"`a\n# h X`", "`a\n- X`", "`a\n***\nX`", "`a\n> X`", "`a\n```\nx\n```\nX`", "`a\rX`", // blocks end a paragraph
		"`a\n```\nb` c\n```\nX\n```",
		"|a|b|\n|-|-|\n|`a|X`|", "|a|b|\n|-|-|\n|`a|b` `X`|", // cells
		"- ```\nX\n```", "- a\n   ```\nX\n   ```", "- a\n   ```\nx\n   ```\n```\nX\n```", " ```\nX\n```\nX\n```", // items of a list
		"\\\\`a` X `b`", "```a`b``` X `", "`` a` X `", "`a` X`", // backticks without a partner, or with another
		"~~~~~~~~~~~~~~~~~~~~~\n```\n~~~~~~~~~~~~~~~~~~~~~\nX\n```", "```\na\r```\rX\n```",
		"&#96; `X`", "&#92;`X`", "&grave; `X`", "&#126;&#126;&#126;\n```\na\n~~~\nX\n```", // entities
		"<x `> `X` `", "<!-- ` --> `X`", "<a href=\"`\"> `X` `", "<b>\n```\nX\n```\n</b>", "a<u>\n</u>```\nX\n```", // tags
	} {
		in = strings.ReplaceAll(in, "X", "<img src=x onerror=alert(1)>")
		if got := c.Markdown(in); strings.Contains(got, "<img") {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestResolve(t *testing.T) {
	c := converter(t)
	const base = "https://eu.threatmatch.com/"
	for _, x := range []struct{ in, want string }{
		{"[a](/app/x) ![p](img/p.png \"t\") [b](app/y/2?z=1#f)", "[a](" + base + "app/x) ![p](" + base + "img/p.png \"t\") [b](" + base + "app/y/2?z=1#f)"},
		{"[a](../x) [b](./y) [c](?id=1) [d](//o.example/z)", "[a](" + base + "x) [b](" + base + "y) [c](https://eu.threatmatch.com?id=1) [d](//o.example/z)"},
		{"[a](<app/x>)", "[a](<" + base + "app/x>)"},
		{"see [1]\n\n[1]: /app/x\n[2]: http://a.example/y", "see [1]\n\n[1]: " + base + "app/x\n[2]: http://a.example/y"},
		{"[a](https://x.example/y) [b](#part) [c](mailto:x@y.example) [d](www.x.example/y) [e](x.example/y) [f](hxxp://x[.]y/z)", ""},
		{"[a](javascript:x) ![b](data:x) [c](<file:///x>) [d](\n java\\script:x) [e](&#106;avascript:alert(1)) [f](//o.example/x)",
			"[a] (javascript:x) ! [b] (data:x) [c] (<file:///x>) [d] (\n java\\script:x) [e] (&#106;avascript:alert(1)) [f](//o.example/x)"},
		{"[r][1] ![r]\n\n[1]: javascript:x\n> [r]: <vbscript:x>", "[r][1] ! [r]\n\n[1] : javascript:x\n> [r] : <vbscript:x>"},
		{"![p](https://o.example/p.png) ![a ![p](/p.png)](https://o.example/) ![p](" + base + "p.png)",
			"! [p](https://o.example/p.png) ! [a ![p](" + base + "p.png)](https://o.example/) ![p](" + base + "p.png)"},
		{"[a](" + strings.Repeat("\n", looked) + "javascript:x) [a](&#" + strings.Repeat("0", looked) + "106;avascript:x)",
			"[a] (" + strings.Repeat("\n", looked) + "javascript:x) [a] (&#" + strings.Repeat("0", looked) + "106;avascript:x)"},
		{"`` ` [a](javascript:x) `", "`` ` [a] (javascript:x) `"},
		{"f(x)[i](j) and `[a](/app/x)` and\n\n```\n[a](/app/x)\n```", ""},
	} {
		if x.want == "" {
			x.want = x.in
		}
		if got := c.Resolve(x.in); got != x.want {
			t.Errorf("%q: got %q, want %q", x.in, got, x.want)
		}
	}
	for in, want := range map[string]string{"app/x": base + "app/x", "/app/x": base + "app/x", "x.example/y": "x.example/y", "10.1.2.3/24": "10.1.2.3/24", "hxxp://x/y": "hxxp://x/y"} {
		if got := c.Address(in); got != want {
			t.Errorf("address %q: got %q, want %q", in, got, want)
		}
	}
}
