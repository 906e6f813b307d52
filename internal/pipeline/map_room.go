package pipeline

import (
	"context"

	"threatmatch-connector/spool"
)

// MapPressure is what the stages tell each other when the spool has no room.
type MapPressure interface {
	// SetIdle says whether the stage has nothing that it could do now.
	SetIdle(stage spool.Stage, idle bool)
	// SetReleased says whether map has released all that it may while Stuck.
	SetReleased(released bool)
	// Stuck reports whether fetch has no room and nobody makes any.
	Stuck() bool
}

// tight reports whether the spool has no room for more records, so that what is
// gathered had better go out now.
func (m *Map) tight() bool {
	r := m.spool.Room()
	return r.Max > 0 && r.Live > r.Max
}

// setIdle tells the others whether map has nothing that it could do now.
func (m *Map) setIdle(idle bool) {
	if m.pressure == nil || m.idle == idle {
		return
	}
	m.idle = idle
	m.pressure.SetIdle(spool.StageMap, idle)
}

// makeRoom releases waiting objects of a run that is still fetched, when the
// spool is full and nothing else can drain it. Relationships are not given up,
// since what they need may still come.
func (m *Map) makeRoom(ctx context.Context, runs []spool.Run) (bool, error) {
	if m.pressure == nil || !m.pressure.Stuck() {
		return false, nil
	}
	for _, run := range runs {
		if !run.MappedAt.IsZero() || !run.FetchedAt.IsZero() {
			continue
		}
		did, _, err := m.drainRun(ctx, run, true)
		if did || err != nil {
			return did, err
		}
		break // a later run has nothing before this one is fetched
	}
	m.pressure.SetReleased(true)
	return false, nil
}
