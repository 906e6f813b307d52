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
	b.Tries++
	return Jitter(b.Tries-1, b.Min, b.Max, b.Rand())
}

// Jitter returns a random wait between first and a ceiling that doubles with each
// try before this one, up to most. random is in [0, 1).
func Jitter(tries int, first, most time.Duration, random float64) time.Duration {
	ceiling := most
	if tries < 30 && first<<tries < most {
		ceiling = first << tries
	}
	return first + time.Duration(random*float64(ceiling-first))
}

// Reset starts over after a success.
func (b *Backoff) Reset() { b.Tries, b.Last = 0, fault.Transient }
