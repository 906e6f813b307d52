// Package fetch is the stage that makes the requests of the spool's tasks to
// ThreatMatch.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

const stageName = "fetch"

// Deps are the dependencies of Stage. All but Paused are required.
type Deps struct {
	Spool   Spool
	Source  Source
	Wakes   pipeline.Wakes
	Status  *pipeline.Status
	Log     *slog.Logger
	Metrics *Metrics
	Now     func() time.Time
	Rand    func() float64 // in [0, 1), for jitter
	Paused  func() string  // why an operator has paused fetching; "" or nil: not paused
}

// Options are the fetch stage's settings.
type Options struct {
	Datasets       []spool.Dataset // the enabled ones
	MaxConcurrency int             // requests at a time
	MaxAttempts    int             // runs that may park an item before it becomes a dead letter
	Groups         []string        // names or ids of IOC groups
	OnlyGroups     bool            // if none of Groups is offered, do not read the others instead
	Types          []string        // STIX types to page
	Details        bool            // also fetch the portal's details of profiles and reports
	// MaxWait limits every wait: the connector's period. 0: no limit.
	MaxWait time.Duration
	// GiveUp ends the stage with an error once the account or address has been
	// refused for this long. 0: never.
	GiveUp time.Duration
}

// Spool is the part of the spool that the fetch stage uses.
type Spool interface {
	Meta() (spool.Meta, error)
	Room() spool.Room
	Stats() (spool.Stats, error)
	OpenRuns() ([]spool.Run, error)
	Run(id uint64) (spool.Run, error)
	Runs(before uint64, limit int) ([]spool.Run, error)
	NextBundle() (spool.Bundle, error)
	ReadyTasks(run uint64, now time.Time, limit int, skip func(spool.TaskKey) bool) ([]spool.Task, time.Time, error)
	Task(key spool.TaskKey) (spool.Task, error)
	Enqueue(epoch uint64, reason spool.Reason, dead []uint64, tasks []spool.NewTask) error
	FailingTasks(run uint64, limit int) ([]spool.Task, error)
	SettleTasks(epoch uint64, now time.Time, outcomes []spool.Outcome) error
	FailDataset(epoch uint64, run uint64, d spool.Dataset, status spool.DatasetStatus, detail string) error
	DropDataset(epoch uint64, d spool.Dataset) (int, error)
	FinishFetch(epoch uint64, run uint64, now time.Time) error
}

// Stage makes the requests of the spool's tasks and commits the responses. One
// goroutine owns all its state: it starts requests, which report back to it, judges
// the responses, and commits together those that are ready. A request's slot is
// free again when its response is committed, not before. Run it once.
type Stage struct {
	Deps
	opt Options
	// stepTasks is how many tasks one transaction adds.
	stepTasks int

	results chan result
	control chan error

	// The fields below belong to Run's goroutine.
	epoch    uint64
	run      *openRun               // the run being fetched; nil when there is none
	flying   map[spool.TaskKey]bool // requested, or answered and not committed
	ready    []verdict              // judged, not committed
	doubtful []result               // failed; the control request decides whether that counts
	health   health
	itemsDue bool // the next slot goes to an item
	failing  failing
	stuck    string // the datasets that fail run after run, and why
	squeezed bool   // paused for lack of room
	fatal    error
	skewed   bool // a warning about a wrong clock was logged
	jobs     sync.WaitGroup
	jobCtx   context.Context // context of the current epoch's requests
	stopJobs context.CancelCauseFunc
}

// New returns the stage. It does nothing yet.
func New(d Deps, o Options) (*Stage, error) {
	if o.MaxConcurrency <= 0 || o.MaxAttempts <= 0 || len(o.Groups) == 0 || len(o.Types) == 0 {
		return nil, fault.Mark(fault.Fatal, errors.New("fetch: the number of requests at a time, of attempts, the groups or the types are not set"))
	}
	return &Stage{
		Deps: d, opt: o, stepTasks: tasksStep,
		results: make(chan result, o.MaxConcurrency),
		control: make(chan error, 1),
		flying:  map[spool.TaskKey]bool{},
	}, nil
}

