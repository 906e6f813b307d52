package pipeline

import (
	"context"
	"time"

	"threatmatch-connector/internal/fault"
)

// backoff gives growing, jittered waits without an end: waiting costs nothing
// with a spool.
type backoff struct {
	min, max time.Duration
	rand     func() float64
	tries    int
	last     fault.Class // of the latest trouble, for who keeps it
}

// next returns how long to wait before the next try: at least min, at most max.
func (b *backoff) next() time.Duration {
	ceiling := b.max
	if b.tries < 30 && b.min<<b.tries < b.max {
		ceiling = b.min << b.tries
	}
	b.tries++
	return b.min + time.Duration(b.rand()*float64(ceiling-b.min))
}

// reset starts over after a success.
func (b *backoff) reset() { b.tries, b.last = 0, fault.Transient }

// restFor waits for d; it returns the cause when ctx is done before.
func restFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// describe is an error with what the operator can do about it.
func describe(err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return err.Error() + " (" + hint + ")"
	}
	return err.Error()
}
