package terminal

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		"größer — «日本» 😀":             "größer — «日本» 😀",
		"a\x1b[2Jb":                   `a\u001b[2Jb`,
		"\x1b]0;title\x07":            `\u001b]0;title\u0007`,
		"c1 \u009b31m":                `c1 \u009b31m`,
		"a\nb\r\tc\x00\x7f":           `a\u000ab\u000d\u0009c\u0000\u007f`,
		"bidi \u202e\u2066\u200f":     `bidi \u202e\u2066\u200f`,
		"line\u2028para\u2029":        `line\u2028para\u2029`,
		"zero\u200bwidth\ufeff\u00ad": `zero\u200bwidth\ufeff\u00ad`,
		"tag \U000e0041":              `tag \udb40\udc41`,
		"broken \xff\xc0":             `broken \ufffd\ufffd`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q): got %s, want %s", in, got, want)
		}
	}
	if got, want := Lines("one\ntwo\x1b\nthree\n"), "one\n  two\\u001b\n  three"; got != want {
		t.Errorf("Lines: got %q, want %q", got, want)
	}
}

// TestNothingActs: whatever comes in, no output acts on a screen, and JSON stays
// the same JSON.
func TestNothingActs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom(nil, unicode.Cf, unicode.Cc, unicode.Zl, unicode.Co))).Draw(t, "s")
		for _, r := range Quote(s + "\xff") {
			if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
				t.Fatalf("Quote(%q) lets %U through", s, r)
			}
		}
		raw, err := json.MarshalIndent(map[string]string{"key": s}, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(Text(string(raw))), &got); err != nil || got["key"] != strings.ToValidUTF8(s, "\ufffd") {
			t.Fatalf("JSON of %q becomes %q, %v", s, got["key"], err)
		}
	})
}
