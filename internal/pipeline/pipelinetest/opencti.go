package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
)

var errAnswerLost = errors.New("answer lost")

// Profile is how one generation of OpenCTI behaves.
type Profile struct {
	Name      string
	Stamp     bool // tells the time of a reset
	Affected  bool // drops messages of dead works, ends works too early
	multipart bool
	exact     bool // completes at processed == expected, not beyond
}

// The generations that differ for us.
func Profiles() []Profile {
	return []Profile{
		{Name: "before the reset time", exact: true},
		{Name: "6.7.5", Stamp: true, exact: true},
		{Name: "6.8.10", Stamp: true, Affected: true, exact: true},
		{Name: "7.260501", Stamp: true, Affected: true, multipart: true},
		{Name: "newest", Stamp: true, multipart: true},
	}
}

func Newest() Profile { return Profiles()[4] }

// Work is a work on the fake platform.
type Work struct {
	opencti.Work
	multipart bool
	Deleted   bool
	Alive     bool // the figures exist: messages are taken
	InError   bool
	Message   string
	Reports   []string
	seen      map[string]int // messages published under it, by bundle and number
}

// OpenCTI is a scripted platform with the state machine of the real one.
type OpenCTI struct {
	Profile
	Mu        sync.Mutex
	known     bool
	State     string
	pending   bool // a reset waits for the next ping
	resetAt   time.Time
	updated   time.Time
	echo      []string // answered instead of the state, once each
	info      opencti.ConnectorInfo
	works     []*Work
	Calls     []string
	Lost      map[string]int           // answers of a call to lose after carrying it out
	refuse    map[string]error         // Calls to fail before
	Slow      map[string]time.Duration // how long a call takes
	Late      map[string]time.Duration // the next call is given up, and carried out so much later
	QueueNow  func() opencti.QueueSize
	step      func() error    // the kill switch
	Has       map[string]bool // objects that came from elsewhere
	NoModules bool            // the user may not read works and queues
	delay     func()          // how long a call takes
	wrong     func(format string, args ...any)
	user      string
	onPurge   func()
}

func newOpenCTI(p Profile, wrong func(string, ...any)) *OpenCTI {
	return &OpenCTI{
		Profile: p, Lost: map[string]int{}, refuse: map[string]error{}, Late: map[string]time.Duration{}, Slow: map[string]time.Duration{}, wrong: wrong, user: "user-1",
		QueueNow: func() opencti.QueueSize { return opencti.QueueSize{} }, step: func() error { return nil }, delay: func() {}, onPurge: func() {},
	}
}

// call runs one request: refused, or carried out with its answer lost, or well.
func (f *OpenCTI) call(ctx context.Context, name string, do func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := f.step(); err != nil {
		return err
	}
	f.wait()
	if err := f.carryOut(name, do); err != nil {
		return err
	}
	return f.step()
}

func (f *OpenCTI) carryOut(name string, do func() error) error {
	f.Mu.Lock()
	held := f.Slow[name]
	f.Mu.Unlock()
	time.Sleep(held)
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.Calls = append(f.Calls, name)
	if err := f.refuse[name]; err != nil {
		return err
	}
	if d := f.Late[name]; d > 0 {
		delete(f.Late, name)
		time.AfterFunc(d, func() {
			f.Mu.Lock()
			defer f.Mu.Unlock()
			_ = do()
		})
		return fmt.Errorf("%s: %w", name, errAnswerLost)
	}
	err := do()
	if f.Lost[name] > 0 {
		f.Lost[name]--
		return fmt.Errorf("%s: %w", name, errAnswerLost)
	}
	return err
}

// do lets a test look at the platform, or change it, while others use it.
func (f *OpenCTI) do(look func()) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	look()
}

// wait is how long a call takes.
func (f *OpenCTI) wait() {
	f.Mu.Lock()
	delay := f.delay
	f.Mu.Unlock()
	delay()
}

func (f *OpenCTI) answer() opencti.Echo {
	e := opencti.Echo{State: f.State}
	if f.Stamp {
		e.Reset = f.resetAt
	}
	if len(f.echo) > 0 {
		e.State, f.echo = f.echo[0], f.echo[1:]
	}
	return e
}

