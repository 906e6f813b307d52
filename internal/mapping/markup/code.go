package markup

import "strings"

// longestTicks is the longest run of backticks or tildes that counts as the start
// of code, so that a text with many odd runs takes linear time.
const longestTicks = 20

// finder finds Markdown code in a text, from start to end.
type finder struct {
	s         string
	paragraph int                   // end of the last span's paragraph
	noSpan    [longestTicks + 1]int // up to here there is no run of that length
	noFence   map[byte]int          // no fence of this length or more follows
}

// next returns where the first code that starts in s[from:to] starts and ends: a
// fence with its lines, or a span with its backticks. It returns -1 if there is
// none.
func (f *finder) next(from, to int) (start, end int) {
	for i := from; i < to; {
		n := strings.IndexAny(f.s[i:to], "`~")
		if n < 0 {
			break
		}
		i += n
		run := runLength(f.s[i:])
		switch {
		case run > longestTicks || i > 0 && f.s[i-1] == '\\':
		case run >= 3 && startOfLine(f.s, i):
			if end := f.fence(i, run); end > 0 {
				return i, end
			}
		case f.s[i] == '`':
			if end := f.span(i, run); end > 0 {
				return i, end
			}
		}
		i += run
	}
	return -1, -1
}

// runLength returns how often the first byte of s is repeated.
func runLength(s string) int { return len(s) - len(strings.TrimLeft(s, s[:1])) }

func startOfLine(s string, i int) bool {
	before := s[strings.LastIndexByte(s[:i], '\n')+1 : i]
	return len(before) <= 3 && strings.Trim(before, " ") == ""
}

// fence returns the end of the fenced code that starts at s[i], 0 if there is none.
func (f *finder) fence(i, run int) int {
	c := f.s[i]
	line := strings.IndexByte(f.s[i:], '\n')
	if known, ok := f.noFence[c]; line < 0 || ok && run >= known || c == '`' && strings.Contains(f.s[i+run:i+line], "`") {
		return 0
	}
	for at := i + line + 1; at < len(f.s); {
		end := strings.IndexByte(f.s[at:], '\n')
		if end < 0 {
			end = len(f.s) - at
		}
		text := strings.TrimLeft(f.s[at:at+end], " ")
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

// span returns the end of the code span that starts at s[i], within its paragraph;
// 0 if there is none.
func (f *finder) span(i, run int) int {
	if i >= f.paragraph {
		f.paragraph = endOfParagraph(f.s, i)
	}
	if i < f.noSpan[run] {
		return 0
	}
	for at := i + run; at < f.paragraph; {
		n := strings.IndexByte(f.s[at:f.paragraph], '`')
		if n < 0 {
			break
		}
		at += n
		length := runLength(f.s[at:])
		if at += length; length == run {
			return at
		}
	}
	f.noSpan[run] = f.paragraph
	return 0
}

// endOfParagraph returns the start of the next blank line.
func endOfParagraph(s string, i int) int {
	for {
		n := strings.IndexByte(s[i:], '\n')
		if n < 0 {
			return len(s)
		}
		i += n + 1
		next, _, _ := strings.Cut(s[i:], "\n")
		if strings.TrimSpace(next) == "" {
			return i
		}
	}
}
