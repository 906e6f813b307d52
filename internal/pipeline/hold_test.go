package pipeline

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestLoopIsHeld: a held loop beats but takes no step; it continues on a wake, or
// soon without one.
func TestLoopIsHeld(t *testing.T) {
	for _, woken := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			status, wake := NewStatus(time.Now), NewWake()
			ctx, cancel := context.WithCancel(t.Context())
			var held atomic.Bool
			var steps atomic.Int64
			held.Store(true)
			done := make(chan error, 1)
			go func() {
				done <- Loop{Stage: "map", Status: status, Wake: wake, Hold: func() string {
					if held.Load() {
						return "paused by an operator"
					}
					return ""
				}, Step: func(context.Context) (time.Duration, error) { steps.Add(1); return time.Hour, nil }}.Run(ctx)
			}()
			time.Sleep(17*time.Minute + 300*time.Millisecond)
			synctest.Wait()
			s := status.Snapshot()["map"]
			if steps.Load() != 0 || s.State != "paused" || s.Detail != "paused by an operator" || time.Since(s.Beat) > time.Second {
				t.Errorf("held: got %d steps, %+v, want none, paused, and a beat a second", steps.Load(), s)
			}
			held.Store(false)
			if woken {
				wake.Signal()
				synctest.Wait()
			} else {
				time.Sleep(holdPoll)
				synctest.Wait()
			}
			if steps.Load() != 1 {
				t.Errorf("woken %v: got %d steps after the hold, want 1", woken, steps.Load())
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