func (f *OpenCTI) Register(ctx context.Context) (opencti.Registration, error) {
	var reg opencti.Registration
	err := f.call(ctx, "register", func() error {
		if !f.known {
			f.known, f.State, f.pending, f.resetAt = true, "", false, time.Now()
		}
		f.updated = time.Now()
		reg = opencti.Registration{
			Echo: f.answer(), Applicant: f.user, Exchange: "x", RoutingKey: "k", Queue: "q",
			Version: f.Name, Affected: f.Affected, Multipart: f.multipart,
		}
		return nil
	})
	return reg, err
}

func (f *OpenCTI) Ping(ctx context.Context, state string, info opencti.ConnectorInfo) (opencti.Echo, error) {
	var e opencti.Echo
	err := f.call(ctx, "ping", func() error {
		if !f.known {
			return fmt.Errorf("%w: no connector found", opencti.ErrUnknownConnector)
		}
		f.info = info
		if f.pending {
			f.pending = false
		} else {
			f.updated = time.Now()
			f.State = state
		}
		e = f.answer()
		return nil
	})
	return e, err
}

func (f *OpenCTI) Queue(ctx context.Context) (opencti.QueueSize, error) {
	var q opencti.QueueSize
	err := f.call(ctx, "queue", func() error {
		if f.NoModules {
			return fault.Mark(fault.Systemic, &opencti.Error{Status: 200, Code: "FORBIDDEN_ACCESS"})
		}
		q = f.QueueNow()
		return nil
	})
	return q, err
}

// PressReset is the button of the user interface.
func (f *OpenCTI) PressReset() {
	f.Mu.Lock()
	f.State, f.pending, f.resetAt = "", true, time.Now()
	f.Mu.Unlock()
	f.onPurge()
}

// DeleteConnector is the other button.
func (f *OpenCTI) DeleteConnector() {
	f.Mu.Lock()
	f.known, f.State = false, ""
	for _, w := range f.works {
		w.Deleted, w.Alive = true, false
	}
	f.Mu.Unlock()
	f.onPurge()
}

func (f *OpenCTI) find(id string) *Work {
	for _, w := range f.works {
		if w.ID == id && !w.Deleted {
			return w
		}
	}
	return nil
}

func (f *OpenCTI) AddWork(ctx context.Context, name string, multipart *bool) (string, error) {
	id := ""
	err := f.call(ctx, "add", func() error {
		if !f.known {
			return opencti.ErrUnknownConnector
		}
		switch {
		case !f.multipart && multipart != nil, f.multipart && (multipart == nil || *multipart == f.Affected):
			f.wrong("work added with multipart %v on %s", multipart, f.Name)
		}
		for _, w := range f.works {
			if !w.Deleted && !w.Closed && !w.Complete && w.Name != name && len(w.seen) > 0 && !w.left(f) {
				f.wrong("work %q opened while %q is open", name, w.Name)
			}
		}
		id = fmt.Sprintf("work_%d", len(f.works)+1)
		f.works = append(f.works, &Work{
			Work: opencti.Work{ID: id, Name: name, Opened: time.Now()}, Alive: true,
			multipart: multipart != nil && *multipart, seen: map[string]int{},
		})
		return nil
	})
	return id, err
}

// left reports a work that is rightly not told processed: an affected platform
// and a message that came twice.
func (w *Work) left(f *OpenCTI) bool { return f.Affected }

func (f *OpenCTI) Work(ctx context.Context, id string) (opencti.Work, error) {
	var info opencti.Work
	err := f.call(ctx, "work", func() error {
		if f.NoModules {
			info = opencti.Work{ID: id, Unread: true}
			return nil
		}
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		info = w.Work
		return nil
	})
	return info, err
}

func (f *OpenCTI) WorksByName(ctx context.Context, suffix string) ([]opencti.Work, error) {
	var found []opencti.Work
	err := f.call(ctx, "search", func() error {
		if f.NoModules {
			return nil
		}
		for _, w := range f.works {
			if !w.Deleted && !w.Complete && strings.HasSuffix(w.Name, suffix) {
				found = append(found, w.Work)
			}
		}
		return nil
	})
	return found, err
}

