package pipeline

import (
	"sync"

	"threatmatch-connector/spool"
)

// Pressure is what the stages tell each other when the spool has no room left.
// Fetch pauses above the mark and waits for map and deliver to make room. When
// both have nothing that is ready, what fills the spool can only be what waits
// for objects that were not fetched yet: map releases it (Stuck), and when that
// is not enough, fetch goes on one request at a time (Gap).
//
// The zero value is not usable. Safe for concurrent use.
type Pressure struct {
	bells Bells

	mu       sync.Mutex
	paused   bool
	idle     map[spool.Stage]bool
	released bool
}

// NewPressure returns a Pressure under which nobody is.
func NewPressure(b Bells) *Pressure {
	return &Pressure{bells: b, idle: map[spool.Stage]bool{}}
}

// SetPaused says that fetch has work but no room. Fetch calls it.
func (p *Pressure) SetPaused(paused bool) {
	p.change(func() {
		p.paused = paused
		if !paused {
			p.released = false
		}
	})
}

// SetIdle says that a stage has no ready work: nothing that it could do now or
// is trying to do. Map and deliver call it whenever they go to sleep or wake up.
func (p *Pressure) SetIdle(stage spool.Stage, idle bool) {
	p.change(func() { p.idle[stage] = idle })
}

// SetReleased says whether map has released everything that it may while Stuck.
func (p *Pressure) SetReleased(released bool) {
	p.change(func() { p.released = released })
}

// handedOver says that fetch has just committed something for map, which will
// say by itself when it is done with it.
func (p *Pressure) handedOver() {
	p.change(func() { p.idle[spool.StageMap] = false })
}

// Stuck reports whether fetch has no room and nobody makes any: map then
// releases the objects that wait, as at the end of a run.
func (p *Pressure) Stuck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stuck()
}

// Gap reports whether fetch may make one request although it is paused.
func (p *Pressure) Gap() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stuck() && p.released
}

func (p *Pressure) stuck() bool {
	return p.paused && p.idle[spool.StageMap] && p.idle[spool.StageDeliver]
}

// change applies fn and wakes whoever may act on the difference.
func (p *Pressure) change(fn func()) {
	p.mu.Lock()
	stuck, gap := p.stuck(), p.stuck() && p.released
	fn()
	nowStuck := p.stuck()
	nowGap := nowStuck && p.released
	p.mu.Unlock()
	if nowStuck && !stuck {
		p.bells.Map.Ring()
	}
	if nowGap && !gap {
		p.bells.Fetch.Ring()
	}
}
