// Package platform runs the loop that registers the connector with OpenCTI, pings
// it, and carries out resets of its state.
package platform

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

const stageName = "platform"

// Deps are the dependencies of Platform.
type Deps struct {
	Client  Client // nil: offline, no platform at all
	Works   Works  // deletes works from before a reset; nil only when offline
	Spool   Spool
	Wakes   pipeline.Wakes
	Status  *pipeline.Status
	Log     *slog.Logger
	Metrics *Metrics
	Now     func() time.Time
	Rand    func() float64 // in [0, 1), for jitter
	// NextRun returns when the next run is due, zero when none is planned. May be
	// nil.
	NextRun func() time.Time
}

// Options are the platform loop's settings.
type Options struct {
	Datasets        []spool.Dataset // the enabled ones; they make up the state
	RunAndTerminate bool
	QueueThreshold  float64 // MB, reported only; 0: none
}

const (
	pingPeriod = 40 * time.Second
	secondLook = 5 * time.Second // between the two looks at an empty state
)

// Platform keeps the connector registered with OpenCTI, pings it, and keeps
// OpenCTI's state in step with the spool. Run is the loop; the other methods may be
// called from any goroutine.
type Platform struct {
	Deps
	opt Options

	call    chan struct{} // the lock for registering and pinging, held by one goroutine at a time
	notes   notes         // guarded by call
	seen    bool          // this process has looked at the platform's state once; guarded by call
	mute    bool          // the platform refuses to report the queue's size; guarded by call
	watch   watch         // guarded by call
	pinged  bool          // the last call that writes the entry was an answered ping; guarded by call
	foreign bool          // a state that we did not send was reported; guarded by call

	opening sync.Mutex   // held while the intention to create a work is stored, and during a reset
	resets  atomic.Int64 // resets begun so far: deliver need not wait for a refused commit

	mu         sync.Mutex
	reg        *opencti.Registration
	registered chan struct{}   // closed while reg is set
	held       map[string]bool // why messages are kept back
	queue      opencti.QueueSize
	queueAt    time.Time
}

// New returns the loop. It sends nothing yet.
func New(d Deps, o Options) (*Platform, error) {
	p := &Platform{Deps: d, opt: o, call: make(chan struct{}, 1), registered: make(chan struct{}), held: map[string]bool{}}
	meta, err := d.Spool.Meta()
	if err != nil {
		return nil, err
	}
	if len(meta.Platform) > 0 {
		if err := json.Unmarshal(meta.Platform, &p.notes); err != nil {
			d.Log.Error("the platform loop starts without its notes", "stage", stageName, "error", err)
		}
	}
	return p, nil
}

// Run registers and pings until ctx is done, which is not an error.
func (p *Platform) Run(ctx context.Context) error {
	if p.Client == nil {
		return p.runOffline(ctx)
	}
	p.Status.Set(stageName, "starting", "registering", "not registered with OpenCTI")
	back := pipeline.Backoff{Min: time.Second, Max: pingPeriod, Rand: p.Rand}
	return pipeline.Loop{Stage: stageName, Status: p.Status, Wake: p.Wakes.Platform, Step: func(ctx context.Context) (time.Duration, error) {
		err := p.step(ctx)
		switch {
		case ctx.Err() != nil:
			return 0, nil
		case err != nil:
			return p.trouble(err, &back), nil
		case back.Tries > 0 && back.Last != fault.Systemic: // the end of that is told at every level
			p.Log.Info("OpenCTI answers again", "stage", stageName)
		}
		back.Reset()
		if p.watch.told {
			p.Status.Set(stageName, "waiting", errSecondWriter.Error(), "")
		} else {
			p.Status.Set(stageName, "idle", "registered", "")
		}
		return p.restAndLook(ctx), nil
	}}.Run(ctx)
}

// restAndLook waits until OpenCTI's index has our ping, reads the entry, and
// returns how long is left until the next ping: 0 after a wake.
func (p *Platform) restAndLook(ctx context.Context) time.Duration {
	start := p.Now()
	if p.Status.Sleep(ctx, stageName, secondLook, p.Wakes.Platform) != nil || p.Now().Sub(start) < secondLook {
		return 0
	}
	p.readBase(ctx)
	return pingPeriod - secondLook
}

// runOffline starts a spool without a platform at the configured date.
func (p *Platform) runOffline(ctx context.Context) error {
	meta, err := p.Spool.Meta()
	if err != nil {
		return err
	}
	if !meta.StateKnown {
		if _, err := p.Spool.AdoptState(meta.Epoch, nil); err != nil {
			return err
		}
		p.Wakes.Schedule.Signal()
	}
	p.Status.Set(stageName, "idle", "offline", "")
	done := p.Status.Waiting(stageName)
	<-ctx.Done()
	done()
	p.Status.Set(stageName, "stopped", "", "")
	return nil
}

