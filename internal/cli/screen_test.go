package cli

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"threatmatch-connector/internal/check"
)

// TestWindow: the first lines never scroll away by themselves, the offset reaches
// the last line and no further, and the footer says what there is to scroll.
func TestWindow(t *testing.T) {
	page := ""
	for n := range 40 {
		page += fmt.Sprintf("line %d\n", n)
	}
	for _, tt := range []struct {
		offset, height    int
		first, last, foot string
	}{
		{0, 24, "line 0", "line 22", "(17 more lines: arrows scroll, q ends)"},
		{5, 24, "line 5", "line 27", "(12 more lines: arrows scroll, q ends)"},
		{99, 24, "line 17", "line 39", "(the end: arrows scroll, q ends)"},
		{-3, 24, "line 0", "line 22", "(17 more lines: arrows scroll, q ends)"},
		{3, 40, "line 0", "line 38", "line 39"},
	} {
		got := window(page, tt.offset, tt.height)
		if n := len(got); n != tt.height || got[0] != tt.first || got[n-2] != tt.last || got[n-1] != tt.foot {
			t.Errorf("offset %d of a window of %d: got %d lines, %q … %q %q; want %q … %q %q", tt.offset, tt.height, n, got[0], got[n-2], got[n-1], tt.first, tt.last, tt.foot)
		}
	}
}

// TestTablesFit: no line is wider than the screen, and no letter is lost.
func TestTablesFit(t *testing.T) {
	const long = "the source says: \"The object could not be converted\", and then it says much more than anybody wants to read in a single line of a table"
	rows := func() [][]string {
		return [][]string{{"1", "map", "error_element", "reports/5", long}, {"2", "fetch", "refused", "alerts/7", "answered 404"}, {"3", "map", "x", "y", strings.Repeat("ü", 300)}}
	}
	for _, width := range []int{50, 80, 120, 1000} {
		var out bytes.Buffer
		if err := printTable(screen{Writer: &out, width: width}, []string{"KEY", "STAGE", "CLASS", "WHAT", "ERROR"}, rows()); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("width %d: a line has %d letters: %s", width, n, line)
			}
		}
		got := strings.Join(strings.Fields(out.String()), " ")
		if !strings.Contains(strings.ReplaceAll(got, " ", ""), strings.ReplaceAll(long, " ", "")) || strings.Count(got, "ü") != 300 || strings.Contains(got, "…") {
			t.Errorf("width %d: something is cut:\n%s", width, out.String())
		}
	}
}

// TestFindingsFit: on a terminal what check says goes on below itself; other programs get a line each.
func TestFindingsFit(t *testing.T) {
	f := check.Finding{Name: "RabbitMQ connection", Verdict: check.Failed, Detail: "127.0.0.1:27788, virtual host /, user guest: RabbitMQ: nothing listens at 127.0.0.1:27788",
		Hint: "check MQ_HOST and MQ_PORT, and whether the server runs, and read its log"}
	for terminal, want := range map[bool]string{
		true: `✗ RabbitMQ connection  127.0.0.1:27788, virtual host /, user guest: RabbitMQ:
                       nothing listens at 127.0.0.1:27788
                       → check MQ_HOST and MQ_PORT, and whether the server runs,
                         and read its log
`,
		false: `✗ RabbitMQ connection  ` + f.Detail + `
                       → ` + f.Hint + `
`,
	} {
		var out bytes.Buffer
		printFinding(screen{Writer: &out, width: 80, terminal: terminal}, f)
		if out.String() != want {
			t.Errorf("terminal %v: got\n%swant\n%s", terminal, out.String(), want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"one two three", []string{"one two", "three"}}, {"", []string{""}}, {"abcdefghij", []string{"abcdefgh", "ij"}}, {"a abcdefghij", []string{"a", "abcdefgh", "ij"}},
	} {
		if got := wrap(tt.text, 8); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}
