package pipeline

import (
	"context"
	"maps"
	"sync"
	"time"

	"threatmatch-connector/internal/fault"
)

// StageStatus is what one loop says about itself, for status, readiness and logs.
type StageStatus struct {
	State     string    `json:"state"`               // "starting", "idle", "working", "retrying", "waiting", "paused", "stopped"
	Detail    string    `json:"detail,omitempty"`    // what it works on or waits for
	NotReady  string    `json:"not_ready,omitempty"` // a systemic trouble; empty when ready
	Since     time.Time `json:"since"`               // when State last changed
	LastError string    `json:"last_error,omitempty"`
	ErrorAt   time.Time `json:"error_at,omitzero"`
	Beat      time.Time `json:"beat"` // the latest sign of life

	HeldSince time.Time `json:"-"` // when NotReady was last empty no more; it outlives it
	Told      bool      `json:"-"` // that hold-up was logged as an error, its end was not yet
}

// Status is what all loops say about themselves. Safe for concurrent use.
type Status struct {
	now    func() time.Time
	mu     sync.Mutex
	stages map[string]StageStatus
	waits  map[string]int // of each stage, that are under way
	ahead  time.Duration  // of our clock
}

// NewStatus returns an empty status.
func NewStatus(now func() time.Time) *Status {
	return &Status{now: now, stages: map[string]StageStatus{}, waits: map[string]int{}}
}

// Set replaces a stage's state, detail and readiness; a last error stays.
func (b *Status) Set(stage, state, detail, notReady string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stages[stage]
	if s.State != state || s.Since.IsZero() {
		s.Since = b.now()
	}
	if s.NotReady == "" && notReady != "" && !s.Told { // one that comes again before its end was told is the same
		s.HeldSince = b.now()
	}
	s.State, s.Detail, s.NotReady, s.Beat = state, detail, notReady, b.now()
	b.stages[stage] = s
}

// Beat notes that the stage still turns, whether it finds work or not.
func (b *Status) Beat(stage string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stages[stage]
	s.Beat = b.now()
	b.stages[stage] = s
}

// Waiting notes that the stage waits for something outside the process until the
// returned function is called: however long that takes, the stage is alive.
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

// Sleep waits for d or a wake, and beats meanwhile. When ctx ends before, it
// returns the cause. A nil wake never comes.
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

// Error notes a stage's latest error, in the words that people are told.
func (b *Status) Error(stage string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stages[stage]
	s.LastError, s.ErrorAt = fault.Sentence(err), b.now()
	b.stages[stage] = s
}

// ClockIs notes how far this machine's clock is ahead of ThreatMatch's.
func (b *Status) ClockIs(ahead time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead = ahead
}

// Clock returns what was last noted; 0 before.
func (b *Status) Clock() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ahead
}

// Told notes that the stage's hold-up was logged as an error.
func (b *Status) Told(stage string) { b.setTold(stage, true) }

func (b *Status) forgetTold(stage string) { b.setTold(stage, false) }

func (b *Status) setTold(stage string, told bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stages[stage]
	s.Told = told
	b.stages[stage] = s
}

// Snapshot returns a copy of all statuses. A stage that waits beats all the time.
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