func (f *OpenCTI) WorkAlive(ctx context.Context, id string) (bool, error) {
	alive := false
	err := f.call(ctx, "alive", func() error {
		w := f.find(id)
		alive = f.NoModules || w != nil && w.Alive
		return nil
	})
	return alive, err
}

func (f *OpenCTI) AddExpectations(ctx context.Context, id string, n int64) error {
	return f.call(ctx, "expect", func() error {
		if w := f.find(id); w != nil {
			w.Expected += n
		}
		return nil
	})
}

// report is what workers do for each message, and we for one that never comes.
func (f *OpenCTI) report(w *Work) {
	w.Processed++
	done := w.Processed == w.Expected
	if !f.exact {
		done = w.Processed >= w.Expected && (!w.multipart || w.Closed)
	}
	w.Complete = w.Complete || done
}

func (f *OpenCTI) ReportExpectation(ctx context.Context, id, reason, source string) error {
	return f.call(ctx, "report", func() error {
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		w.Reports = append(w.Reports, reason+": "+source)
		f.report(w)
		return nil
	})
}

func (f *OpenCTI) Processed(ctx context.Context, id, message string, inError bool) error {
	return f.call(ctx, "processed", func() error {
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		w.Closed, w.Message, w.InError = true, message, inError
		switch {
		case w.Expected == 0:
			w.Complete = true
		case f.exact && w.Processed == w.Expected, !f.exact && w.Processed >= w.Expected:
			w.Complete = true
			if f.Affected {
				w.Alive = false // what is still queued will be dropped
			}
		}
		return nil
	})
}

func (f *OpenCTI) DeleteWork(ctx context.Context, id string) error {
	return f.call(ctx, "delete", func() error {
		w := f.find(id)
		if w == nil {
			return opencti.ErrWorkGone
		}
		w.Deleted, w.Alive = true, false
		return nil
	})
}

// DeleteWorks is what a user can do.
func (f *OpenCTI) DeleteWorks() {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, w := range f.works {
		w.Deleted, w.Alive = true, false
	}
}

// arrived checks and counts a message that reached the queue.
func (f *OpenCTI) arrived(e delivery.Envelope) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	var w *Work
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
	if w.Deleted {
		return // Deleted by somebody a moment ago
	}
	if w.Closed {
		f.wrong("message %d under the processed work %q", e.Sequence, w.Name)
	}
	if int64(len(w.seen)) > w.Expected-int64(len(w.Reports)) {
		f.wrong("message %d of work %q before its expectation: %d expected", e.Sequence, w.Name, w.Expected)
	}
}

// Consume processes a message as a worker would; it reports whether it was imported.
func (f *OpenCTI) Consume(e delivery.Envelope) bool {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	w := f.find(e.WorkID)
	if w == nil || !w.Alive {
		return false
	}
	f.report(w)
	return true
}

func (f *OpenCTI) Count(name string) int {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	n := 0
	for _, c := range f.Calls {
		if c == name {
			n++
		}
	}
	return n
}

// Known implements deliver.WorkClient.
func (f *OpenCTI) Known(ctx context.Context, ids []string) (map[string]string, error) {
	found := map[string]string{}
	err := f.call(ctx, "known", func() error {
		for _, id := range ids {
			if f.Has[id] {
				found[id] = "malware"
			}
		}
		return nil
	})
	return found, err
}

// Stored implements platform.Client.
func (f *OpenCTI) Stored(ctx context.Context) (s opencti.Stored, err error) {
	err = f.call(ctx, "stored", func() error {
		if f.NoModules {
			return fault.Mark(fault.Systemic, &opencti.Error{Status: 200, Code: "FORBIDDEN_ACCESS"})
		}
		s = opencti.Stored{Echo: opencti.Echo{State: f.State}, Updated: f.updated}
		if f.Stamp {
			s.Reset = f.resetAt
		}
		return nil
	})
	return s, err
}
