package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/admin"
	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/pipeline/deliver"
	"threatmatch-connector/internal/pipeline/schedule"
	"threatmatch-connector/spool"
)

// control implements what the admin socket offers. Every change is logged with who asked for it.
type control struct{ a *app }

// NotAlive implements admin.Health.
func (c control) NotAlive() map[string]string { return health(c).NotAlive() }

// NotReady implements admin.Health.
func (c control) NotReady() map[string]string { return health(c).NotReady() }

// Status implements admin.Control.
func (c control) Status(context.Context) (inspect.Status, error) {
	a := c.a
	report := admin.ReportOf(c)
	s := inspect.Status{
		Running: true, Process: inspect.Process{PID: os.Getpid(), Started: a.began, Version: a.Version}, Now: a.Now(),
		Alive: report.Alive, Ready: report.Ready, NotReady: report.NotReady,
		Stages: stages(a.status.Snapshot()), Rates: a.rates.Now(), Next: a.schedule.Next(),
		ClockAhead: int64(a.status.Clock().Seconds()),
	}
	if a.publisher != nil {
		s.Broker = a.publisher.State()
	}
	if q, ok := a.platform.LastQueue(); ok && !a.platform.Offline() {
		s.Queue = &inspect.Queue{Bytes: q.Bytes, Threshold: int64(a.cfg.Connector.QueueThresholdMB) * 1e6}
	}
	return s, s.Fill(inspect.FromSpool(a.spool))
}

// History implements admin.Control.
func (c control) History() inspect.History { return c.a.rates.History() }

// Setup implements admin.Control.
func (c control) Setup() inspect.Setup {
	a := c.a
	s := inspect.Setup{Connector: a.Version, Go: runtime.Version(), File: a.Report.File, Settings: Settings(a.cfg, a.Report)}
	if a.opencti != nil {
		s.OpenCTI = a.opencti.PlatformVersion()
	}
	return s
}

// Settings returns the settings in force with their origin, without secrets.
func Settings(c *config.Config, report config.Report) []inspect.Setting {
	var all []inspect.Setting
	for _, s := range config.Effective(c, report, false) {
		all = append(all, inspect.Setting{Key: s.Key, Value: s.Value, Origin: s.Origin})
	}
	return all
}

// Trigger implements admin.Control.
func (c control) Trigger(ctx context.Context) (admin.Answer, error) {
	run, merged, err := c.a.schedule.Trigger()
	if err != nil {
		return admin.Answer{}, err
	}
	c.note(ctx, "run asked for", "run", run.ID, "merged", merged)
	answer := admin.Answer{Run: run.ID, Merged: merged, Message: fmt.Sprintf("run %d starts", run.ID)}
	if merged {
		answer.Message = fmt.Sprintf("run %d is being fetched already; no other run starts", run.ID)
	}
	return answer, nil
}

// Repull implements admin.Control.
func (c control) Repull(ctx context.Context, q admin.RepullRequest) (admin.Answer, error) {
	answer, err := repull(c.a.schedule, q)
	if err == nil {
		c.note(ctx, "repull asked for", "run", answer.Run, "from", q.From, "datasets", q.Datasets)
	}
	return answer, err
}

func repull(s *schedule.Schedule, q admin.RepullRequest) (admin.Answer, error) {
	var sets []spool.Dataset
	for _, n := range q.Datasets {
		sets = append(sets, spool.Dataset(n))
	}
	run, err := s.Repull(q.From, sets...)
	if err != nil {
		return admin.Answer{}, err
	}
	return admin.Answer{
		Run: run.ID, Message: fmt.Sprintf("run %d imports again from %s", run.ID, q.From.UTC().Format(time.RFC3339)),
	}, nil
}

// Skip implements admin.Control.
func (c control) Skip(ctx context.Context, q admin.SkipRequest) (admin.Answer, error) {
	skipped, answer, err := Skip(c.a.spool, c.a.Now(), q)
	if err != nil {
		return answer, err
	}
	c.note(ctx, "dataset skipped", "dataset", q.Dataset, "from", skipped.From, "to", skipped.To, "dead_letter", skipped.Dead)
	c.a.wakes.Fetch.Signal() // the run may have nothing left to fetch
	c.a.wakes.Platform.Signal()
	return answer, nil
}

// Skip moves a dataset past a span, whether the connector runs or not, and returns what to tell the operator.
func Skip(s *spool.Spool, now time.Time, q admin.SkipRequest) (spool.Skipped, admin.Answer, error) {
	meta, err := s.Meta()
	if err != nil {
		return spool.Skipped{}, admin.Answer{}, err
	}
	skipped, err := s.Skip(meta.Epoch, now, spool.Dataset(q.Dataset), q.To)
	if err != nil {
		return skipped, admin.Answer{}, err
	}
	return skipped, admin.Answer{Count: skipped.Tasks, Message: fmt.Sprintf("%s goes on from %s in its next run; dead letter %d names what was skipped, from %s on",
		q.Dataset, skipped.To.Format(time.RFC3339), skipped.Dead, skipped.From.Format(time.RFC3339))}, nil
}

// Retry implements admin.Control.
func (c control) Retry(ctx context.Context, n admin.Names) (admin.Answer, error) {
	if len(n.Held) > 0 {
		return admin.Answer{}, errors.New("held objects are not retried: they go out when the object they need comes")
	}
	run, err := c.a.schedule.Retry(n.Dead, n.Parked)
	if err != nil {
		return admin.Answer{}, err
	}
	c.note(ctx, "retry asked for", "run", run.ID, "keys", n.Keys())
	return admin.Answer{
		Run: run.ID, Count: n.Len(), Message: admin.Retried(run.ID, n.Len()),
	}, nil
}

// Drop implements admin.Control.
func (c control) Drop(ctx context.Context, n admin.Names) (admin.Answer, error) {
	count, err := c.a.spool.Drop(n.Dead, n.Parked, n.Held)
	if err != nil {
		return admin.Answer{}, err
	}
	c.note(ctx, "entries dropped", "keys", n.Keys())
	c.a.wakes.Platform.Signal() // a parked item may have held last_run back
	return admin.Answer{Count: count, Message: admin.Dropped(count)}, nil
}

// note logs, at every log level, what was asked for and by whom.
func (c control) note(ctx context.Context, what string, args ...any) {
	c.a.Log.Log(ctx, logging.LevelNotice, what, append([]any{"asked_by", admin.PeerOf(ctx).String()}, args...)...)
}

// Message implements admin.Control.
func (c control) Message(ctx context.Context, run, bundle uint64, index int) ([]byte, error) {
	a := c.a
	if a.platform.Offline() {
		return nil, errors.New("there are no messages: nothing is sent to a queue")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	reg, err := a.platform.Registration(ctx)
	if err != nil {
		return nil, errors.New("not registered with OpenCTI: the user of the messages is not known yet")
	}
	r, err := a.spool.Run(run)
	if err != nil {
		return nil, err
	}
	objects, err := a.spool.BundleObjects(run, bundle, index, 1)
	if err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("message %d of bundle %d/%d: %w", index, run, bundle, spool.ErrNotFound)
	}
	return delivery.AppendEnvelope(nil, delivery.Envelope{
		ApplicantID: reg.Applicant, WorkID: r.Work.ID, BundleID: deliver.BundleID(a.cfg.Connector.ID, r, bundle),
		Sequence: index + 1, Deps: objects[0].Deps, Update: a.cfg.Connector.UpdateExistingData, Object: objects[0].JSON,
	})
}
