package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"threatmatch-connector/internal/fault"
)

// Part is one part of the pipeline. Run blocks until ctx is done or the part
// cannot go on; when it returns, no goroutine of the part is alive.
type Part interface {
	Run(ctx context.Context) error
}

// Parts are the loops, in the order of the data flow. Any may be nil.
type Parts struct {
	Platform Part // registration, ping, state
	Schedule Part // starts runs; in once mode it returns nil when its run is done
	Fetch    Part
	Map      Part
	Deliver  Part
	Verdicts Part                        // reads back what OpenCTI refused
	Keep     Part                        // housekeeping
	Recover  func(context.Context) error // runs before fetch and deliver start
	Flush    func(context.Context) error // pushes the state before exit
	Stopping func()                      // called when a stop begins, before any part is stopped
}

// Supervisor runs the parts and stops them in the order of the data flow.
type Supervisor struct {
	parts Parts
	drain time.Duration
	log   *slog.Logger
}

// ErrUndrained means that the time to stop ran out before all parts ended. They
// were told to stop, and may still be using the spool.
var ErrUndrained = errors.New("stopped without draining")

// NewSupervisor returns a supervisor. drain bounds the whole stop; zero means 8 s.
func NewSupervisor(p Parts, drain time.Duration, log *slog.Logger) *Supervisor {
	if drain <= 0 {
		drain = 8 * time.Second
	}
	return &Supervisor{parts: p, drain: drain, log: log}
}

// part is a started loop.
type part struct {
	name string
	stop context.CancelCauseFunc
	done chan struct{}
	err  error // valid once done is closed
}

// Run starts the parts and blocks until ctx is done, a part fails, or the schedule
// has nothing more to do. Then it stops them in order, within the drain timeout;
// closing hurry ends the stop at once. It returns the first failure, joined with
// ErrUndrained if parts may still be running, or nil after a clean stop.
func (s *Supervisor) Run(ctx context.Context, hurry <-chan struct{}) error {
	root, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(fault.ErrShutdown)
	ended := make(chan *part, 7)
	start := func(name string, l Part) *part {
		if l == nil {
			return nil
		}
		pctx, stop := context.WithCancelCause(root)
		p := &part{name: name, stop: stop, done: make(chan struct{})}
		go func() {
			p.err = l.Run(pctx)
			close(p.done)
			ended <- p
		}()
		return p
	}
	platform := start("platform", s.parts.Platform)
	if err := s.recover(ctx); err != nil {
		s.stopping()
		return errors.Join(err, s.stopAll(hurry, platform))
	}
	started := []*part{
		start("schedule", s.parts.Schedule), start("fetch", s.parts.Fetch),
		start("map", s.parts.Map), start("deliver", s.parts.Deliver),
		start("verdicts", s.parts.Verdicts), start("housekeep", s.parts.Keep), platform,
	}
	err := s.wait(ctx, ended)
	s.stopping()
	return errors.Join(err, s.stopAll(hurry, started...))
}

func (s *Supervisor) stopping() {
	if s.parts.Stopping != nil {
		s.parts.Stopping()
	}
}

func (s *Supervisor) recover(ctx context.Context) error {
	if s.parts.Recover == nil {
		return nil
	}
	if err := s.parts.Recover(ctx); err != nil {
		return fmt.Errorf("recover map: %w", err)
	}
	return nil
}

// wait blocks until it is time to stop and returns the error of the part that
// failed, if any.
func (s *Supervisor) wait(ctx context.Context, ended <-chan *part) error {
	select {
	case <-ctx.Done():
		return nil
	case p := <-ended:
		if p.name == "schedule" && p.err == nil {
			return nil
		}
		if p.err == nil {
			return fmt.Errorf("%s ended by itself", p.name)
		}
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
}

// stopAll stops the parts one after the other and the platform loop last, after the
// state was pushed. All of that shares the drain timeout: parts should end by 5/8
// of it; after 6/8 none waits for another; the state must be pushed by 7/8; the
// last eighth only waits for the ends. Errors while stopping are only logged: the
// spool holds the rest.
func (s *Supervisor) stopAll(hurry <-chan struct{}, parts ...*part) error {
	eighth, now := s.drain/8, time.Now()
	over, giveUp := context.WithDeadline(context.Background(), now.Add(8*eighth))
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-hurry:
			giveUp()
		case <-over.Done():
		}
	})
	defer watch.Wait()
	defer giveUp()
	parts = slices.DeleteFunc(parts, func(p *part) bool { return p == nil })
	work, by := parts, now.Add(5*eighth)
	var platform *part
	if n := len(parts); n > 0 && parts[n-1].name == "platform" {
		work, platform = parts[:n-1], parts[n-1]
	}
	s.stopWork(over, by, now.Add(6*eighth), work)
	if platform != nil {
		s.flush(over, now.Add(7*eighth), platform)
		platform.stop(fault.ShutdownBy(by))
	}
	for _, p := range parts {
		select {
		case <-p.done:
		case <-over.Done():
			s.log.Warn("stopped without draining", "part", p.name)
			return ErrUndrained
		}
		if p.err != nil && !fault.Is(p.err, fault.Shutdown) {
			s.log.Warn("trouble while stopping", "part", p.name, "error", p.err)
		}
	}
	return nil
}

// stopWork stops each part once those before it have ended, and tells it when it
// should be done. After last it stops all remaining parts at once.
func (s *Supervisor) stopWork(over context.Context, by, last time.Time, parts []*part) {
	cut := time.NewTimer(time.Until(last))
	defer cut.Stop()
	for i, p := range parts {
		p.stop(fault.ShutdownBy(by))
		select {
		case <-p.done:
			continue
		case <-over.Done():
		case <-cut.C:
			s.log.Warn("drain timeout passed", "part", p.name)
		}
		for _, p := range parts[i+1:] {
			p.stop(fault.ShutdownBy(by))
		}
		return
	}
}

// flush pushes the state while the platform loop still runs. If it fails, the next
// start pushes it.
func (s *Supervisor) flush(over context.Context, by time.Time, platform *part) {
	if s.parts.Flush == nil || over.Err() != nil {
		return
	}
	ctx, cancel := context.WithDeadline(over, by)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.parts.Flush(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			s.log.Warn("the state could not be pushed; the next start does", "error", err)
		}
	case <-platform.done:
		cancel()
		<-done
	}
}
