package cli

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"threatmatch-connector/internal/inspect"
)

// overwrite lets the page overwrite what stands on the terminal: to the corner,
// each line cleared to its end, and what is below.
func overwrite(page string, f *os.File) string {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width, height = 80, 24
	}
	return "\x1b[H" + strings.Join(fit(page, width, height), "\x1b[K\n") + "\x1b[K\x1b[J"
}

// fit cuts a page to a window, so that its first lines never scroll away.
func fit(page string, width, height int) []string {
	width, height = cmp.Or(width, 80), max(cmp.Or(height, 24), 2)
	lines := strings.Split(strings.TrimRight(page, "\n"), "\n")
	if more := len(lines) - height + 1; more > 1 {
		lines = append(lines[:height-1:height-1], fmt.Sprintf("… %d more lines", more))
	}
	for i, line := range lines {
		if r := []rune(line); len(r) > width {
			lines[i] = string(r[:width-1]) + "…"
		}
	}
	return lines
}

// timeLeft says how long what waits for each stage of the open runs takes at the
// rates of the last minute; "" where nothing moves or waits. Pages of IOCs that
// are not known yet are not in it.
func timeLeft(s inspect.Status) string {
	if s.Rates == nil || len(s.Runs) == 0 {
		return ""
	}
	var parts []string
	for _, w := range []struct {
		what string
		n    int64
		rate float64
	}{
		{"fetched", s.Spool.Tasks, s.Rates.Requests}, {"mapped", s.Spool.Records, s.Rates.Records}, {"delivered", s.Spool.Messages, s.Rates.Messages},
	} {
		if w.n > 0 && w.rate > 0 {
			parts = append(parts, fmt.Sprintf("%s in %s", w.what, span(time.Duration(float64(w.n)/w.rate*float64(time.Second)))))
		}
	}
	return strings.Join(parts, ", ")
}
