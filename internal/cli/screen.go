package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is the output of a command.
type screen struct {
	io.Writer
	width    int  // columns per line
	terminal bool // it is a terminal
	colour   bool // it shows colours
}

const defaultWidth = 80

// newScreen takes the width from the terminal, or from COLUMNS if there is none.
func (g *globals) newScreen(w io.Writer) screen {
	s := screen{Writer: w, width: defaultWidth, terminal: isTerminal(w)}
	if n, err := strconv.Atoi(g.lookup("COLUMNS")); err == nil && n >= 40 {
		s.width = n
	}
	if s.terminal {
		s.width, _ = s.size()
		s.colour = g.lookup("NO_COLOR") == "" && g.lookup("TERM") != "dumb"
	}
	return s
}

// screenOf returns the screen behind w, or one without known properties for any
// other writer.
func screenOf(w io.Writer) screen {
	if s, ok := w.(screen); ok {
		return s
	}
	return screen{Writer: w, width: defaultWidth}
}

// wholeRows returns the screen behind w, without a width unless it is a terminal:
// other programs get rows that are not wrapped.
func wholeRows(w io.Writer) screen {
	s := screenOf(w)
	if !s.terminal {
		s.width = 0
	}
	return s
}

// size asks the terminal for its current size.
func (s screen) size() (width, height int) {
	if f, ok := s.Writer.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 1 {
			return w, h
		}
	}
	return s.width, 24
}

// Colours of a terminal.
const (
	plain  = ""
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
)

// wrap breaks text into lines of at most width letters, between words where
// possible.
func wrap(text string, width int) []string {
	width = max(width, 1)
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		r := []rune(word)
		for len(r) > width {
			lines, r = append(lines, string(r[:width])), r[width:]
		}
		line = string(r)
	}
	return append(lines, line)
}

// window returns the part of a page that a terminal shows: as many lines as it has,
// from the offset on, and a note on what else there is.
func window(page string, offset, height int) []string {
	lines := strings.Split(strings.TrimRight(page, "\n"), "\n")
	if len(lines) > height {
		offset = min(max(offset, 0), len(lines)-height+1)
		more := len(lines) - offset - height + 1
		foot := fmt.Sprintf("(%d more lines: arrows scroll, q ends)", more)
		if more == 0 {
			foot = "(the end: arrows scroll, q ends)"
		}
		lines = append(lines[offset:offset+height-1:offset+height-1], foot)
	}
	return lines
}
