package app

import (
	"context"
	"fmt"
	"time"

	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// Pause implements admin.Control.
func (c control) Pause(ctx context.Context, q admin.StageRequest) (admin.Answer, error) {
	answer, err := Pause(c.a.spool, c.a.Now(), q)
	if err == nil {
		c.note(ctx, "stage paused", "stage", q.Stage)
		c.a.wakeStages()
	}
	return answer, err
}

// Resume implements admin.Control.
func (c control) Resume(ctx context.Context, q admin.StageRequest) (admin.Answer, error) {
	answer, err := Resume(c.a.spool, q)
	if err == nil {
		c.note(ctx, "stage resumed", "stage", q.Stage)
		c.a.wakeStages()
	}
	return answer, err
}

func (a *app) wakeStages() {
	a.wakes.Fetch.Signal()
	a.wakes.Map.Signal()
	a.wakes.Deliver.Signal()
}

// Pause pauses a stage, whether the connector runs or not, and returns what to tell the operator.
func Pause(s *spool.Spool, now time.Time, q admin.StageRequest) (admin.Answer, error) {
	since, err := s.Pause(now, spool.Stage(q.Stage))
	if err != nil {
		return admin.Answer{}, err
	}
	return admin.Answer{Count: 1, Message: q.Stage + " is " + inspect.Paused{Stage: q.Stage, Since: since}.Why()}, nil
}

// Resume lets a paused stage continue, whether the connector runs or not, and returns what to tell the operator.
func Resume(s *spool.Spool, q admin.StageRequest) (admin.Answer, error) {
	was, err := s.Resume(spool.Stage(q.Stage))
	switch {
	case err != nil:
		return admin.Answer{}, err
	case !was:
		return admin.Answer{Message: q.Stage + " is not paused"}, nil
	}
	return admin.Answer{Count: 1, Message: fmt.Sprintf("%s goes on", q.Stage)}, nil
}

// paused returns a function that says that and since when an operator has paused the stage; "" if it is not paused. A
// spool that cannot be read pauses nothing: the stage itself reports what is wrong.
func (a *app) paused(st spool.Stage) func() string {
	return func() string {
		meta, err := a.spool.Meta()
		if since, ok := meta.Paused[st]; err == nil && ok {
			return inspect.Paused{Stage: string(st), Since: since}.Why()
		}
		return ""
	}
}
