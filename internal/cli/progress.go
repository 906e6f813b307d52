package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/internal/inspect"
)

// liveView keeps a few lines at the bottom of a terminal: what is listed, fetched,
// mapped and delivered, how fast, and how long it may take. The log is written
// through it and scrolls above.
type liveView struct {
	out   io.Writer
	width func() int
	now   func() time.Time

	mu    sync.Mutex
	shown int    // number of lines on the terminal
	block string // those lines
	run   uint64 // the latest run shown
	total int64  // its messages, as far as known
	done  bool   // the run is delivered
	pace  pace
}

// newLiveView returns an empty view. width returns the terminal's width in columns.
func newLiveView(out io.Writer, width func() int, now func() time.Time) *liveView {
	return &liveView{out: out, width: width, now: now}
}

// Write prints log lines above the block.
func (p *liveView) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.redraw(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// redraw moves to the start of the block, clears from there, and draws the block
// anew below some text.
func (p *liveView) redraw(above []byte) error {
	var page bytes.Buffer
	if p.shown > 0 {
		say(&page, "\x1b[%dA\r\x1b[J", p.shown)
	}
	page.Write(above)
	p.draw(&page)
	_, err := p.out.Write(page.Bytes())
	return err
}

// watch redraws the block until ctx is done, then removes it.
func (p *liveView) watch(ctx context.Context, status func() (inspect.Status, error)) {
	const every = 500 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		last := ctx.Err() != nil
		if s, err := status(); err == nil {
			p.show(s)
		}
		if last {
			p.end()
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// show replaces the block with a new status.
func (p *liveView) show(s inspect.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.block = p.render(s)
	_ = p.redraw(nil) // if the terminal is gone, nobody needs the progress
}

// end removes the block, or leaves it in place if the run is delivered.
func (p *liveView) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		p.shown = 0
	}
	p.block = ""
	_ = p.redraw(nil) // as above
}

func (p *liveView) draw(w *bytes.Buffer) {
	width := p.width()
	p.shown = 0
	for line := range strings.Lines(p.block) {
		line = strings.TrimRight(line, "\r\n")
		if r := []rune(line); len(r) >= width { // a wrapped line could not be erased
			line = string(r[:width-1])
		}
		w.WriteString(line + "\n")
		p.shown++
	}
}

// render describes the open run, or the one that was shown and is now delivered.
func (p *liveView) render(s inspect.Status) string {
	var b strings.Builder
	if len(s.Runs) == 0 {
		if p.run != 0 && s.Last != nil && s.Last.ID == p.run && !s.Last.Done.IsZero() {
			p.done = true
			n := s.Last.Counters["deliver.messages"]
			return p.line("delivered", 1, 1, fmt.Sprintf("%d messages in %s", n, clock(s.Last.Done.Sub(s.Last.Created)))) + "\n"
		}
		for _, st := range s.Stages {
			if st.NotReady != "" {
				say(&b, "%s: %s\n", st.Name, clip(st.NotReady, 200))
			}
		}
		return b.String()
	}
	r := s.Runs[0]
	if r.ID != p.run {
		p.run, p.total, p.pace = r.ID, 0, pace{}
	}
	p.done = false
	for _, d := range r.Datasets {
		say(&b, "%-9s %s\n", d.Dataset, datasetProgress(d))
	}
	for _, part := range slices.Sorted(maps.Keys(s.NotReady)) {
		say(&b, "%s: %s\n", part, clip(s.NotReady[part], 200))
	}
	b.WriteString(p.barOf(r, s.Spool.Messages) + "\n")
	return b.String()
}

func datasetProgress(d inspect.DatasetRun) string {
	text := fmt.Sprintf("%d listed, ", d.Listed)
	if d.Dataset == "iocs" { // the number of pages is unknown
		text = ""
	}
	text += fmt.Sprintf("%d fetched, %d records mapped", d.Fetched, d.Mapped)
	if d.Parked+d.Dead > 0 {
		text += fmt.Sprintf(", %d failed", d.Parked+d.Dead)
	}
	if d.Status != "open" && d.Status != "listed" && d.Status != "ok" {
		text += ", " + d.Status
	}
	return text
}

// barOf returns the progress bar: of requests while any are pending, then of
// messages.
func (p *liveView) barOf(r inspect.Run, pending int64) string {
	p.total = max(p.total, r.Counters["deliver.messages"]+pending)
	done, total, phase, unit := p.total-pending, p.total, "delivered", "messages"
	if r.Fetched.IsZero() {
		done, phase, unit = r.Counters["fetch.items"]+r.Counters["fetch.pages"]+r.Counters["fetch.lists"], "fetched", "requests"
		total = done
		for _, d := range r.Datasets {
			total += int64(d.Open)
		}
	}
	text := fmt.Sprintf("%d/%d %s", done, total, unit)
	if rate, ok := p.pace.rate(phase, done, p.now()); ok {
		text += fmt.Sprintf(", %s/s", short(rate))
		if left := time.Duration(float64(total-done) / rate * float64(time.Second)); total > done {
			text += fmt.Sprintf(", about %s left", clock(left))
		}
	}
	return p.line(phase, done, total, text)
}

// line renders a bar as wide as the text leaves room for.
func (p *liveView) line(phase string, done, total int64, text string) string {
	const widest, least = 30, 10
	percent := 100
	if total > 0 {
		percent = int(done * 100 / total)
	}
	head := fmt.Sprintf("%s %3d%%", phase, percent)
	room := min(widest, p.width()-len(head)-len(text)-len("  []  ")-1)
	if room < least {
		return head + " " + text
	}
	filled := room
	if done < total {
		filled = room * percent / 100
	}
	bar := strings.Repeat("=", filled)
	if filled < room {
		bar += ">" + strings.Repeat(" ", room-filled-1)
	}
	return head + " [" + bar + "] " + text
}

// pace measures the speed of a phase since it was first seen.
type pace struct {
	phase string
	first int64
	since time.Time
}

// rate returns the speed per second, and false while it is still unknown.
func (p *pace) rate(phase string, done int64, now time.Time) (float64, bool) {
	const settle = 2 * time.Second
	if phase != p.phase {
		*p = pace{phase, done, now}
	}
	took := now.Sub(p.since)
	if took < settle || done <= p.first {
		return 0, false
	}
	return float64(done-p.first) / took.Seconds(), true
}

// short formats a rate with the digits that matter.
func short(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}

// clock formats a duration in whole seconds.
func clock(d time.Duration) string { return max(d, 0).Round(time.Second).String() }
