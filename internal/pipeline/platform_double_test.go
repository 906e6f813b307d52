package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
)

var errAnswerLost = errors.New("answer lost")

// profile is how one generation of OpenCTI behaves.
type profile struct {
	name      string
	stamp     bool // tells the time of a reset
	affected  bool // drops messages of dead works, ends works too early
	multipart bool
	exact     bool // completes at processed == expected, not beyond
}

// The generations that differ for us.
func profiles() []profile {
	return []profile{
		{name: "before the reset time", exact: true},
		{name: "6.7.5", stamp: true, exact: true},
		{name: "6.8.10", stamp: true, affected: true, exact: true},
		{name: "7.260501", stamp: true, affected: true, multipart: true},
		{name: "newest", stamp: true, multipart: true},
	}
}

func newest() profile { return profiles()[4] }

// fakeWork is a work on the fake platform.
type fakeWork struct {
	opencti.Work
	multipart bool
	deleted   bool
	key       bool // the figures exist: messages are taken
	inError   bool
	message   string
	reports   []string
	seen      map[string]int // messages published under it, by bundle and number
}

// fakeOpenCTI is a scripted platform with the state machine of the real one.
type fakeOpenCTI struct {
	profile
	mu      sync.Mutex
	known   bool
	state   string
	pending bool // a reset waits for the next ping
	resetAt time.Time
	echo    []string // answered instead of the state, once each
	info    opencti.ConnectorInfo
	works   []*fakeWork
	calls   []string
	lost    map[string]int           // answers of a call to lose after carrying it out
	refuse  map[string]error         // calls to fail before
	late    map[string]time.Duration // the next call is given up, and carried out so much later
	queue   func() opencti.QueueSize
	step    func() error // the kill switch
	delay   func()       // how long a call takes
	wrong   func(format string, args ...any)
	user    string
	onPurge func()
}

func newFakeOpenCTI(p profile, wrong func(string, ...any)) *fakeOpenCTI {
	return &fakeOpenCTI{
		profile: p, lost: map[string]int{}, refuse: map[string]error{}, late: map[string]time.Duration{}, wrong: wrong, user: "user-1",
		queue: func() opencti.QueueSize { return opencti.QueueSize{} }, step: func() error { return nil }, delay: func() {}, onPurge: func() {},
	}
}

// call runs one request: refused, or carried out with its answer lost, or well.
func (f *fakeOpenCTI) call(ctx context.Context, name string, do func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := f.step(); err != nil {
		return err
	}
	f.wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	if err := f.refuse[name]; err != nil {
		return err
	}
	if d := f.late[name]; d > 0 {
		delete(f.late, name)
		time.AfterFunc(d, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			_ = do()
		})
		return fmt.Errorf("%s: %w", name, errAnswerLost)
	}
	err := do()
	if f.lost[name] > 0 {
		f.lost[name]--
		return fmt.Errorf("%s: %w", name, errAnswerLost)
	}
	if err == nil {
		return f.step()
	}
	return err
}

// do lets a test look at the platform, or change it, while others use it.
func (f *fakeOpenCTI) do(look func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	look()
}

// wait is how long a call takes.
func (f *fakeOpenCTI) wait() {
	f.mu.Lock()
	delay := f.delay
	f.mu.Unlock()
	delay()
}

func (f *fakeOpenCTI) answer() opencti.Echo {
	e := opencti.Echo{State: f.state}
	if f.stamp {
		e.Reset = f.resetAt
	}
	if len(f.echo) > 0 {
		e.State, f.echo = f.echo[0], f.echo[1:]
	}
	return e
}

func (f *fakeOpenCTI) Register(ctx context.Context) (opencti.Registration, error) {
	var reg opencti.Registration
	err := f.call(ctx, "register", func() error {
		if !f.known {
			f.known, f.state, f.pending, f.resetAt = true, "", false, time.Now()
		}
		reg = opencti.Registration{
			Echo: f.answer(), Applicant: f.user, Exchange: "x", RoutingKey: "k", Queue: "q",
			Version: f.name, Affected: f.affected, Multipart: f.multipart,
		}
		return nil
	})
	return reg, err
}

func (f *fakeOpenCTI) Ping(ctx context.Context, state string, info opencti.ConnectorInfo) (opencti.Echo, error) {
	var e opencti.Echo
	err := f.call(ctx, "ping", func() error {
		if !f.known {
			return fmt.Errorf("%w: no connector found", opencti.ErrUnknownConnector)
		}
		f.info = info
		if f.pending {
			f.pending = false
		} else {
			f.state = state
		}
		e = f.answer()
		return nil
	})
	return e, err
}

func (f *fakeOpenCTI) Queue(ctx context.Context) (opencti.QueueSize, error) {
	var q opencti.QueueSize
	err := f.call(ctx, "queue", func() error { q = f.queue(); return nil })
	return q, err
}

// pressReset is the button of the user interface.
func (f *fakeOpenCTI) pressReset() {
	f.mu.Lock()
	f.state, f.pending, f.resetAt = "", true, time.Now()
	f.mu.Unlock()
	f.onPurge()
}

