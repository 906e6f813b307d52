// Package pipeline moves ThreatMatch data through the spool: fetch, map and
// deliver, the platform loop beside them, the schedule that starts runs, and
// the supervisor that runs them all. The stages never call each other: they
// meet in the spool, and a Wake tells the next one to look.
package pipeline

// Wake wakes a sleeping loop. Signalling never blocks, and signals that were
// not received yet fold into one.
type Wake chan struct{}

// NewWake returns a wake without a signal.
func NewWake() Wake { return make(Wake, 1) }

// Signal wakes whoever waits. A nil Wake does nothing.
func (w Wake) Signal() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// Wakes has one Wake for each loop.
type Wakes struct {
	Schedule, Fetch, Map, Deliver, Platform Wake
}

// NewWakes returns a set without signals.
func NewWakes() Wakes {
	return Wakes{NewWake(), NewWake(), NewWake(), NewWake(), NewWake()}
}
