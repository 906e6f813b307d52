package deliver

import (
	"time"

	"threatmatch-connector/spool"
)

// sizeLimit is the largest body in bytes that the broker accepts, as far as known.
type sizeLimit struct {
	fixed int64 // set by the operator; 0: not set
	told  spool.MessageLimit
}

// bytes returns the limit, 0 if none is known.
func (l *sizeLimit) bytes(now time.Time) int64 { return l.told.With(l.fixed, now) }

// learn records what the broker reported, which may be 0.
func (l *sizeLimit) learn(n int64, now time.Time) {
	if n > 0 {
		l.told = spool.MessageLimit{Bytes: n, Until: now.UTC().Add(spool.LimitLife)}
	}
}
