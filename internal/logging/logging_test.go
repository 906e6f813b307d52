package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"threatmatch-connector/internal/fault"
)

type line struct {
	Timestamp, Level, Name, Message string
	Attributes                      map[string]any
}

func lines(t *testing.T, out *bytes.Buffer) (all []line) {
	t.Helper()
	for text := range strings.Lines(out.String()) {
		var l line
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&l); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		all = append(all, l)
	}
	return all
}

// A line has the format of other OpenCTI connectors' lines.
func TestLogLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := New(&out, slog.LevelWarn, "My connector", false)
		log.Info("not printed")
		log.With("stage", "fetch").WithGroup("answer").Warn("careful", "error", errors.New("a <b>"), "took", time.Second,
			slog.Group("inner", "n", 1), "at", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
		log.Log(t.Context(), LevelNotice, "run delivered")
		got := lines(t, &out)
		if len(got) != 2 || got[0].Name != "My connector" || got[0].Level != "WARNING" || got[1].Level != "INFO" {
			t.Fatalf("got lines %+v, want a WARNING and an INFO of My connector", got)
		}
		want := map[string]any{
			"stage": "fetch", "answer.error": "a <b>", "answer.took": "1s", "answer.inner.n": 1.0, "answer.at": "2026-01-02T03:04:05Z",
		}
		if fmt.Sprint(got[0].Attributes) != fmt.Sprint(want) {
			t.Errorf("attributes %v, want %v", got[0].Attributes, want)
		}
		if got[0].Timestamp != "2000-01-01T00:00:00.000000Z" {
			t.Errorf("timestamp %s", got[0].Timestamp)
		}
		if !strings.Contains(out.String(), "a <b>") {
			t.Error("text is escaped for HTML")
		}
	})
}

func TestRepeatsAreFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := New(&out, slog.LevelInfo, "c", false)
		fetch := log.With("stage", "fetch")
		for n := range 5 { // numbers in the error make no difference
			fetch.Warn("trouble", "error", fmt.Errorf("dial 127.0.0.1:%d: refused", n), "tries", n)
			time.Sleep(time.Minute)
		}
		log.With("stage", "map").Warn("trouble", "error", "dial 127.0.0.1:1: refused")
		fetch.Warn("trouble", "error", "another one")
		fetch.Info("news")
		fetch.Info("news")
		log.Log(t.Context(), LevelNotice, "notice")
		log.Log(t.Context(), LevelNotice, "notice")
		if got := lines(t, &out); len(got) != 7 {
			t.Fatalf("%d lines: %+v", len(got), got)
		}
		out.Reset()
		time.Sleep(foldFor)
		fetch.Warn("trouble", "error", "dial 127.0.0.1:9: refused")
		if got := lines(t, &out); len(got) != 1 || got[0].Attributes["repeated"] != 4.0 {
			t.Fatalf("got lines %+v, want one, repeated 4 times", got)
		}
		out.Reset()
		fetch.Warn("trouble", "error", "dial 127.0.0.1:10: refused")
		fetch.Warn("trouble", "error", "dial 127.0.0.1:11: refused")
		Flush(log)
		Flush(log)
		if got := lines(t, &out); len(got) != 1 || got[0].Attributes["repeated"] != 2.0 || got[0].Attributes["stage"] != "fetch" {
			t.Fatalf("got lines %+v, want one of fetch, repeated twice", got)
		}
	})
}

func TestTextForTerminals(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, slog.LevelError, "c", true)
	log.Warn("not printed")
	log.Log(t.Context(), LevelNotice, "connector starts", "version", "1")
	if got := out.String(); !strings.Contains(got, "INF connector starts version=1") {
		t.Errorf("got %q, want the notice as INF", got)
	}
	out.Reset()
}

// TestSaysOnlyWhatIs: an attribute without a value is left out, and an error is logged in its own words, without the
// chain of calls around them.
func TestSaysOnlyWhatIs(t *testing.T) {
	err := fmt.Errorf("publish: lost: %w", fault.Say(errors.New("dial tcp 127.0.0.1:5672: refused"), "RabbitMQ: nothing listens there"))
	attrs := []any{"run", 7, "work", "", "at", time.Time{}, "since", time.Date(2026, 3, 7, 3, 14, 27, 5e8, time.FixedZone("", 3600)), "none", nil, "ids", []string{}, "map", map[string]int{}, "zero", 0, "off", false, "error", err}
	var out bytes.Buffer
	New(&out, slog.LevelInfo, "c", true).Warn("m", attrs...)
	if got, want := out.String(), "m run=7 since=2026-03-07T02:14:27Z zero=0 off=false error=\"RabbitMQ: nothing listens there\"\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q at its end", got, want)
	}
	out.Reset()
	New(&out, slog.LevelInfo, "c", false).Warn("m", attrs...)
	want := map[string]any{"run": 7.0, "since": "2026-03-07T02:14:27Z", "zero": 0.0, "off": false, "error": "RabbitMQ: nothing listens there"}
	if got := lines(t, &out); !reflect.DeepEqual(got[0].Attributes, want) {
		t.Errorf("got %v, want %v", got[0].Attributes, want)
	}
}

// TestNothingActsOnTheScreen: what a feed wrote can neither control the terminal that shows the log nor begin a line
// of its own.
func TestNothingActsOnTheScreen(t *testing.T) {
	const evil = "\x1b[2J\u009b31m\x00\r\nFORGED\u2028\u202e\ufeff"
	for _, text := range []bool{false, true} {
		var out bytes.Buffer
		log := New(&out, slog.LevelInfo, "c"+evil, text)
		log.Warn("careful", "error", errors.New(evil), "id", evil, "ids", []string{evil}, slog.Group("g", "in", evil))
		if got := strings.Count(out.String(), "\n"); got != 1 {
			t.Errorf("text %v: got %d lines, want 1: %q", text, got, out.String())
		}
		for _, r := range strings.TrimSuffix(out.String(), "\n") {
			if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Errorf("text %v: %U is printed: %q", text, r, out.String())
			}
		}
	}
}
