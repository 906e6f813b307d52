package mapstage

import (
	"context"
	"errors"
	"slices"

	"threatmatch-connector/spool"
)

// tight reports whether fetch is paused for room, by fetch's own rule: above the
// limit, until less than four fifths are in use.
func (m *Stage) tight() bool {
	switch r := m.Spool.Room(); {
	case r.Live > r.Max || r.Short:
		m.squeezed = true
	case r.Live < r.Max/5*4:
		m.squeezed = false
	}
	return m.squeezed
}

// makeRoom releases waiting objects of a run that is still being fetched, if fetch
// is paused and nothing else can make room. Relationships are not given up: what
// they need may still arrive. When the stage is idle it has released everything it
// may, and fetch continues.
func (m *Stage) makeRoom(ctx context.Context, runs []spool.Run) (bool, error) {
	if !m.tight() {
		return false, nil
	}
	i := slices.IndexFunc(runs, func(r spool.Run) bool { return r.MappedAt.IsZero() && r.FetchedAt.IsZero() })
	if i < 0 {
		return false, nil
	}
	run := runs[i] // a later run has nothing before this one is fetched
	b, err := m.Spool.NextBundle()
	if err != nil && !errors.Is(err, spool.ErrNotFound) {
		return false, err
	}
	if err == nil && b.Run <= run.ID { // bundles of later runs wait for this run
		return false, nil
	}
	did, _, err := m.drainRun(ctx, run, true)
	return did, err
}