// step finishes a pending reset, registers if needed, and pings.
func (p *Platform) step(ctx context.Context) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	if err := p.finishReset(); err != nil {
		return err
	}
	if p.registration() == nil {
		if err := p.register(ctx); err != nil {
			return err
		}
	}
	p.findWriter(ctx)
	if err := p.ping(ctx); err != nil {
		return err
	}
	return p.deleteOld(ctx)
}

// trouble reports an error and returns how long to wait.
func (p *Platform) trouble(err error, back *pipeline.Backoff) time.Duration {
	class, after := fault.Of(err)
	p.Metrics.clientErrors.Inc()
	p.Status.Error(stageName, err)
	notReady := ""
	switch {
	case class == fault.Systemic:
		notReady = fault.Sentence(err)
	case p.registration() == nil:
		notReady = "not registered with OpenCTI: " + strings.TrimPrefix(fault.Sentence(err), "OpenCTI: ")
	case back.Tries > 0: // a single failure does not count
		notReady = fault.Sentence(err)
	}
	p.Status.Set(stageName, "retrying", fault.Words(err), notReady)
	about := []any{"stage", stageName, "class", class.String(), "error", err, "hint", fault.HintOf(err)}
	switch {
	case class == fault.Systemic && back.Last != fault.Systemic:
		p.Log.Error("OpenCTI refuses the connector", about...)
		p.Status.Told(stageName)
	case class != fault.Systemic && back.Tries == 0:
		p.Log.Warn("trouble with OpenCTI, trying again", about...)
	}
	back.Last = class
	return max(back.Next(), min(after, pingPeriod))
}

// lock acquires the right to register or ping; unlock releases it.
func (p *Platform) lock(ctx context.Context) error {
	defer pipeline.Waiting(ctx)()
	select {
	case p.call <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *Platform) unlock() { <-p.call }

// Registered returns the current registration, or false if there is none.
func (p *Platform) Registered() (opencti.Registration, bool) {
	if reg := p.registration(); reg != nil {
		return *reg, true
	}
	return opencti.Registration{}, false
}

// WhileNoReset calls f while no reset can begin. The next reset finds in the spool
// whatever f stored there.
func (p *Platform) WhileNoReset(f func() error) error {
	p.opening.Lock()
	defer p.opening.Unlock()
	return f()
}

// Resets returns how many resets were begun so far.
func (p *Platform) Resets() int64 { return p.resets.Load() }

func (p *Platform) registration() *opencti.Registration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reg
}

// Registration returns the current registration, and waits for one if there is
// none.
func (p *Platform) Registration(ctx context.Context) (opencti.Registration, error) {
	defer pipeline.Waiting(ctx)()
	for {
		p.mu.Lock()
		reg, wait := p.reg, p.registered
		p.mu.Unlock()
		if reg != nil {
			return *reg, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return opencti.Registration{}, context.Cause(ctx)
		}
	}
}

// Renew pings and registers again at once, because credentials or topology seem to
// have changed; OpenCTI declares its topology anew with both. The ping goes first:
// it reveals that the connector was deleted, which a registration would not.
func (p *Platform) Renew(ctx context.Context, reason string) error {
	if p.Client == nil {
		return nil
	}
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	if err := p.finishReset(); err != nil {
		return err
	}
	p.Log.Info("registering again", "stage", stageName, "reason", reason)
	if p.registration() != nil {
		if err := p.ping(ctx); err != nil {
			return err
		}
	}
	return p.register(ctx)
}

// Flush pushes the state before exit, while ctx allows. Without a registration it
// does nothing: the next start pushes the state.
func (p *Platform) Flush(ctx context.Context) error {
	defer p.Metrics.setState("stopped")
	if p.Client == nil || p.registration() == nil {
		return nil
	}
	if err := p.lock(ctx); err != nil {
		return err
	}
	defer p.unlock()
	if err := p.finishReset(); err != nil {
		return err
	}
	return p.ping(ctx)
}

// Offline reports whether there is no platform.
func (p *Platform) Offline() bool { return p.Client == nil }

// LastQueue returns the connector's queue size as OpenCTI last reported it, and
// false if it never did.
func (p *Platform) LastQueue() (opencti.QueueSize, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue, !p.queueAt.IsZero()
}

// QueueSize asks OpenCTI for the size of the connector's queue.
func (p *Platform) QueueSize(ctx context.Context) (opencti.QueueSize, error) {
	q, err := p.Client.Queue(ctx)
	if err != nil {
		return opencti.QueueSize{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue, p.queueAt = q, p.Now()
	p.Metrics.queueBytes.Set(float64(q.Bytes))
	return q, nil
}
