package pipeline

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"threatmatch-connector/internal/logging"
)

// StallReporter logs stages that cannot work, at every log level: an error once a
// stall has lasted for Patience, unless the stage logged it itself, and a notice
// when it is over.
type StallReporter struct {
	Status *Status
	Log    *slog.Logger
	Now    func() time.Time

	Patience time.Duration
}

const stallPeriod = 5 * time.Second

// Run watches the status until ctx is done.
func (h *StallReporter) Run(ctx context.Context) {
	tick := time.NewTicker(stallPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.step(ctx)
		}
	}
}

func (h *StallReporter) step(ctx context.Context) {
	status := h.Status.Snapshot()
	for _, stage := range slices.Sorted(maps.Keys(status)) {
		switch s := status[stage]; {
		case s.State == "stopped":
		case s.NotReady != "" && !s.Told && h.Now().Sub(s.HeldSince) >= h.Patience:
			h.Log.Error("a stage is held up", "stage", stage, "reason", s.NotReady, "since", s.HeldSince)
			h.Status.Told(stage)
		case s.NotReady == "" && s.Told:
			h.Log.Log(ctx, logging.LevelNotice, "a stage is no longer held up", "stage", stage,
				"after", h.Now().Sub(s.HeldSince).Round(time.Second))
			h.Status.forgetTold(stage)
		}
	}
}
