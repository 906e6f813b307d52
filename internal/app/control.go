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
	"threatmatch-connector/internal/pipeline/deliver"
	"threatmatch-connector/spool"
)

// control is what the admin socket, the probes and the page offer.
type control struct {
	inspect.Inspector
	changes
	a *app
}

func (a *app) control() control { return control{inspect.FromSpool(a.spool), a.changes(), a} }

// Status implements admin.Control.
func (c control) Status() (inspect.Status, error) {
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
		s.Queue = &inspect.Queue{Bytes: q.Bytes, Threshold: int64(a.Config.Connector.QueueThresholdMB) * 1e6}
	}
	return s, s.Fill(c)
}

// History implements admin.Control.
func (c control) History() (inspect.History, error) { return c.a.rates.History(), nil }

// Setup implements admin.Control.
func (c control) Setup() (inspect.Setup, error) {
	a := c.a
	s := inspect.Setup{Connector: a.Version, Go: runtime.Version(), File: a.Report.File, Settings: Settings(a.Config, a.Report)}
	if a.opencti != nil {
		s.OpenCTI = a.opencti.PlatformVersion()
	}
	return s, nil
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
		ApplicantID: reg.Applicant, WorkID: r.Work.ID, BundleID: deliver.BundleID(a.Config.Connector.ID, r, bundle),
		Sequence: index + 1, Deps: objects[0].Deps, Update: a.Config.Connector.UpdateExistingData, Object: objects[0].JSON,
	})
}