// deleteConnector is the other button.
func (f *fakeOpenCTI) deleteConnector() {
	f.mu.Lock()
	f.known, f.state = false, ""
	for _, w := range f.works {
		w.deleted, w.key = true, false
	}
	f.mu.Unlock()
	f.onPurge()
}

func (f *fakeOpenCTI) find(id string) *fakeWork {
	for _, w := range f.works {
		if w.ID == id && !w.deleted {
			return w
		}
	}
	return nil
}

func (f *fakeOpenCTI) AddWork(ctx context.Context, name string, multipart *bool) (string, error) {
	id := ""
	err := f.call(ctx, "add", func() error {
		if !f.known {
			return opencti.ErrUnknownConnector
		}
		switch {
		case !f.multipart && multipart != nil, f.multipart && (multipart == nil || *multipart == f.affected):
			f.wrong("work added with multipart %v on %s", multipart, f.name)
		}
		for _, w := range f.works {
			if !w.deleted && !w.Closed && !w.Complete && w.Name != name && len(w.seen) > 0 && !w.left(f) {
				f.wrong("work %q opened while %q is open", name, w.Name)
			}
		}
		id = fmt.Sprintf("work_%d", len(f.works)+1)
		f.works = append(f.works, &fakeWork{
			Work: opencti.Work{ID: id, Name: name, Opened: time.Now()}, key: true,
			multipart: multipart != nil && *multipart, seen: map[string]int{},
		})
		return nil
	})
	return id, err
}

// left reports a work that is rightly not told processed: an affected platform
// and a message that came twice.
func (w *fakeWork) left(f *fakeOpenCTI) bool { return f.affected }

func (f *fakeOpenCTI) Work(ctx context.Context, id string) (opencti.Work, error) {
	var info opencti.Work
	err := f.call(ctx, "work", func() error {
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		info = w.Work
		return nil
	})
	return info, err
}

func (f *fakeOpenCTI) WorksByName(ctx context.Context, suffix string) ([]opencti.Work, error) {
	var found []opencti.Work
	err := f.call(ctx, "search", func() error {
		for _, w := range f.works {
			if !w.deleted && !w.Complete && strings.HasSuffix(w.Name, suffix) {
				found = append(found, w.Work)
			}
		}
		return nil
	})
	return found, err
}

func (f *fakeOpenCTI) WorkAlive(ctx context.Context, id string) (bool, error) {
	alive := false
	err := f.call(ctx, "alive", func() error {
		w := f.find(id)
		alive = w != nil && w.key
		return nil
	})
	return alive, err
}

func (f *fakeOpenCTI) AddExpectations(ctx context.Context, id string, n int64) error {
	return f.call(ctx, "expect", func() error {
		if w := f.find(id); w != nil {
			w.Expected += n
		}
		return nil
	})
}

// report is what workers do for each message, and we for one that never comes.
func (f *fakeOpenCTI) report(w *fakeWork) {
	w.Processed++
	done := w.Processed == w.Expected
	if !f.exact {
		done = w.Processed >= w.Expected && (!w.multipart || w.Closed)
	}
	w.Complete = w.Complete || done
}

func (f *fakeOpenCTI) ReportExpectation(ctx context.Context, id, reason, source string) error {
	return f.call(ctx, "report", func() error {
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		w.reports = append(w.reports, reason+": "+source)
		f.report(w)
		return nil
	})
}

func (f *fakeOpenCTI) Processed(ctx context.Context, id, message string, inError bool) error {
	return f.call(ctx, "processed", func() error {
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		w.Closed, w.message, w.inError = true, message, inError
		switch {
		case w.Expected == 0:
			w.Complete = true
		case f.exact && w.Processed == w.Expected, !f.exact && w.Processed >= w.Expected:
			w.Complete = true
			if f.affected {
				w.key = false // what is still queued will be dropped
			}
		}
		return nil
	})
}

func (f *fakeOpenCTI) DeleteWork(ctx context.Context, id string) error {
	return f.call(ctx, "delete", func() error {
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		w.deleted, w.key = true, false
		return nil
	})
}

// deleteWorks is what a user can do.
func (f *fakeOpenCTI) deleteWorks() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.works {
		w.deleted, w.key = true, false
	}
}

// arrived checks and counts a message that reached the queue.
func (f *fakeOpenCTI) arrived(e delivery.Envelope) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var w *fakeWork
	for _, x := range f.works {
		if x.ID == e.WorkID {
			w = x
		}
	}
	if w == nil {
		f.wrong("message under the unknown work %q", e.WorkID)
		return
	}
	w.seen[fmt.Sprintf("%s/%d", e.BundleID, e.Sequence)]++
	if w.deleted {
		return // deleted by somebody a moment ago
	}
	if w.Closed {
		f.wrong("message %d under the processed work %q", e.Sequence, w.Name)
	}
	if int64(len(w.seen)) > w.Expected-int64(len(w.reports)) {
		f.wrong("message %d of work %q before its expectation: %d expected", e.Sequence, w.Name, w.Expected)
	}
}

// work processes a message as a worker would; it reports whether it was imported.
func (f *fakeOpenCTI) work(e delivery.Envelope) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.find(e.WorkID)
	if w == nil || !w.key {
		return false
	}
	f.report(w)
	return true
}

func (f *fakeOpenCTI) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == name {
			n++
		}
	}
	return n
}
