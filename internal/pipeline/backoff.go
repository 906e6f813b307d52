package pipeline

import (
	"time"

	"threatmatch-connector/internal/fault"
)

// Backoff returns growing, jittered waits. It never gives up: with a spool, waiting
// costs nothing.
type Backoff struct {
	Min, Max time.Duration
	Rand     func() float64 // in [0, 1)
	Tries    int
	Last     fault.Class // of the latest failure; set by the caller
}

// Next returns how long to wait before the next try, between Min and Max.
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
