package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/terminal"
)

// say is fmt.Fprintf for terminals: its arguments cannot act on the terminal.
// Everything that a command prints goes through say, printTable, printText or
// printJSON.
func say(w io.Writer, format string, args ...any) (int, error) {
	return fmt.Fprintf(w, format, quoted(args)...)
}

// sayLine is fmt.Fprintln for terminals; see say.
func sayLine(w io.Writer, args ...any) (int, error) { return fmt.Fprintln(w, quoted(args)...) }

// quoted quotes all arguments that may contain text.
func quoted(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case string:
			out[i] = terminal.Quote(v)
		case bool, int, int64, uint64, uint32, float64:
			out[i] = v
		default:
			out[i] = terminal.Quote(fmt.Sprint(v))
		}
	}
	return out
}

// printText prints a payload and ends the line. JSON stays the same JSON; any other
// payload is indented, so that no line of it looks like one of ours.
func printText[T string | []byte](w io.Writer, payload T) error {
	text := terminal.Lines(string(payload))
	if json.Valid([]byte(payload)) {
		text = terminal.Text(string(payload))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

func printJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, terminal.Text(text.String()))
	return err
}

// print prints v as JSON, or by text.
func (g *globals) print(w io.Writer, v any, text func(io.Writer) error) error {
	if g.json {
		return printJSON(w, v)
	}
	return text(w)
}

// show prints what it reads from the running or the stopped connector.
func show[T any](g *globals, cmd *cobra.Command, read func(inspect.Inspector) (T, error), text func(io.Writer, T) error) error {
	return g.inspect(cmd.Context(), func(i inspect.Inspector) error {
		v, err := read(i)
		if err != nil {
			return err
		}
		return g.print(cmd.OutOrStdout(), v, func(w io.Writer) error { return text(w, v) })
	})
}

// printTable prints rows under a header, without borders. It fits the terminal:
// what the last column has no room for continues below it, or below the whole row
// if the other columns leave little room.
func printTable(w io.Writer, head []string, rows [][]string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "nothing")
		return err
	}
	const least = 24
	last := len(head) - 1
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			row[i] = terminal.Quote(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	width := screenOf(w).width
	room := width
	for _, n := range widths[:last] {
		room -= n + 2
	}
	below := width > 0 && widths[last] > room && room < least
	if below {
		head = head[:last]
	}
	var page bytes.Buffer
	writeRow(&page, widths, head)
	for _, row := range rows {
		switch {
		case below:
			writeRow(&page, widths, row[:last])
			for _, text := range wrap(row[last], width-4) {
				if text != "" {
					page.WriteString("    " + text + "\n")
				}
			}
		case width > 0 && widths[last] > room:
			for _, text := range wrap(row[last], room) {
				row[last] = text
				writeRow(&page, widths, row)
				row = make([]string, len(head))
			}
		default:
			writeRow(&page, widths, row)
		}
	}
	_, err := page.WriteTo(w)
	return err
}

// writeRow writes a row in columns of the given widths.
func writeRow(page *bytes.Buffer, widths []int, row []string) {
	line := ""
	for i, cell := range row {
		line += fmt.Sprintf("%-*s  ", widths[i], cell)
	}
	page.WriteString(strings.TrimRight(line, " ") + "\n")
}

// printLabelled prints text after a label, and continues below it if the terminal
// is too narrow. Label and first line are coloured.
func printLabelled(w io.Writer, colour, label, text string) {
	const indent = 11
	s := screenOf(w)
	for i, line := range wrap(terminal.Quote(text), s.width-indent-1) {
		if i == 0 {
			head := fmt.Sprintf("%-*s", indent, terminal.Quote(label))
			if colour != plain && s.colour {
				head = colour + head + "\x1b[0m"
			}
			_, _ = fmt.Fprintln(w, strings.TrimRight(head+" "+line, " "))
			continue
		}
		_, _ = fmt.Fprintf(w, "%*s %s\n", indent, "", line)
	}
}

// printError prints an error and what to do. Problems with the settings, and joined
// errors, get a line each.
func printError(w io.Writer, err error) {
	if problems := config.ProblemsOf(err); len(problems) > 0 {
		sayLine(w, "error: settings:")
		for _, p := range problems {
			sayLine(w, p)
		}
	} else {
		for _, e := range joined(err) {
			sayLine(w, "error:", e)
		}
	}
	if hint := fault.HintOf(err); hint != "" {
		sayLine(w, "hint: ", hint)
	}
}

// joined splits what errors.Join joined.
func joined(err error) []error {
	several, ok := err.(interface{ Unwrap() []error })
	if ok && errors.Join(several.Unwrap()...).Error() == err.Error() {
		return several.Unwrap()
	}
	return []error{err}
}

// stamp formats a time; the zero time is a dash.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// clip shortens text for a table cell and puts it on one line.
func clip(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// span formats a duration.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
