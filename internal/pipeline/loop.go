package pipeline

import (
	"context"
	"errors"
	"time"
)

// ErrDone, returned by a step, ends its loop in good order.
var ErrDone = errors.New("nothing is left to do")

// Loop is the life of a stage: step after step until it is told to stop. It
// beats before each step, sleeps as long as the step says or until a wake, and
// says "stopped" at the end.
type Loop struct {
	Stage  string
	Status *Status
	Wake   Wake // nil never wakes
	// Hold, if any, says why the stage is kept from its steps, as an operator's
	// pause does; "" goes on.
	Hold func() string
	// Step does what there is to do now and returns how long nothing else will
	// be. Its error ends the loop; what a stop breaks off is none.
	Step func(ctx context.Context) (time.Duration, error)
	// End, if any, is called after the last step of an ordered stop.
	End func() error
}

// Run steps until ctx is done, which is no error, or a step fails.
func (l Loop) Run(ctx context.Context) error {
	defer l.Status.Set(l.Stage, "stopped", "", "")
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

// holdPoll is how often a loop that is held looks whether it may go on.
const holdPoll = time.Second

func (l Loop) hold() string {
	if l.Hold == nil {
		return ""
	}
	return l.Hold()
}
