// Package app wires the connector: it turns settings into the options of each package, puts adapters behind the
// pipeline's interfaces, and runs it all.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/check"
	"threatmatch-connector/internal/clients"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/metrics"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/deliver"
	"threatmatch-connector/internal/pipeline/platform"
	"threatmatch-connector/internal/pipeline/schedule"
	"threatmatch-connector/spool"
)

// How a run can end other than well or fatally.
var (
	// ErrIncomplete: a single run is delivered, but something of it was parked or became a dead letter, or a dataset
	// failed.
	ErrIncomplete = errors.New("the run is delivered, but not all of it could be fetched or mapped")
	// ErrUndelivered: the process was stopped before the run was delivered; the spool holds the rest.
	ErrUndelivered = deliver.ErrUndelivered
)

// Options is what Run needs. Report, Once, Hurry, Trigger and Watch are optional.
type Options struct {
	Config  *config.Config
	Report  config.Report // where the settings come from
	Once    bool          // one run, whatever the settings say
	Log     *slog.Logger
	Now     func() time.Time
	Version string
	Hurry   <-chan struct{} // closed: stop without waiting for the drain
	Trigger <-chan struct{} // each value: start a run now
	// Watch, if not nil, runs beside the stages until ctx is done, to show progress.
	Watch func(ctx context.Context, status func() (inspect.Status, error))
}

// app is one running connector.
type app struct {
	Options
	spool    *spool.Spool
	wakes    pipeline.Wakes
	status   *pipeline.Status
	registry *prometheus.Registry
	metrics  metrics.Set
	began    time.Time
	opencti  *opencti.Client // nil offline
	platform *platform.Platform
	schedule *schedule.Schedule
	expire   func(time.Time) (int, error) // removes old files of the archive; nil without one
	// publisher is nil if nothing is sent to a queue.
	publisher *clients.Publisher
	rates     *metrics.Rates
	waited    string // what the stages waited for when the stop began
	closers   []func()
}

// Run runs the connector until ctx is done or, for a single run, until that is delivered. It returns nil after an
// orderly stop of the daemon; for a single run it may return ErrIncomplete or ErrUndelivered.
func Run(ctx context.Context, o Options) error {
	o.Once = o.Once || o.Config.Once()
	a := &app{
		Options: o,
		wakes:   pipeline.NewWakes(), status: pipeline.NewStatus(o.Now),
		registry: prometheus.NewRegistry(), began: o.Now(),
	}
	a.metrics = metrics.New(a.registerer(), o.Now)
	a.rates = &metrics.Rates{Gather: a.registry, Clock: o.Now}
	limitMemory(a.Log)
	if a.Config.Connector.RunTimeout > 0 && a.Once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.Config.Connector.RunTimeout)
		defer cancel()
	}
	if err := a.openSpool(ctx); err != nil {
		return a.whileOpening(ctx, err)
	}
	err := a.run(ctx)
	for i := len(a.closers) - 1; i >= 0; i-- {
		a.closers[i]()
	}
	if errors.Is(err, pipeline.ErrUndrained) { // loops may still run; the next start finds an unclean spool
		return errors.Join(err, fmt.Errorf("%w; waited for: %s", ErrUndelivered, cmp.Or(a.waited, "nothing in particular")))
	}
	outcome := a.outcome(ctx, err)
	return errors.Join(outcome, a.spool.Close())
}

func (a *app) openSpool(ctx context.Context) error {
	c := a.Config
	s, err := spool.Open(ctx, spool.Options{
		Dir: c.Spool.Dir, ConnectorID: c.Connector.ID, MaxSize: c.Spool.MaxSize, KeepRecords: c.Spool.KeepRecords,
		Now: a.Now, Version: a.Version, Socket: c.Admin.Socket,
	})
	if err != nil {
		return check.SpoolHint(err, c.Spool.Dir)
	}
	a.spool = s
	if check.WritableByOthers(c.Spool.Dir) {
		a.Log.Warn("other users can write in the spool's directory", "dir", c.Spool.Dir, "hint", "chmod 700 "+c.Spool.Dir)
	}
	if check.LargerThanDisk(c.Spool.Dir, c.Spool.MaxSize) {
		a.Log.Log(ctx, logging.LevelNotice, "the disk has less room than the spool may take", "dir", c.Spool.Dir, "max_size", c.Spool.MaxSize, "hint", "lower spool.max_size, or give the spool a larger volume")
	}
	meta, err := s.Meta()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	if meta.SetAside != "" {
		a.Log.Error("the spool was damaged and set aside; a new one starts from the platform's state", "set_aside", meta.SetAside)
	}
	return nil
}

// tellWay logs an error if the spool has recorded as sent what went elsewhere: into a directory, or to OpenCTI. Only a
// connector with a platform keeps notes about it.
func (a *app) tellWay(meta spool.Meta) {
	switch met := len(meta.Platform) > 0; {
	case !meta.StateKnown || met != a.Config.Offline():
	case met:
		a.Log.Error("this spool was used with OpenCTI: what goes into the directory now counts as sent, and OpenCTI does not get it",
			"dir", a.Config.Spool.Dir, "hint", "stop it, and give the dry run a spool.dir of its own")
	default:
		a.Log.Error("this spool was used without OpenCTI: what went into the directory counts as sent, and OpenCTI does not get it",
			"dir", a.Config.Spool.Dir, "hint", "stop it, and choose another spool.dir: the import then begins anew")
	}
}

// whileOpening returns err, unless we were asked to stop while a large file was being checked or compacted: then nil
// for a daemon, and ErrUndelivered for a single run.
func (a *app) whileOpening(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) && !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	if a.Once {
		return fmt.Errorf("%w: while the spool was being opened", ErrUndelivered)
	}
	return nil
}

