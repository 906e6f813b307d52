package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"threatmatch-connector/internal/fault"
)

// Loop is one part of the pipeline. Run blocks until ctx is done or the part
// cannot go on; when it returns, no goroutine of the part is alive.
type Loop interface {
	Run(ctx context.Context) error
}

// Parts are the loops in the way of the data. Any may be nil.
type Parts struct {
	Platform Loop // registration, ping, state
	Schedule Loop // starts runs; returns nil in once mode when its run is done
	Fetch    Loop
	Map      Loop
	Deliver  Loop
	Keep     Loop                        // housekeeping
	Recover  func(context.Context) error // run before fetch and deliver start
	Flush    func(context.Context) error // pushes the state before the end
}

// Supervisor runs the parts and stops them in the way of the data.
type Supervisor struct {
	parts Parts
	drain time.Duration
	log   *slog.Logger
}

// NewSupervisor returns a supervisor. drain bounds an ordered stop; zero means 8 s.
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

// Run starts the parts and blocks until ctx is done, a part fails, or the
// schedule has nothing more to do; then it stops them in order. A closed hurry
// ends the drain at once. The error is the first failure; nil after an ordered stop.
func (s *Supervisor) Run(ctx context.Context, hurry <-chan struct{}) error {
	root, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(fault.ErrShutdown)
	ended := make(chan *part, 6)
	start := func(name string, l Loop) *part {
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
		s.stopAll(hurry, cancel, platform)
		return err
	}
	started := []*part{
		start("schedule", s.parts.Schedule), start("fetch", s.parts.Fetch),
		start("map", s.parts.Map), start("deliver", s.parts.Deliver), start("housekeep", s.parts.Keep), platform,
	}
	err := s.wait(ctx, ended)
	s.stopAll(hurry, cancel, started...)
	return err
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

// wait returns when it is time to stop, with the error of the part that failed.
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

// stopAll stops the parts one after the other, the platform loop last, after
// the state was pushed. What is not done within the drain timeout is cancelled.
// Trouble while stopping is only worth a line: the spool holds the rest.
func (s *Supervisor) stopAll(hurry <-chan struct{}, cancel context.CancelCauseFunc, parts ...*part) {
	deadline := time.NewTimer(s.drain)
	defer deadline.Stop()
	for _, p := range parts {
		if p == nil {
			continue
		}
		if p.name == "platform" {
			s.flush(hurry, p)
		}
		p.stop(fault.ErrShutdown)
		if !s.await(p, hurry, deadline.C, cancel) {
			s.log.Warn("stopped without draining")
			return
		}
		if p.err != nil && !fault.Is(p.err, fault.Shutdown) {
			s.log.Warn("trouble while stopping", "part", p.name, "error", p.err)
		}
	}
}

// await waits for the part's end; it reports false when there is no time for that.
func (s *Supervisor) await(p *part, hurry <-chan struct{}, deadline <-chan time.Time, cancel context.CancelCauseFunc) bool {
	for {
		select {
		case <-p.done:
			return true
		case <-hurry:
			return false
		case <-deadline:
			s.log.Warn("drain timeout passed", "part", p.name)
			cancel(fault.ErrShutdown)
		}
	}
}

// flush pushes the state while the platform loop is still there; if it fails, the next start does it.
func (s *Supervisor) flush(hurry <-chan struct{}, platform *part) {
	if s.parts.Flush == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.parts.Flush(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			s.log.Warn("the state could not be pushed; the next start does", "error", err)
		}
		return
	case <-hurry:
	case <-platform.done:
	}
	cancel()
	<-done
}
