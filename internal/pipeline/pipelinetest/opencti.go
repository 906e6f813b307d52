package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
)

var errAnswerLost = errors.New("answer lost")

// Profile is how one generation of OpenCTI behaves.
type Profile struct {
	Name      string
	Stamp     bool // reports the time of a reset
	Affected  bool // drops messages of dead works, ends works too early
	multipart bool
	exact     bool // completes at processed == expected, not beyond
	splits    bool // splits pushed bundles itself, and announces the parts
}

// Profiles returns the generations that differ for us.
func Profiles() []Profile {
	return []Profile{
		{Name: "before the reset time", exact: true},
		{Name: "6.7.5", Stamp: true, exact: true},
		{Name: "6.8.10", Stamp: true, Affected: true, exact: true},
		{Name: "7.260501", Stamp: true, Affected: true, multipart: true},
		{Name: "newest", Stamp: true, multipart: true, splits: true},
	}
}

func Newest() Profile { return Profiles()[4] }

// Work is a work on the fake platform.
type Work struct {
	opencti.Work
	multipart bool
	Deleted   bool
	Alive     bool // the counters exist: messages are accepted
	InError   bool
	Message   string
	Reports   []string
	seen      map[string]int      // messages published under it, by bundle and number; pushed ones by object
	alone     int64               // bundles of a single object pushed under it
	errors    []opencti.WorkError // what workers refused
}

// OpenCTI is a scripted platform with the state machine of the real one.
type OpenCTI struct {
	Profile
	Mu        sync.Mutex
	known     bool
	State     string
	pending   bool // a reset takes effect with the next ping
	resetAt   time.Time
	updated   time.Time
	before    time.Time // time of the previous change
	Lagging   int       // how many of the next reads of the entry return it as before its last change
	echo      []string  // answered instead of the state, once each
	info      opencti.ConnectorInfo
	works     []*Work
	Calls     []string
	Lost      map[string]int           // answers of a call to lose after carrying it out
	refuse    map[string]error         // calls that fail without being carried out
	Slow      map[string]time.Duration // how long a call takes
	Late      map[string]time.Duration // the next call times out, and is carried out this much later
	QueueNow  func() opencti.QueueSize
	step      func() error    // the kill switch
	Has       map[string]bool // objects that came from elsewhere
	NoModules bool            // the user may not read works and queues
	delay     func()          // how long a call takes
	wrong     func(format string, args ...any)
	user      string
	onPurge   func()
	onPush    func(messages []delivery.Envelope, ids []string)
	API       API
}

func newOpenCTI(p Profile, wrong func(string, ...any)) *OpenCTI {
	return &OpenCTI{
		Profile: p, Lost: map[string]int{}, refuse: map[string]error{}, Late: map[string]time.Duration{}, Slow: map[string]time.Duration{}, wrong: wrong, user: "user-1",
		QueueNow: func() opencti.QueueSize { return opencti.QueueSize{} }, step: func() error { return nil }, delay: func() {}, onPurge: func() {},
	}
}

// call runs one request: it is refused, carried out with its answer lost, or
// succeeds.
func (f *OpenCTI) call(ctx context.Context, name string, do func() error) error {
	defer pipeline.Waiting(ctx)() // as the client does
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

// do lets a test read or change the platform while others use it.
func (f *OpenCTI) do(look func()) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	look()
}

// wait takes as long as a call takes.
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
			Version: f.Name, Affected: f.Affected, SplitsPushed: f.splits,
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
			f.before, f.updated = f.updated, time.Now()
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

// PressReset presses the reset button of the user interface.
func (f *OpenCTI) PressReset() {
	f.Mu.Lock()
	f.State, f.pending, f.resetAt = "", true, time.Now()
	if f.Stamp { // such platforms record it in the entry
		f.updated = f.resetAt
	}
	f.Mu.Unlock()
	f.onPurge()
}

// DeleteConnector presses the delete button.
func (f *OpenCTI) DeleteConnector() {
	f.Mu.Lock()
	f.known, f.State = false, ""
	for _, w := range f.works {
		w.Deleted, w.Alive = true, false
	}
	f.Mu.Unlock()
	f.onPurge()
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
		if f.Lagging > 0 {
			f.Lagging--
			s.Updated = f.before
		}
		return nil
	})
	return s, err
}
