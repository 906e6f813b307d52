package pipeline

import (
	"context"
	"maps"
	"sync"
	"time"

	"threatmatch-connector/internal/fault"
)

// StageStatus is what one loop reports about itself, for status, readiness and
// logs.
type StageStatus struct {
	State     string    // "starting", "idle", "working", "retrying", "waiting", "paused", "stopped"
	Detail    string    // what it is working on or waiting for
	NotReady  string    // why it is not ready; empty when ready
	Since     time.Time // when State last changed
	LastError string
	ErrorAt   time.Time
	Beat      time.Time // the latest sign of life

	HeldSince time.Time // when NotReady was last set; kept after it is cleared
	Told      bool      // the stall was logged as an error, but not yet its end

	waits int // waits under way
}

// Status holds the status of all loops. It is safe for concurrent use.
type Status struct {
	now    func() time.Time
	mu     sync.Mutex
	stages map[string]StageStatus
	ahead  time.Duration // how far our clock is ahead of ThreatMatch's
}

// NewStatus returns an empty status.
func NewStatus(now func() time.Time) *Status {
	return &Status{now: now, stages: map[string]StageStatus{}}
}

// change changes a stage's status. f is given the time.
func (b *Status) change(stage string, f func(s *StageStatus, now time.Time)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stages[stage]
	f(&s, b.now())
	b.stages[stage] = s
}

// Set replaces a stage's state, detail and readiness. The last error stays.
func (b *Status) Set(stage, state, detail, notReady string) {
	b.change(stage, func(s *StageStatus, now time.Time) {
		if s.State != state || s.Since.IsZero() {
			s.Since = now
		}
		if s.NotReady == "" && notReady != "" && !s.Told { // a stall that returns before its end was logged is still the same one
			s.HeldSince = now
		}
		s.State, s.Detail, s.NotReady, s.Beat = state, detail, notReady, now
	})
}

// Beat records that the stage is alive, whether or not it finds work.
func (b *Status) Beat(stage string) { b.wait(stage, 0) }

// Waiting records that the stage waits for something outside the process. It counts
// as alive until the returned function is called, however long that takes.
func (b *Status) Waiting(stage string) (done func()) {
	b.wait(stage, 1)
	return func() { b.wait(stage, -1) }
}

func (b *Status) wait(stage string, n int) {
	b.change(stage, func(s *StageStatus, now time.Time) {
		s.waits += n
		s.Beat = now
	})
}

// inLoop is the key under which a loop's context has its Waiting.
type inLoop struct{}

// Waiting is Status.Waiting of the loop whose context this is. Outside of a loop it
// does nothing.
func Waiting(ctx context.Context) (done func()) {
	if begin, ok := ctx.Value(inLoop{}).(func() func()); ok {
		return begin()
	}
	return func() {}
}

// Sleep waits for d or a wake, and beats meanwhile. If ctx ends first, it returns
// the cause. A nil wake never fires.
func (b *Status) Sleep(ctx context.Context, stage string, d time.Duration, wake Wake) error {
	defer b.Waiting(stage)()
	defer Waiting(ctx)() // of another loop, if that calls the stage
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	case <-wake:
	}
	return nil
}

// Error records a stage's latest error, as text for operators.
func (b *Status) Error(stage string, err error) {
	b.change(stage, func(s *StageStatus, now time.Time) { s.LastError, s.ErrorAt = fault.Sentence(err), now })
}

// ClockIs records how far this machine's clock is ahead of ThreatMatch's.
func (b *Status) ClockIs(ahead time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead = ahead
}

// Clock returns the offset last recorded; 0 before that.
func (b *Status) Clock() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ahead
}

// Told records that the stage's stall was logged as an error.
func (b *Status) Told(stage string) { b.setTold(stage, true) }

func (b *Status) forgetTold(stage string) { b.setTold(stage, false) }

func (b *Status) setTold(stage string, told bool) {
	b.change(stage, func(s *StageStatus, _ time.Time) { s.Told = told })
}

// Snapshot returns a copy of all statuses. A stage that is waiting counts as
// beating now.
func (b *Status) Snapshot() map[string]StageStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := maps.Clone(b.stages)
	for stage, s := range all {
		if s.waits > 0 {
			s.Beat = b.now()
			all[stage] = s
		}
	}
	return all
}
