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

// Pause pauses a stage of a connector, running or not, and says what that means.
func Pause(s *spool.Spool, now time.Time, q admin.StageRequest) (admin.Answer, error) {
	since, err := s.Pause(now, spool.Stage(q.Stage))
	if err != nil {
		return admin.Answer{}, err
	}
	return admin.Answer{Count: 1, Message: q.Stage + " is " + inspect.Paused{Stage: q.Stage, Since: since}.Why()}, nil
}

// Resume lets a stage of a connector, running or not, go on.
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

// paused is why an operator keeps the stage from working, "" if none does. A spool
// that cannot be read keeps nobody: the stage says what is wrong with it.
func (a *app) paused(st spool.Stage) func() string {
	return func() string {
		meta, err := a.spool.Meta()
		if since, ok := meta.Paused[st]; err == nil && ok {
			return inspect.Paused{Stage: string(st), Since: since}.Why()
		}
		return ""
	}
}
