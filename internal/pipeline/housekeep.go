package pipeline

import (
	"context"
	"log/slog"
	"time"

	"threatmatch-connector/spool"
)

const stageHousekeep = "housekeep"

// tidyPeriod is short because looking is cheap, and fetch may be paused until there
// is room.
const tidyPeriod = 10 * time.Second

// HousekeepDeps are the dependencies of Housekeep.
type HousekeepDeps struct {
	Spool interface {
		Prune(now, forgetBefore time.Time) (map[string]int64, error)
		OpenRuns() ([]spool.Run, error)
		Missing() error
	}
	// Expire removes old files from the archive. It is nil without an archive.
	Expire func(now time.Time) (int, error)
	// Rest is called when the last open run has ended, to give memory back to the
	// system. It may be nil.
	Rest   func()
	Status *Status
	Log    *slog.Logger
	Now    func() time.Time
}

// Housekeep removes what has expired: kept records past their time, ids not seen
// for long, the oldest ids when they take too much room, and archived bundles past
// their retention.
type Housekeep struct {
	HousekeepDeps
	forgetAfter time.Duration
	busy        bool // a run was open at the last step
	missing     bool // the spool's file was, at the last step
}

// NewHousekeep returns the loop. It forgets ids that were not seen for forgetAfter;
// zero keeps them.
func NewHousekeep(d HousekeepDeps, forgetAfter time.Duration) *Housekeep {
	return &Housekeep{HousekeepDeps: d, forgetAfter: forgetAfter}
}

// Run cleans up until ctx is done, which is not an error.
func (h *Housekeep) Run(ctx context.Context) error {
	return Loop{Stage: stageHousekeep, Status: h.Status, Step: func(context.Context) (time.Duration, error) {
		defer h.Status.Set(stageHousekeep, "idle", "", "")
		if h.step() {
			return 0, nil
		}
		return tidyPeriod, nil
	}}.Run(ctx)
}

// step does one bounded piece of work and reports whether there is more to do.
func (h *Housekeep) step() bool {
	h.restWhenDone()
	h.tellMissing()
	h.Status.Set(stageHousekeep, "working", "", "")
	now := h.Now()
	var forgetBefore time.Time
	if h.forgetAfter > 0 {
		forgetBefore = now.Add(-h.forgetAfter)
	}
	count, err := h.Spool.Prune(now, forgetBefore)
	if err != nil {
		h.Status.Error(stageHousekeep, err)
		h.Log.Warn("the spool could not be tidied up", "stage", stageHousekeep, "error", err)
	}
	removed := false
	for kind, n := range count {
		if n > 0 {
			removed = true
			h.Log.Info("removed from the spool", "stage", stageHousekeep, "kind", kind, "count", n)
		}
	}
	if h.Expire != nil {
		if _, err := h.Expire(now); err != nil {
			h.Status.Error(stageHousekeep, err)
			h.Log.Warn("old files of the archive could not be removed", "stage", stageHousekeep, "error", err)
		}
	}
	return removed
}

// tellMissing logs once that the spool's file is gone: nothing else fails until the process ends.
func (h *Housekeep) tellMissing() {
	err := h.Spool.Missing()
	if err != nil && !h.missing {
		h.Log.Error("the spool's file is gone", "stage", stageHousekeep, "error", err)
	}
	h.missing = err != nil
}

// restWhenDone calls Rest when no run is open any more.
func (h *Housekeep) restWhenDone() {
	runs, err := h.Spool.OpenRuns()
	if err != nil { // the stages report it
		return
	}
	if h.busy && len(runs) == 0 && h.Rest != nil {
		h.Rest()
	}
	h.busy = len(runs) > 0
}
