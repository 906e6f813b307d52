package markup

import (
	"cmp"
	"regexp"
	"strings"
)

// longestTicks is the longest run of backticks or tildes that counts as the start
// of code, so that text with many odd runs takes linear time.
const longestTicks = 20

// finder finds Markdown code in text, from start to end. What it finds is code for
// every reader: a reader that sees no code there would take tags in it for tags. So
// it finds only spans on one line, without what may divide the cells of a table, and
// fences at the start of a line. After backticks or a fence of any other kind,
// nothing with a tag counts as code, since readers may differ on where that ends.
type finder struct {
	s       string
	risks   string                // signs of what must not be taken for code; "<" if empty
	at      int                   // up to here it has looked
	doubt   bool                  // there was something that may be code
	within  bool                  // an element is open, whose marks may stand before a fence
	line    int                   // end of the last span's line
	noSpan  [longestTicks + 1]int // up to here there is no run of that length
	noFence map[byte]int          // no fence of this length or more follows
	refused int                   // length of the fences that did not count
}

// refusedMost is how many times the length of the text the fences may have that do not count: many may share one end.
const refusedMost = 8

// next returns where the first code that starts in s[from:to] starts and ends: a
// fence with its lines, or a span with its backticks. It returns -1 if there is
// none.
func (f *finder) next(from, to int) (start, end int) {
	f.doubt = f.doubt || strings.Contains(f.s[f.at:max(f.at, from)], "`") // in a tag
	f.at = max(f.at, from)
	for i := from; i < to; {
		n := strings.IndexAny(f.s[i:to], "`~")
		if n < 0 {
			break
		}
		i += n
		run, end := runLength(f.s[i:]), 0
		switch {
		case run > longestTicks || i > 0 && f.s[i-1] == '\\':
		case run >= 3 && startOfLine(f.s, i) && !f.within && f.refused <= refusedMost*len(f.s):
			end = f.fence(i, run)
		case f.s[i] == '`':
			end = f.span(i, run)
		}
		f.pass(i)
		risky := end > 0 && strings.ContainsAny(f.s[i:end], cmp.Or(f.risks, "<"))
		if end > 0 && !(risky && (f.doubt || f.s[i] == '`' && lengthens(f.s[end:]))) {
			f.at = end
			return i, end
		}
		f.doubt = f.doubt || f.s[i] == '`' || run >= 3
		if run >= 3 {
			f.refused += max(0, end-i)
		}
		i += run
	}
	f.pass(to)
	return -1, -1
}

// dropped matches tags and entities behind a span that bring nothing but a mark.
var dropped = regexp.MustCompile(`^(?:</[a-z0-9]{1,10}>|<(?:b|br|em|i|li|p|strong|td|tr)>|&[#0-9A-Za-z]{1,32};)*`)

// lengthens reports whether the last backticks of a span may get more by what follows.
func lengthens(after string) bool {
	marks := dropped.FindString(after)
	return strings.Contains(Decode(marks), "`") || len(after) > len(marks) && strings.IndexByte("`<&", after[len(marks)]) >= 0
}

// pass goes on to a place. An entity on the way may become what readers see as code,
// or as the end of a line.
func (f *finder) pass(to int) {
	if to <= f.at {
		return
	}
	text := f.s[f.at:to]
	f.doubt = f.doubt || strings.Contains(text, "&") && signs(text) != signs(Decode(text))
	f.at = to
}

// signs counts what makes code in Markdown, or ends it.
func signs(s string) (n int) {
	for _, c := range []byte(s) {
		if strings.IndexByte("`~\\|\n\r", c) >= 0 {
			n++
		}
	}
	return n
}

// runLength returns how often the first byte of s is repeated.
func runLength(s string) int { return len(s) - len(strings.TrimLeft(s, s[:1])) }

func startOfLine(s string, i int) bool {
	before := strings.TrimRight(s[max(0, i-len("\n   ")):i], " ")
	return strings.HasSuffix(before, "\n") || before == "" && i <= len("   ")
}

// fence returns the end of the fenced code that starts at s[i], 0 if there is none.
func (f *finder) fence(i, run int) int {
	c := f.s[i]
	line := strings.IndexByte(f.s[i:], '\n')
	if known, ok := f.noFence[c]; line < 0 || ok && run >= known || c == '`' && strings.Contains(f.s[i+run:i+line], "`") {
		return 0
	}
	indent := i - strings.LastIndexByte(f.s[:i], '\n') - 1
	for at := i + line + 1; at < len(f.s); {
		end := strings.IndexByte(f.s[at:], '\n')
		if end < 0 {
			end = len(f.s) - at
		}
		text := strings.TrimLeft(f.s[at:at+end], " ")
		if strings.Contains(strings.TrimSuffix(text, "\r"), "\r") || end-len(text) < indent && strings.TrimSpace(text) != "" {
			break // a return ends a line for some readers, and an item of a list ends before such a line
		}
		if text != "" && text[0] == c && end-len(text) <= 3 && runLength(text) >= run && strings.TrimSpace(text[runLength(text):]) == "" {
			return at + end
		}
		at += end + 1
	}
	if f.noFence == nil {
		f.noFence = map[byte]int{}
	}
	f.noFence[c] = run
	return 0
}

// span returns the end of the code span that starts at s[i]; 0 if there is none.
func (f *finder) span(i, run int) int {
	if i >= f.line {
		if f.line = i + strings.IndexAny(f.s[i:], "\n\r|"); f.line < i {
			f.line = len(f.s)
		}
	}
	if i < f.noSpan[run] {
		return 0
	}
	for at := i + run; at < f.line; {
		n := strings.IndexByte(f.s[at:f.line], '`')
		if n < 0 {
			break
		}
		at += n
		length := runLength(f.s[at:])
		if at += length; length == run {
			return at
		}
	}
	f.noSpan[run] = f.line
	return 0
}