func (a *app) run(ctx context.Context) error {
	parts, err := a.build()
	if err != nil {
		return err
	}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.registerer().MustRegister(metrics.NewSpoolCollector(a.spool, a.control(), a.Now, a.Log, a.period(), a.Version))
	if err := a.spool.MarkResumed(); err != nil {
		return err
	}
	about := []any{"version", a.Version, "connector_id", a.Config.Connector.ID,
		"spool", a.Config.Spool.Dir, "once", a.Once, "datasets", a.Config.ThreatMatch.Datasets()}
	meta, err := a.spool.Meta()
	if err != nil {
		return err
	}
	before, err := a.before(meta)
	if err != nil {
		return err
	}
	a.Log.Log(ctx, logging.LevelNotice, "connector starts", append(about, before...)...)
	a.tellPaused(ctx, meta)
	a.tellWay(meta)
	stopAdmin, err := a.serve(ctx)
	if err != nil {
		return err
	}
	defer stopAdmin()
	drained := context.WithoutCancel(ctx) // for what goes on during the drain
	defer beside(drained, a.handleTriggers)()
	defer a.notify(ctx)()
	if a.Watch != nil {
		defer beside(drained, func(ctx context.Context) { a.Watch(ctx, a.control().Status) })()
	}
	defer beside(ctx, (&pipeline.StallReporter{Status: a.status, Log: a.Log, Now: a.Now, Patience: a.stallPatience()}).Run)()
	parts.Stopping = func() { a.waited = waits(a.status.Snapshot()) }
	err = pipeline.NewSupervisor(parts, a.Config.Connector.DrainTimeout, a.Log).Run(ctx, a.Hurry)
	a.Log.Log(ctx, logging.LevelNotice, "connector stops", append([]any{"ran_for", a.Now().Sub(a.began).Round(time.Second)}, a.left()...)...)
	return err
}

// before describes what the previous process left behind: an unclean stop, and the run that continues.
func (a *app) before(meta spool.Meta) ([]any, error) {
	var about []any
	if meta.Unclean {
		about = append(about, "stop_before", "not in order: killed, or the power failed")
	}
	open, err := a.spool.OpenRuns()
	if len(open) > 0 {
		about = append(about, "goes_on_with_run", open[0].ID)
	}
	return about, err
}

// tellPaused logs which stages an operator has paused and what follows from that: a single run would seem to hang.
func (a *app) tellPaused(ctx context.Context, meta spool.Meta) {
	then := "the other stages go on; what this one has to do waits in the spool until it is resumed"
	switch {
	case a.Once && a.Config.Connector.RunTimeout > 0:
		then = fmt.Sprintf("this run waits until it is resumed; connector.run_timeout ends it after %v, with exit code 4", a.Config.Connector.RunTimeout)
	case a.Once:
		then = "this run waits until it is resumed, however long that takes; stopped before that, it ends with exit code 4"
	}
	for _, p := range inspect.PausedOf(meta) {
		a.Log.Log(ctx, logging.LevelNotice, "a stage starts paused", "stage", p.Stage, "since", p.Since, "then", then, "hint", "threatmatch-connector resume "+p.Stage)
	}
}

// left says what continues at the next start; nothing if every run is delivered and none is queued.
func (a *app) left() []any {
	open, err := a.spool.OpenRuns()
	stats, serr := inspect.FromSpool(a.spool).Stats()
	if err != nil || serr != nil || len(open) == 0 && stats.Queued == 0 {
		return nil // errors of the spool are reported where they stop something
	}
	text := "goes on"
	if len(open) > 0 {
		text += fmt.Sprintf(" with run %d", open[0].ID)
	}
	if backlog := stats.Backlog(); backlog != "" {
		text += ": " + backlog
	}
	return []any{"next_start", text}
}

// beside runs f until ctx is done or the returned function is called, which waits for f.
func beside(ctx context.Context, f func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { f(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// outcome returns how a single run ended. A daemon that was asked to stop ended well.
func (a *app) outcome(ctx context.Context, err error) error {
	if err != nil || !a.Once {
		return err
	}
	if err := a.undelivered(ctx); err != nil {
		return err
	}
	return a.incomplete()
}

// incomplete returns an error if a run that this process finished lacks something.
func (a *app) incomplete() error {
	runs, err := a.spool.Runs(0, 100)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.DoneAt.Before(a.began) || r.Dropped {
			continue
		}
		if why := shortcoming(r); why != "" {
			return fmt.Errorf("%w: run %d: %s", ErrIncomplete, r.ID, why)
		}
	}
	return nil
}

// handleTriggers starts a run for each trigger.
func (a *app) handleTriggers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.Trigger:
			answer, err := a.control().Trigger(ctx)
			a.Log.Info("run asked for by signal", "answer", answer, "error", err)
		}
	}
}

// registerer puts the operator's prefix before the name of every metric.
func (a *app) registerer() prometheus.Registerer {
	return metrics.Prefixed(a.registry, a.Config.Connector.MetricsNamespace, a.Config.Connector.MetricsSubsystem)
}

// stallPatience returns how long a stall lasts before it is logged: somebody may be waiting for a single run.
func (a *app) stallPatience() time.Duration {
	if a.Once {
		return 5 * time.Second
	}
	return time.Minute
}

// period returns the time between two runs, zero for a single one.
func (a *app) period() time.Duration {
	if a.Once {
		return 0
	}
	return a.Config.Connector.DurationPeriod.Approx()
}
