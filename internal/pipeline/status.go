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
	State     string    `json:"state"`               // "starting", "idle", "working", "retrying", "waiting", "paused", "stopped"
	Detail    string    `json:"detail,omitempty"`    // what it is working on or waiting for
	NotReady  string    `json:"not_ready,omitempty"` // why it is not ready; empty when ready
	Since     time.Time `json:"since"`               // when State last changed
	LastError string    `json:"last_error,omitempty"`
	ErrorAt   time.Time `json:"error_at,omitzero"`
	Beat      time.Time `json:"beat"` // the latest sign of life

	HeldSince time.Time `json:"-"` // when NotReady was last set; kept after it is cleared
	Told      bool      `json:"-"` // the stall was logged as an error, but not yet its end
}

// Status holds the status of all loops. It is safe for concurrent use.
type Status struct {
	now    func() time.Time
	mu     sync.Mutex
	stages map[string]StageStatus
	waits  map[string]int // waits under way, by stage
	ahead  time.Duration  // how far our clock is ahead of ThreatMatch's
}

// NewStatus returns an empty status.
func NewStatus(now func() time.Time) *Status {
	return &Status{now: now, stages: map[string]StageStatus{}, waits: map[string]int{}}
}

// Set replaces a stage's state, detail and readiness. The last error stays.
func (b *Status) Set(stage, state, detail, notReady string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stages[stage]
	if s.State != state || s.Since.IsZero() {
		s.Since = b.now()
	}
	if s.NotReady == "" && notReady != "" && !s.Told { // a stall that returns before its end was logged is still the same one
		s.HeldSince = b.now()
	}
	s.State, s.Detail, s.NotReady, s.Beat = state, detail, notReady, b.now()
	b.stages[stage] = s
}

// Beat records that the stage is alive, whether or not it finds work.
func (b *Status) Beat(stage string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stages[stage]
	s.Beat = b.now()
	b.stages[stage] = s
}

// Waiting records that the stage waits for something outside the process. It counts
// as alive until the returned function is called, however long that takes.
func (b *Status) Waiting(stage string) (done func()) {
	b.wait(stage, 1)
	return func() { b.wait(stage, -1) }
}

func (b *Status) wait(stage string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waits[stage] += n
	s := b.stages[stage]
	s.Beat = b.now()
	b.stages[stage] = s
}

// Sleep waits for d or a wake, and beats meanwhile. If ctx ends first, it returns
// the cause. A nil wake never fires.
func (b *Status) Sleep(ctx context.Context, stage string, d time.Duration, wake Wake) error {
	defer b.Waiting(stage)()
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
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stages[stage]
	s.LastError, s.ErrorAt = fault.Sentence(err), b.now()
	b.stages[stage] = s
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
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stages[stage]
	s.Told = told
	b.stages[stage] = s
}

// Snapshot returns a copy of all statuses. A stage that is waiting counts as
// beating now.
func (b *Status) Snapshot() map[string]StageStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := maps.Clone(b.stages)
	for stage, n := range b.waits {
		if s := all[stage]; n > 0 {
			s.Beat = b.now()
			all[stage] = s
		}
	}
	return all
}
