package pipeline

import (
	"context"
	"errors"
	"time"
)

// ErrDone ends a loop without an error when its step returns it.
var ErrDone = errors.New("nothing is left to do")

// Loop runs a stage: one step after another until ctx is done. It beats before each
// step, then sleeps as long as the step says or until a wake, and sets the state
// "stopped" at the end. A step's calls to the outside tell with Waiting that they
// wait.
type Loop struct {
	Stage  string
	Status *Status
	Wake   Wake // nil: never woken
	// Hold, if set, says why the stage must not run its steps, for example because
	// an operator paused it; "" lets it run.
	Hold func() string
	// Step does the work there is now and returns how long to wait before the next
	// step. An error ends the loop, unless ctx is already done.
	Step func(ctx context.Context) (time.Duration, error)
	// End, if set, is called after the last step when the loop stops without an
	// error.
	End func() error
}

// Run steps until ctx is done, which is not an error, or until a step fails.
func (l Loop) Run(ctx context.Context) error {
	defer l.Status.Set(l.Stage, "stopped", "", "")
	ctx = context.WithValue(ctx, inLoop{}, func() func() { return l.Status.Waiting(l.Stage) })
	for ctx.Err() == nil {
		l.Status.Beat(l.Stage)
		if why := l.hold(); why != "" {
			l.Status.Set(l.Stage, "paused", why, "")
			_ = l.Status.Sleep(ctx, l.Stage, holdPoll, l.Wake)
			continue
		}
		wait, err := l.Step(ctx)
		if errors.Is(err, ErrDone) {
			break
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		if wait > 0 {
			_ = l.Status.Sleep(ctx, l.Stage, wait, l.Wake)
		}
	}
	if l.End != nil {
		return l.End()
	}
	return nil
}

// holdPoll is how often a held loop checks whether it may continue.
const holdPoll = time.Second

func (l Loop) hold() string {
	if l.Hold == nil {
		return ""
	}
	return l.Hold()
}
