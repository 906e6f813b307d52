package pipeline

import (
	"time"

	"threatmatch-connector/internal/fault"
)

// Backoff gives growing, jittered waits without an end: waiting costs nothing
// with a spool.
type Backoff struct {
	Min, Max time.Duration
	Rand     func() float64 // in [0, 1)
	Tries    int
	Last     fault.Class // of the latest trouble, for who keeps it
}

// Next returns how long to wait before the next try: at least min, at most max.
func (b *Backoff) Next() time.Duration {
	ceiling := b.Max
	if b.Tries < 30 && b.Min<<b.Tries < b.Max {
		ceiling = b.Min << b.Tries
	}
	b.Tries++
	return b.Min + time.Duration(b.Rand()*float64(ceiling-b.Min))
}

// Reset starts over after a success.
func (b *Backoff) Reset() { b.Tries, b.Last = 0, fault.Transient }
