package logging

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// foldFor is how long repeats of a warning or an error are only counted.
const foldFor = 10 * time.Minute

// folding is a handler that passes a warning or an error once and then folds its repeats into one line with a count:
// when it comes again after foldFor, or at Flush. Two lines are repeats if they have the same message, subject and
// error, apart from numbers. Notices always pass.
type folding struct {
	slog.Handler
	attrs []slog.Attr // added by WithAttrs, for the key
	lines *foldedLines
}

type foldedLines struct {
	mu   sync.Mutex
	seen map[string]*foldedLine
}

// foldedLine is a line that was passed.
type foldedLine struct {
	passed   time.Time
	repeated int
	last     slog.Record // the latest repeat
	handler  slog.Handler
}

// maxFolded bounds the number of lines that are remembered.
const maxFolded = 500

func newFolding(h slog.Handler) *folding {
	return &folding{Handler: h, lines: &foldedLines{seen: map[string]*foldedLine{}}}
}

// Handle implements slog.Handler.
func (f *folding) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn || r.Level >= LevelNotice {
		return f.Handler.Handle(ctx, r)
	}
	key := f.key(r)
	f.lines.mu.Lock()
	line := f.lines.seen[key]
	if line != nil && r.Time.Sub(line.passed) < foldFor && !r.Time.Before(line.passed) {
		line.repeated++
		line.last, line.handler = r.Clone(), f.Handler
		f.lines.mu.Unlock()
		return nil
	}
	repeated := 0
	if line != nil {
		repeated = line.repeated
	}
	if len(f.lines.seen) >= maxFolded {
		clear(f.lines.seen)
	}
	f.lines.seen[key] = &foldedLine{passed: r.Time}
	f.lines.mu.Unlock()
	return f.Handler.Handle(ctx, counted(r, repeated))
}

// counted adds the number of repeats since the line was last printed.
func counted(r slog.Record, repeated int) slog.Record {
	if repeated > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", repeated))
	}
	return r
}

// Flush prints the repeats that were only counted so far.
func (f *folding) Flush() {
	f.lines.mu.Lock()
	defer f.lines.mu.Unlock()
	for key, line := range f.lines.seen {
		if line.repeated > 0 {
			_ = line.handler.Handle(context.Background(), counted(line.last, line.repeated)) // nobody is left to tell
		}
		delete(f.lines.seen, key)
	}
}

// key is the same for lines that are repeats of each other.
func (f *folding) key(r slog.Record) string {
	var b strings.Builder
	b.WriteString(r.Message)
	note := func(a slog.Attr) bool {
		switch a.Key {
		case "stage", "part", "class", "kind", "dataset", "key":
			b.WriteString("\x00" + a.Value.String())
		case "error", "reason":
			b.WriteString("\x00" + maskNumbers(a.Value.String()))
		}
		return true
	}
	for _, a := range f.attrs {
		note(a)
	}
	r.Attrs(note)
	return b.String()
}

// maskNumbers makes texts equal that differ only in sizes, ports, ids or times.
func maskNumbers(s string) string {
	var b strings.Builder
	in := false
	for _, c := range s {
		digit := c >= '0' && c <= '9'
		if !digit {
			b.WriteRune(c)
		} else if !in {
			b.WriteByte('#')
		}
		in = digit
	}
	return b.String()
}

// WithAttrs implements slog.Handler.
func (f *folding) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := append(append([]slog.Attr{}, f.attrs...), attrs...)
	return &folding{Handler: f.Handler.WithAttrs(attrs), attrs: all, lines: f.lines}
}

// WithGroup implements slog.Handler.
func (f *folding) WithGroup(name string) slog.Handler {
	return &folding{Handler: f.Handler.WithGroup(name), attrs: f.attrs, lines: f.lines}
}
