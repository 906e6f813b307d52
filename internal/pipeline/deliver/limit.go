package deliver

import "time"

// limitLife is how long a limit that the broker reported is trusted: an operator
// may raise it at any time.
const limitLife = time.Hour

// sizeLimit is the largest body in bytes that the broker accepts, as far as known.
type sizeLimit struct {
	fixed int64 // set by the operator; 0: not set
	told  int64 // reported by the broker; 0: not reported
	until time.Time
}

// bytes returns the limit, 0 if none is known.
func (l *sizeLimit) bytes(now time.Time) int64 {
	if l.told > 0 && now.Before(l.until) && (l.fixed == 0 || l.told < l.fixed) {
		return l.told
	}
	return l.fixed
}

// learn records what the broker reported, which may be 0.
func (l *sizeLimit) learn(n int64, now time.Time) {
	if n > 0 {
		l.told, l.until = n, now.Add(limitLife)
	}
}

func (l *sizeLimit) forget() { l.told = 0 }
