// Package pipeline moves ThreatMatch data through the spool: fetch, map and
// deliver, the platform loop beside them, the schedule that starts runs, and
// the supervisor that runs them all. The stages never call each other: they
// meet in the spool, and a Bell tells the next one to look.
package pipeline

// Bell wakes a sleeping stage. Ringing never blocks, and rings that nobody
// heard yet fold into one.
type Bell chan struct{}

// NewBell returns a silent bell.
func NewBell() Bell { return make(Bell, 1) }

// Ring wakes whoever waits on the bell. A nil bell stays silent.
func (b Bell) Ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// Bells has one bell for each loop.
type Bells struct {
	Schedule, Fetch, Map, Deliver, Platform Bell
}

// NewBells returns a set of silent bells.
func NewBells() Bells {
	return Bells{NewBell(), NewBell(), NewBell(), NewBell(), NewBell()}
}
