package pipeline

import (
	"context"
	"errors"

	"threatmatch-connector/spool"
)

// tight reports whether fetch is paused for room, judging as fetch does: above
// the mark, until less than four fifths are in use.
func (m *Map) tight() bool {
	switch r := m.spool.Room(); {
	case r.Live > r.Max || r.Short:
		m.squeezed = true
	case r.Live < r.Max/5*4:
		m.squeezed = false
	}
	return m.squeezed
}

// makeRoom releases waiting objects of a run that is still fetched, when fetch
// is paused and nothing else can make room. Relationships are not given up:
// what they need may still come. While the stage shows itself idle, it has
// released all that it may, and fetch goes on into the gap.
func (m *Map) makeRoom(ctx context.Context, runs []spool.Run) (bool, error) {
	if !m.tight() {
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
		return did, err // a later run has nothing before this one is fetched
	}
	return false, nil
}
