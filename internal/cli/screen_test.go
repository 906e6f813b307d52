package cli_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"threatmatch-connector/internal/cli"
	"threatmatch-connector/internal/inspect"
)

func TestFit(t *testing.T) {
	page := "running, ready " + strings.Repeat("ü", 150) + "\n"
	for n := range 39 {
		page += fmt.Sprintf("line %d\n", n)
	}
	for height, last := range map[int]string{24: "… 17 more lines", 39: "… 2 more lines", 40: "line 38", 60: "line 38", 1: "… 39 more lines"} {
		lines := cli.Fit(page, 80, height)
		if got := lines[len(lines)-1]; got != last || len(lines) > max(height, 2) {
			t.Errorf("%d lines for a window of %d, the last is %q, want %q", len(lines), height, got, last)
		}
		if n := utf8.RuneCountInString(lines[0]); n != 80 || !strings.HasPrefix(lines[0], "running, ready ü") || !strings.HasSuffix(lines[0], "…") {
			t.Errorf("the first line has %d letters: %s", n, lines[0])
		}
	}
	if lines := cli.Fit("one\n", 0, 0); len(lines) != 1 || lines[0] != "one" {
		t.Errorf("of a terminal without a size: %q", lines)
	}
}

func TestTimeLeft(t *testing.T) {
	open := inspect.Status{
		Runs: []inspect.Run{{ID: 1}}, Rates: &inspect.Rates{Requests: 2, Messages: 100},
		Spool: inspect.Stats{Tasks: 600, Records: 7, Messages: 1000},
	}
	if got := cli.TimeLeft(open); got != "fetched in 5m, delivered in 10s" {
		t.Error(got)
	}
	idle := open
	idle.Runs = nil
	for what, s := range map[string]inspect.Status{"no open run": idle, "no rates": {Runs: open.Runs, Spool: open.Spool}, "nothing moves": {Runs: open.Runs, Rates: &inspect.Rates{}, Spool: open.Spool}} {
		if got := cli.TimeLeft(s); got != "" {
			t.Errorf("%s: %s", what, got)
		}
	}
}
