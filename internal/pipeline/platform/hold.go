package platform

// holding is what keeps messages back though nothing is wrong.
type holding uint8

const (
	holdQueue   holding = 1 << iota // OpenCTI's queue is over the threshold
	holdNacked                      // the broker refuses messages
	holdBlocked                     // the broker reads nothing
)

// HoldQueue notes that messages are kept back since OpenCTI's queue is over the
// threshold, or no longer.
func (p *Platform) HoldQueue(on bool) { p.hold(holdQueue, on) }

// HoldNacked notes that the broker refuses messages, or no longer.
func (p *Platform) HoldNacked(on bool) { p.hold(holdNacked, on) }

// HoldBlocked notes that the broker reads nothing, or no longer.
func (p *Platform) HoldBlocked(on bool) { p.hold(holdBlocked, on) }

// hold notes that messages are kept back, or no longer, for OpenCTI's view of
// the connector.
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
