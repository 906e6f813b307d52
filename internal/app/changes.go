package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/schedule"
	"threatmatch-connector/spool"
)

// changes implements admin.Changes on a spool, of a running connector or a stopped one. It logs every change, at every
// log level, with who asked for it.
type changes struct {
	spool    *spool.Spool
	schedule *schedule.Schedule
	wakes    pipeline.Wakes
	now      func() time.Time
	log      *slog.Logger
	peer     func(context.Context) admin.Peer
	when     string // when a run begins; ends its message
}

func (a *app) changes() changes {
	return changes{spool: a.spool, schedule: a.schedule, wakes: a.wakes, now: a.Now, log: a.Log, peer: admin.PeerOf}
}

// Stopped returns the changes to the spool of a stopped connector, which works on them once it is started. c is nil if
// the settings are not known; then a repull may name every dataset.
func Stopped(s *spool.Spool, c *config.Config, now func() time.Time, log *slog.Logger) (admin.Changes, error) {
	sets := spool.Datasets()
	if c != nil {
		sets = datasetsOf(c)
	}
	wakes := pipeline.NewWakes()
	sched, err := schedule.New(schedule.Deps{
		Spool: s, Wakes: wakes, Status: pipeline.NewStatus(now), Log: slog.New(slog.DiscardHandler), Now: now,
	}, schedule.Options{
		Datasets: sets, Once: true, ImportFrom: func(now time.Time) time.Time { return now }, // only a first run asks for it
	})
	self := func(context.Context) admin.Peer { return admin.Self() }
	return changes{s, sched, wakes, now, log, self, " when the connector is started"}, err
}

func datasetsOf(c *config.Config) []spool.Dataset {
	var all []spool.Dataset
	for _, name := range c.ThreatMatch.Datasets() {
		all = append(all, spool.Dataset(name))
	}
	return all
}

func (c changes) note(ctx context.Context, what string, args ...any) {
	c.log.Log(ctx, logging.LevelNotice, what, append([]any{"asked_by", c.peer(ctx).String()}, args...)...)
}

// Repull implements admin.Changes.
func (c changes) Repull(ctx context.Context, q admin.RepullRequest) (admin.Answer, error) {
	var sets []spool.Dataset
	for _, n := range q.Datasets {
		sets = append(sets, spool.Dataset(n))
	}
	run, err := c.schedule.Repull(q.From, sets...)
	if err != nil {
		return admin.Answer{}, err
	}
	c.note(ctx, "repull asked for", "run", run.ID, "from", q.From, "datasets", q.Datasets)
	return admin.Answer{Run: run.ID, Message: fmt.Sprintf("run %d imports again from %s%s", run.ID, q.From.UTC().Format(time.RFC3339), c.when)}, nil
}

// Skip implements admin.Changes.
func (c changes) Skip(ctx context.Context, q admin.SkipRequest) (admin.Answer, error) {
	meta, err := c.spool.Meta()
	if err != nil {
		return admin.Answer{}, err
	}
	skipped, err := c.spool.Skip(meta.Epoch, c.now(), spool.Dataset(q.Dataset), q.To)
	if err != nil {
		return admin.Answer{}, err
	}
	c.note(ctx, "dataset skipped", "dataset", q.Dataset, "from", skipped.From, "to", skipped.To, "dead_letter", skipped.Dead)
	c.wakes.Fetch.Signal() // the run may have nothing left to fetch
	c.wakes.Platform.Signal()
	return admin.Answer{Count: skipped.Tasks, Message: fmt.Sprintf("%s goes on from %s in its next run; dead letter %d names what was skipped, from %s on",
		q.Dataset, skipped.To.Format(time.RFC3339), skipped.Dead, skipped.From.Format(time.RFC3339))}, nil
}

// Pause implements admin.Changes.
func (c changes) Pause(ctx context.Context, q admin.StageRequest) (admin.Answer, error) {
	since, err := c.spool.Pause(c.now(), spool.Stage(q.Stage))
	if err != nil {
		return admin.Answer{}, err
	}
	c.note(ctx, "stage paused", "stage", q.Stage)
	c.wakeStages()
	return admin.Answer{Count: 1, Message: q.Stage + " is " + inspect.Paused{Stage: q.Stage, Since: since}.Why()}, nil
}

// Resume implements admin.Changes.
func (c changes) Resume(ctx context.Context, q admin.StageRequest) (admin.Answer, error) {
	was, err := c.spool.Resume(spool.Stage(q.Stage))
	if err != nil {
		return admin.Answer{}, err
	}
	if !was {
		return admin.Answer{Message: q.Stage + " is not paused by an operator; what else it may wait for is in: threatmatch-connector status"}, nil
	}
	c.note(ctx, "stage resumed", "stage", q.Stage)
	c.wakeStages()
	return admin.Answer{Count: 1, Message: q.Stage + " goes on"}, nil
}

func (c changes) wakeStages() {
	c.wakes.Fetch.Signal()
	c.wakes.Map.Signal()
	c.wakes.Deliver.Signal()
}

// Retry implements admin.Changes.
func (c changes) Retry(ctx context.Context, n admin.Names) (admin.Answer, error) {
	if len(n.Held) > 0 {
		return admin.Answer{}, errors.New("held objects are not retried: they go out when the object they need comes")
	}
	run, err := c.schedule.Retry(n.Dead, n.Parked)
	if err != nil {
		return admin.Answer{}, err
	}
	c.note(ctx, "retry asked for", "run", run.ID, "keys", n.Keys())
	return admin.Answer{Run: run.ID, Count: n.Len(), Message: fmt.Sprintf("run %d tries %s again%s", run.ID, inspect.Count(n.Len(), "entry"), c.when)}, nil
}

// Drop implements admin.Changes.
func (c changes) Drop(ctx context.Context, n admin.Names) (admin.Answer, error) {
	count, err := c.spool.Drop(n.Dead, n.Parked, n.Held)
	if err != nil {
		return admin.Answer{}, err
	}
	c.note(ctx, "entries dropped", "keys", n.Keys())
	c.wakes.Platform.Signal() // a parked item may have held last_run back
	return admin.Answer{Count: count, Message: inspect.Count(count, "entry") + " dropped"}, nil
}
