package pipeline

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// HoldUps tells, at every log level, of stages that cannot work: as an error
// once after holdUpPatience, unless the stage has told itself, and when it is over.
type HoldUps struct {
	Board *Board
	Log   *slog.Logger
	Now   func() time.Time
}

const (
	// holdUpPatience is how long a hold-up lasts before it is more than a hiccup.
	holdUpPatience = time.Minute
	holdUpLook     = 5 * time.Second
)

// Run looks at the board until ctx is done.
func (h *HoldUps) Run(ctx context.Context) {
	tick := time.NewTicker(holdUpLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.look(ctx)
		}
	}
}

func (h *HoldUps) look(ctx context.Context) {
	board := h.Board.Snapshot()
	for _, stage := range slices.Sorted(maps.Keys(board)) {
		switch s := board[stage]; {
		case s.State == "stopped":
		case s.NotReady != "" && !s.Told && h.Now().Sub(s.HeldSince) >= holdUpPatience:
			h.Log.Error("a stage is held up", "stage", stage, "reason", s.NotReady, "since", s.HeldSince)
			h.Board.Told(stage)
		case s.NotReady == "" && s.Told:
			h.Log.Log(ctx, LevelNotice, "a stage is no longer held up", "stage", stage,
				"after", h.Now().Sub(s.HeldSince).Round(time.Second))
			h.Board.forgetTold(stage)
		}
	}
}
