package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/inspect"
)

// played is what a terminal would show: lines, moving up and clearing.
func played(t *testing.T, out string) []string {
	t.Helper()
	lines := []string{""}
	for out != "" {
		var up int
		switch {
		case strings.HasPrefix(out, "\x1b["):
			end := strings.Index(out, "\x1b[J")
			if n, err := fmt.Sscanf(out, "\x1b[%dA\r", &up); n != 1 || err != nil || end < 0 || up >= len(lines) {
				t.Fatalf("strange sequence %q above %d lines", out[:min(20, len(out))], len(lines))
			}
			lines = append(lines[:len(lines)-1-up], "")
			out = out[end+len("\x1b[J"):]
		case out[0] == '\n':
			lines = append(lines, "")
			out = out[1:]
		default:
			lines[len(lines)-1] += out[:1]
			out = out[1:]
		}
	}
	return lines
}

func importing(fetched int64, open int) inspect.Status {
	return inspect.Status{Runs: []inspect.Run{{
		Datasets: []inspect.DatasetRun{
			{Dataset: "alerts", Status: "listed", Listed: 20, Fetched: fetched, Open: open, Mapped: fetched / 2, Parked: 1},
			{Dataset: "iocs", Status: "open", Fetched: 500},
		},
		Counters: map[string]int64{"fetch.items": fetched},
	}}}
}

func TestProgressStaysBelowTheLog(t *testing.T) {
	var out bytes.Buffer
	p := newLiveView(&out, func() int { return 80 }, time.Now)
	p.show(importing(5, 15))
	fmt.Fprintln(p, "first line of the log")
	p.show(importing(10, 10))
	fmt.Fprintln(p, "second line of the log")
	got := played(t, out.String())
	if len(got) != 6 || got[0] != "first line of the log" || got[1] != "second line of the log" {
		t.Fatalf("got %q, want six lines, the log first", got)
	}
	if got[2] != "alerts    20 listed, 10 fetched, 5 records mapped, 1 failed" || got[3] != "iocs      500 fetched, 0 records mapped" {
		t.Errorf("got %q, want how far alerts and iocs are", got[2:4])
	}
	if !strings.HasPrefix(got[4], "fetched  50% [") || !strings.HasSuffix(got[4], "] 10/20 requests") {
		t.Errorf("bar %q", got[4])
	}

	s := importing(20, 0)
	s.Runs[0].Fetched = time.Now()
	s.Runs[0].Counters["deliver.messages"] = 100
	s.Spool.Messages = 300
	s.NotReady = map[string]string{"deliver": "RabbitMQ refuses us"}
	p.show(s)
	got = played(t, out.String())
	if !strings.HasPrefix(got[5], "delivered  25% [") || got[4] != "deliver: RabbitMQ refuses us" {
		t.Errorf("got %q, want why deliver waits, then 25 %% delivered", got)
	}
	p.end()
	if got = played(t, out.String()); len(got) != 3 || got[2] != "" {
		t.Errorf("after the end: %q", got)
	}
}

func TestProgressNeverWraps(t *testing.T) {
	var out bytes.Buffer
	p := newLiveView(&out, func() int { return 30 }, time.Now)
	p.show(importing(5, 15))
	for _, line := range played(t, out.String()) {
		if len([]rune(line)) >= 30 {
			t.Errorf("%q is too long", line)
		}
	}
}

// TestProgressFits: no rate before one is known, complete texts at any width, and a
// complete bar that stays at the end.
func TestProgressFits(t *testing.T) {
	for _, width := range []int{60, 80, 120} {
		var out bytes.Buffer
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		p := newLiveView(&out, func() int { return width }, func() time.Time { return now })
		last := func() string { lines := played(t, out.String()); return lines[len(lines)-2] }
		s := importing(1000, 9000)
		s.Runs[0].ID = 7
		p.show(s)
		if got := last(); strings.Contains(got, "/s") || strings.Contains(got, "left") {
			t.Errorf("width %d: a rate at the first sight: %q", width, got)
		}
		now = now.Add(10 * time.Second)
		s.Runs[0].Counters["fetch.items"], s.Runs[0].Datasets[0].Open = 2000, 8000
		p.show(s)
		if got := last(); !strings.HasPrefix(got, "fetched  20% ") || !strings.HasSuffix(got, "2000/10000 requests, 100/s, about 1m20s left") {
			t.Errorf("width %d: %q", width, got)
		}
		s.Runs[0].Fetched, s.Runs[0].Counters["deliver.messages"], s.Spool.Messages = now, 90, 10
		p.show(s)
		now = now.Add(55 * time.Second)
		run := s.Runs[0]
		run.Created, run.Done = now.Add(-65*time.Second), now
		run.Counters["deliver.messages"] = 100
		s.Runs, s.Last = nil, &run
		p.show(s)
		p.end()
		if got := last(); !strings.HasPrefix(got, "delivered 100% [=") || !strings.HasSuffix(got, "100 messages in 1m5s") {
			t.Errorf("width %d: at the end %q", width, got)
		}
	}
}

// TestProgressKeepsItsOrder: what is not ready is listed in one order, or its lines would jump with each redraw.
func TestProgressKeepsItsOrder(t *testing.T) {
	p := newLiveView(&bytes.Buffer{}, func() int { return 80 }, time.Now)
	s := importing(5, 15)
	s.NotReady = map[string]string{"spool": "a", "fetch": "b", "map": "c", "deliver": "d", "platform": "e"}
	first := p.render(s)
	for range 20 {
		if again := p.render(s); again != first {
			t.Fatalf("got\n%s\nand then\n%s", first, again)
		}
	}
}
