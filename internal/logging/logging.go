// Package logging has the logger: the format of its lines, its levels, and the folding of repeats.
package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/lmittmann/tint"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/terminal"
)

// LevelNotice is above every level that an operator can choose: the start, the summary of a run and the stop are
// printed even at log level error.
const LevelNotice = slog.Level(12)

// New returns a logger that writes lines as other OpenCTI connectors do (one JSON object a line: timestamp, level,
// name, message, attributes), or readable text if text is set. Notices pass every level. Repeated warnings and errors
// are folded; Flush prints those that were only counted.
func New(w io.Writer, level slog.Level, name string, text bool) *slog.Logger {
	if text {
		return slog.New(newFolding(tint.NewTextHandler(w, &tint.Options{
			Level: level, TimeFormat: time.TimeOnly, NoColor: true,
			ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if a.Key == slog.LevelKey && len(groups) == 0 && a.Value.Any() == LevelNotice {
					return slog.Any(slog.LevelKey, slog.LevelInfo)
				}
				if a.Value.Kind() == slog.KindTime && a.Key != slog.TimeKey && !a.Value.Time().IsZero() {
					return slog.String(a.Key, a.Value.Time().UTC().Format(time.RFC3339))
				}
				if err, ok := a.Value.Any().(error); ok {
					return slog.String(a.Key, fault.Words(err))
				}
				if empty(a.Value) {
					return slog.Attr{}
				}
				return a
			},
		})))
	}
	return slog.New(newFolding(&jsonHandler{mu: &sync.Mutex{}, w: w, level: level, name: name}))
}

// Flush prints the repeats that a logger of New has only counted so far.
func Flush(log *slog.Logger) {
	if f, ok := log.Handler().(interface{ Flush() }); ok {
		f.Flush()
	}
}

// jsonHandler writes lines in OpenCTI's format. Groups are flattened with dots.
type jsonHandler struct {
	mu     *sync.Mutex // for w
	w      io.Writer
	level  slog.Level
	name   string
	prefix string
	attrs  []slog.Attr
}

type logLine struct {
	Timestamp  string         `json:"timestamp"`
	Level      string         `json:"level"`
	Name       string         `json:"name"`
	Message    string         `json:"message"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

func (h *jsonHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *jsonHandler) Handle(_ context.Context, r slog.Record) error {
	line := logLine{
		Timestamp: r.Time.UTC().Format("2006-01-02T15:04:05.000000Z"),
		Level:     levelName(r.Level), Name: h.name, Message: r.Message,
	}
	attrs := slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		a.Key = h.prefix + a.Key
		attrs = append(attrs, a)
		return true
	})
	if len(attrs) > 0 {
		line.Attributes = make(map[string]any, len(attrs))
		for _, a := range attrs {
			addAttr(line.Attributes, a)
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, terminal.Text(buf.String()))
	return err
}

// addAttr flattens groups and formats errors, durations and times as text.
func addAttr(m map[string]any, a slog.Attr) {
	v := a.Value.Resolve()
	if empty(v) {
		return
	}
	switch v.Kind() {
	case slog.KindGroup:
		for _, g := range v.Group() {
			g.Key = a.Key + "." + g.Key
			addAttr(m, g)
		}
	case slog.KindDuration:
		m[a.Key] = v.Duration().String()
	case slog.KindTime:
		m[a.Key] = v.Time().UTC().Format(time.RFC3339)
	default:
		m[a.Key] = plain(v.Any())
	}
}

// empty reports whether v says nothing. Such attributes are left out.
func empty(v slog.Value) bool {
	switch v.Kind() {
	case slog.KindString:
		return v.String() == ""
	case slog.KindTime:
		return v.Time().IsZero()
	case slog.KindAny:
		switch r := reflect.ValueOf(v.Any()); r.Kind() {
		case reflect.Invalid:
			return true
		case reflect.Slice, reflect.Map:
			return r.Len() == 0
		case reflect.Pointer:
			return r.IsNil()
		}
	}
	return false
}

func plain(v any) any {
	switch v := v.(type) {
	case error:
		return fault.Words(v)
	case json.Marshaler:
		return v
	case interface{ String() string }:
		return v.String()
	}
	return v
}

func levelName(l slog.Level) string {
	switch {
	case l >= LevelNotice:
		return "INFO"
	case l >= slog.LevelError:
		return "ERROR"
	case l >= slog.LevelWarn:
		return "WARNING"
	case l >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}

func (h *jsonHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		a.Key = h.prefix + a.Key
		c.attrs = append(c.attrs, a)
	}
	return &c
}

func (h *jsonHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.prefix = h.prefix + name + "."
	return &c
}