// Run fetches until ctx is done, which is not an error. Requests under way are then
// cancelled and count as not made; responses already received are committed. An
// error means that the spool cannot be used, or that GiveUp has passed.
func (f *Stage) Run(ctx context.Context) error {
	f.Status.Set(stageName, "starting", "", "")
	f.jobCtx, f.stopJobs = context.WithCancelCause(ctx)
	defer func() {
		f.stopJobs(fault.ErrShutdown)
		f.jobs.Wait()
	}()
	if err := f.dropSwitchedOff(); err != nil {
		return err
	}
	if err := f.lookForStuck(); err != nil {
		return err
	}
	return pipeline.Loop{Stage: stageName, Status: f.Status, End: f.finish, Step: func(ctx context.Context) (time.Duration, error) {
		wait, err := f.step(ctx)
		if err == nil {
			f.sleep(ctx, wait) // a response ends it early
		}
		return 0, err
	}}.Run(ctx)
}

// dropSwitchedOff drops the open tasks of datasets that are no longer enabled.
func (f *Stage) dropSwitchedOff() error {
	meta, err := f.Spool.Meta()
	if err != nil {
		return err
	}
	f.epoch = meta.Epoch
	for _, d := range spool.Datasets() {
		if slices.Contains(f.opt.Datasets, d) {
			continue
		}
		n, err := f.Spool.DropDataset(f.epoch, d)
		if errors.Is(err, spool.ErrEpoch) {
			continue // a reset removed them already
		}
		if err != nil {
			return err
		}
		if n > 0 {
			f.Log.Warn("dataset is switched off: its open requests are dropped", "stage", stageName, "dataset", d, "count", n)
		}
	}
	return nil
}

// step runs one pass and returns how long to wait.
func (f *Stage) step(ctx context.Context) (time.Duration, error) {
	if f.fatal != nil {
		return 0, f.fatal
	}
	if err := f.follow(ctx); err != nil {
		return 0, err
	}
	if err := f.commit(); err != nil {
		return 0, err
	}
	if f.Paused != nil {
		if why := f.Paused(); why != "" { // requests under way may still come in
			f.Status.Set(stageName, "paused", why, "")
			return pausePoll, nil
		}
	}
	if err := f.gaveUp(); err != nil {
		return 0, err
	}
	if err := f.lookAtFailing(ctx); err != nil {
		return 0, err
	}
	wait, err := f.dispatch()
	if errors.Is(err, spool.ErrEpoch) || errors.Is(err, spool.ErrNotFound) {
		f.run = nil // a reset happened in between; the next step sees it
		return controlEvery, nil
	}
	wait = f.bounded(min(wait, f.probe(), time.Minute))
	if f.failing.any || len(f.failing.told) > 0 {
		wait = min(wait, failEvery)
	}
	return wait, err
}

// pausePoll is how often a paused stage checks whether it may continue.
const pausePoll = time.Second

// sleep waits for a response, a wake, or the time of the next step.
func (f *Stage) sleep(ctx context.Context, wait time.Duration) {
	defer f.Status.Waiting(stageName)()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	case <-f.Wakes.Fetch:
	case r := <-f.results:
		f.handleResult(r)
	case err := <-f.control:
		f.handleControl(err)
	}
	for len(f.results) > 0 { // whatever else has arrived joins the same commit
		f.handleResult(<-f.results)
	}
}

// finish ends a clean stop: responses are kept, requests without one count as never
// made.
func (f *Stage) finish() error {
	f.stopJobs(fault.ErrShutdown)
	f.jobs.Wait()
	for len(f.results) > 0 {
		if r := <-f.results; r.err == nil {
			f.handleResult(r)
		}
	}
	if err := f.commit(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return nil
}

// errReset is the cause with which requests of an older epoch are cancelled.
var errReset = errors.New("spool was reset")

// follow detects resets and drops whatever belongs to an older epoch.
func (f *Stage) follow(ctx context.Context) error {
	meta, err := f.Spool.Meta()
	if err != nil || meta.Epoch == f.epoch {
		return err
	}
	f.stopJobs(errReset)
	f.jobs.Wait()
	for len(f.results) > 0 {
		r := <-f.results
		r.release()
	}
	drop(f.ready)
	for len(f.control) > 0 {
		<-f.control
	}
	f.epoch, f.run, f.ready, f.doubtful = meta.Epoch, nil, nil, nil
	f.health.asking = false
	clear(f.flying)
	f.jobCtx, f.stopJobs = context.WithCancelCause(ctx)
	return f.lookForStuck()
}
