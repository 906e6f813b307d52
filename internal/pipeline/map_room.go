package pipeline

import (
	"context"
	"errors"

	"threatmatch-connector/spool"
)

// roomShort reports whether fetch is paused for room: above the mark, until
// there is a fifth of it free again.
func (m *Map) roomShort() bool {
	switch r := m.spool.Room(); {
	case r.Max <= 0:
		m.paused = false
	case r.Live > r.Max:
		m.paused = true
	case r.Live < r.Max/5*4:
		m.paused = false
	}
	return m.paused
}

// makeRoom releases waiting objects of a run that is still fetched, when the
// spool is full and nothing else can drain it. Relationships are not given up,
// since what they need may still come.
func (m *Map) makeRoom(ctx context.Context, runs []spool.Run) (bool, error) {
	if !m.roomShort() {
		return false, nil
	}
	if _, err := m.spool.NextBundle(); !errors.Is(err, spool.ErrNotFound) {
		return false, err
	}
	for _, run := range runs {
		if !run.MappedAt.IsZero() || !run.FetchedAt.IsZero() {
			continue
		}
		did, _, err := m.drainRun(ctx, run, true)
		return did, err
	}
	return false, nil
}
