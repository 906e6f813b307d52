// Package pipeline moves ThreatMatch data through the spool. It has what the stages
// (fetch, map, deliver) and the other loops share, and the supervisor that runs
// them. The stages never call each other: they communicate through the spool, and a
// Wake tells the next one to look.
package pipeline

// Wake wakes a sleeping loop. Signalling never blocks; signals not yet received are
// merged into one.
type Wake chan struct{}

// NewWake returns a wake without a pending signal.
func NewWake() Wake { return make(Wake, 1) }

// Signal wakes the waiting loop. On a nil Wake it does nothing.
func (w Wake) Signal() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// Wakes has one Wake per loop.
type Wakes struct {
	Schedule, Fetch, Map, Deliver, Platform Wake
}

// NewWakes returns a set without pending signals.
func NewWakes() Wakes {
	return Wakes{NewWake(), NewWake(), NewWake(), NewWake(), NewWake()}
}
