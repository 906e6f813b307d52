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

// Describe is an error with what the operator can do about it.
func Describe(err error) string { return WithHint(err.Error(), err) }

// WithHint is text with what the operator can do about err.
func WithHint(text string, err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return text + " (" + hint + ")"
	}
	return text
}
