package pipeline

import (
	"sync/atomic"

	"threatmatch-connector/spool"
)

// Pressure is what fetch and map tell each other when the spool has no room
// left. Fetch pauses above the mark until map and deliver have made room. When
// neither has ready work, what fills the spool can only be what waits for
// objects that were not fetched yet: map releases it (Stuck), and when that is
// not enough, fetch goes on one request at a time (Gap). Safe for concurrent use.
type Pressure struct {
	board    *Board
	paused   atomic.Bool
	released atomic.Bool
}

// NewPressure returns a Pressure under which nobody is. The board tells which
// stages are idle.
func NewPressure(board *Board) *Pressure { return &Pressure{board: board} }

// SetPaused says whether fetch has work but no room. Fetch calls it, and rings
// map's bell now and then while it is so.
func (p *Pressure) SetPaused(paused bool) {
	p.paused.Store(paused)
	if !paused {
		p.released.Store(false)
	}
}

// Stuck reports whether fetch has no room and deliver has nothing to deliver.
// A map stage that has no ready work either then releases the objects that
// wait, as at the end of a run.
func (p *Pressure) Stuck() bool { return p.paused.Load() && p.idle(spool.StageDeliver) }

// SetReleased says that map, while Stuck, has released all that it may. It
// holds until fetch hands over the next record.
func (p *Pressure) SetReleased() { p.released.Store(true) }

// Gap reports whether fetch may make one request although it is paused.
func (p *Pressure) Gap() bool {
	return p.Stuck() && p.released.Load() && p.idle(spool.StageMap)
}

// handedOver says that fetch has committed something for map.
func (p *Pressure) handedOver() { p.released.Store(false) }

func (p *Pressure) idle(stage spool.Stage) bool { return p.board.State(string(stage)) == "idle" }
