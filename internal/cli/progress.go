package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"threatmatch-connector/internal/admin"
)

// liveView keeps a few lines at the bottom of a terminal: what is listed,
// fetched, mapped and delivered, how fast, and how long it may take. The log is
// written through it and scrolls above.
type liveView struct {
	out   io.Writer
	width func() int

	mu    sync.Mutex
	shown int    // lines that stand on the terminal
	block string // what they are
	bar   *progressbar.ProgressBar
	phase string
	total int64 // of messages, as far as known
}

func newLiveView(out io.Writer, width func() int) *liveView {
	return &liveView{out: out, width: width}
}

// terminalWidth asks the terminal, in doubt 80.
func terminalWidth(fd uintptr) func() int {
	return func() int {
		if w, _, err := term.GetSize(int(fd)); err == nil && w > 20 {
			return w
		}
		return 80
	}
}

// Write puts log lines above the block.
func (p *liveView) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var page bytes.Buffer
	p.erase(&page)
	page.Write(b)
	p.draw(&page)
	if _, err := p.out.Write(page.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// watch redraws the block until ctx is done, then takes it away.
func (p *liveView) watch(ctx context.Context, status func() (admin.Status, error)) {
	const every = 500 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if s, err := status(); err == nil {
			p.show(s)
		}
		select {
		case <-ctx.Done():
			p.clear()
			return
		case <-tick.C:
		}
	}
}

// show draws a status in place of the one before.
func (p *liveView) show(s admin.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.block = p.render(s)
	var page bytes.Buffer
	p.erase(&page)
	p.draw(&page)
	_, _ = p.out.Write(page.Bytes()) // a terminal that is gone needs no progress
}

func (p *liveView) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var page bytes.Buffer
	p.block = ""
	p.erase(&page)
	_, _ = p.out.Write(page.Bytes()) // as above
}

// erase goes back to where the block begins and clears from there.
func (p *liveView) erase(w *bytes.Buffer) {
	if p.shown > 0 {
		fmt.Fprintf(w, "\x1b[%dA\r\x1b[J", p.shown)
	}
	p.shown = 0
}

func (p *liveView) draw(w *bytes.Buffer) {
	width := p.width()
	for line := range strings.Lines(p.block) {
		line = strings.TrimRight(line, "\r\n")
		if r := []rune(line); len(r) >= width { // a wrapped line could not be erased
			line = string(r[:width-1])
		}
		w.WriteString(line + "\n")
		p.shown++
	}
}

// render describes the open run.
func (p *liveView) render(s admin.Status) string {
	var b strings.Builder
	if len(s.Runs) == 0 {
		for _, st := range s.Stages {
			if st.NotReady != "" {
				fmt.Fprintf(&b, "%s: %s\n", st.Name, clip(st.NotReady, 200))
			}
		}
		return b.String()
	}
	r := s.Runs[0]
	for _, d := range r.Datasets {
		fmt.Fprintf(&b, "%-9s %s\n", d.Dataset, p.dataset(d))
	}
	for part, why := range s.NotReady {
		fmt.Fprintf(&b, "%s: %s\n", part, clip(why, 200))
	}
	b.WriteString(p.barOf(r, s.Spool.Messages) + "\n")
	return b.String()
}

func (p *liveView) dataset(d admin.DatasetRun) string {
	text := fmt.Sprintf("%d listed, ", d.Listed)
	if d.Dataset == "iocs" { // pages, whose number nobody tells
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

// barOf is the bar: of requests while there are any to make, then of messages.
func (p *liveView) barOf(r admin.Run, pending int64) string {
	p.total = max(p.total, r.Counters["deliver.messages"]+pending)
	done, total, phase, unit := p.total-pending, p.total, "delivered", "messages"
	if r.Fetched.IsZero() {
		done, phase, unit = r.Counters["fetch.items"]+r.Counters["fetch.pages"]+r.Counters["fetch.lists"], "fetched", "requests"
		total = done
		for _, d := range r.Datasets {
			total += int64(d.Open)
		}
	}
	if phase != p.phase {
		p.phase = phase
		p.bar = progressbar.NewOptions64(max(total, 1),
			progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString(unit), progressbar.OptionSetPredictTime(true), progressbar.OptionSetDescription(phase),
			progressbar.OptionSetTheme(progressbar.ThemeASCII))
	}
	p.bar.ChangeMax64(max(total, 1))
	_ = p.bar.Set64(min(done, max(total, 1))) // the writer takes everything
	return strings.TrimSpace(strings.ReplaceAll(p.bar.String(), "\r", ""))
}
