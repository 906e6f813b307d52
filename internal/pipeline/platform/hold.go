package platform

// holding is a set of reasons to keep messages back although nothing is wrong.
type holding uint8

const (
	holdQueue   holding = 1 << iota // OpenCTI's queue is over the threshold
	holdNacked                      // the broker refuses messages
	holdBlocked                     // the broker has stopped reading
)

// HoldQueue records whether messages are kept back because OpenCTI's queue is over
// the threshold.
func (p *Platform) HoldQueue(on bool) { p.hold(holdQueue, on) }

// HoldNacked records whether the broker refuses messages.
func (p *Platform) HoldNacked(on bool) { p.hold(holdNacked, on) }

// HoldBlocked records whether the broker has stopped reading.
func (p *Platform) HoldBlocked(on bool) { p.hold(holdBlocked, on) }

// hold records a reason to keep messages back, for OpenCTI's view of the connector.
func (p *Platform) hold(why holding, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.held |= why
	} else {
		p.held &^= why
	}
	v := 0.0
	if p.held != 0 {
		v = 1
	}
	p.Metrics.buffering.Set(v)
}
