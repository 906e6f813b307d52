package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestLoop: a loop beats before each step, sleeps as long as the step says or until
// a wake, and ends cleanly or with the error of a step.
func TestLoop(t *testing.T) {
	broken, unkept := errors.New("broken"), errors.New("not kept")
	for _, tt := range []struct {
		name      string
		last      error // of the third step; nil: the loop is told to stop meanwhile
		end       error
		want      error
		wantEnded bool
	}{
		{"stopped", nil, nil, nil, true},
		{"stopped, and its end fails", nil, unkept, unkept, true},
		{"nothing is left", ErrDone, nil, nil, true},
		{"a step fails", broken, nil, broken, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				status, wake := NewStatus(time.Now), NewWake()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				began := time.Now()
				var at []time.Duration
				ended := false
				loop := Loop{Stage: "map", Status: status, Wake: wake, End: func() error { ended = true; return tt.end }}
				loop.Step = func(context.Context) (time.Duration, error) {
					at = append(at, time.Since(began))
					if beat := status.Snapshot()["map"].Beat; !beat.Equal(time.Now()) {
						t.Errorf("step %d: the last beat is %v old", len(at), time.Since(beat))
					}
					time.Sleep(3 * time.Minute) // the step itself
					switch {
					case len(at) == 1:
						return 0, nil
					case len(at) == 2:
						time.AfterFunc(17*time.Second, wake.Signal)
						return time.Hour, nil
					case tt.last == nil:
						cancel()
						return time.Hour, broken // broken off by the stop
					}
					return time.Hour, tt.last
				}
				if err := loop.Run(ctx); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if want := 6*time.Minute + 17*time.Second; len(at) != 3 || at[1] != 3*time.Minute || at[2] != want {
					t.Errorf("steps at %v, want one at once and one at %v, by the wake", at, want)
				}
				if ended != tt.wantEnded || status.Snapshot()["map"].State != "stopped" {
					t.Errorf("ended in order %v, want %v; state %q", ended, tt.wantEnded, status.Snapshot()["map"].State)
				}
			})
		})
	}
}
