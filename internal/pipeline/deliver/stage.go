// Package deliver is the stage that sends bundles to OpenCTI's queue and reports
// each run as a work.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

const stageName = "deliver"

// Deps are the dependencies of Stage.
type Deps struct {
	Spool     Spool
	Platform  Platform
	Works     WorkClient // nil with ToArchive
	Publisher Publisher  // only with ToBroker
	Archive   Archive    // nil: none
	Wakes     pipeline.Wakes
	Status    *pipeline.Status
	Log       *slog.Logger
	Metrics   *Metrics
	Now       func() time.Time
	Rand      func() float64 // in [0, 1), for jitter
	Paused    func() string  // why an operator has paused sending; "" or nil: not paused
}

// Way is how messages reach OpenCTI's workers.
type Way uint8

const (
	ToBroker  Way = iota // published to OpenCTI's RabbitMQ
	ToAPI                // pushed in chunks to OpenCTI's API, which queues them
	ToArchive            // not sent to OpenCTI: no work is created
)

// Options are deliver's settings.
type Options struct {
	Way            Way
	ConnectorID    string
	ConnectorName  string        // the prefix of a work's name
	Update         bool          // the messages' update flag
	Window         int           // messages in flight, or in a chunk
	Drain          time.Duration // how long a push under way may continue after a stop
	MaxMessageSize int64         // bytes of a body; 0: the broker decides
	QueueThreshold float64       // MB of OpenCTI's queue above which deliver pauses; 0: never
	Once           bool          // a single run: do not wait forever for the run before it
}

const (
	queuePoll   = 10 * time.Second // between two looks at the queue's size
	settleDelay = 5 * time.Second  // before a call with unknown outcome is looked up
	gateQuiet   = 2 * time.Minute  // how long the queue must be empty to count as drained
	gateLimit   = 10 * time.Minute // how long a single run waits for that
)

// Stage sends bundles from the spool to OpenCTI's queue, oldest first, and reports
// each run as a work. Everything it must remember is in the spool: after a crash at
// any moment a new Stage continues.
type Stage struct {
	works

	back   pipeline.Backoff
	resets int64 // the platform loop's count of resets when the step began

	current  *spool.Run // the run whose bundle is being sent
	bundle   *spool.Bundle
	begun    uint64   // the run that this process is publishing
	stop     obstacle // a message that cannot be sent, to be skipped when the cursor reaches it
	limit    sizeLimit
	careful  bool      // the next message is sent alone
	push     pushState // how chunks are sent
	body     []byte    // buffer of the last message, reused for the next
	moved    bool      // something was confirmed since the last trouble
	said     string    // the last trouble that was logged
	unready  string    // why nothing can be sent, until something is
	nextLook time.Time // when to ask for the queue's size

	// The STIX ids skipped and not sent since, each with the time when OpenCTI was
	// last found not to have it from elsewhere; nil: not loaded.
	dead map[string]time.Time
}

// bundleKey identifies a message.
type bundleKey struct {
	run, seq uint64
	index    int
}

// cursor returns the first message of the bundle that is not confirmed.
func (d *Stage) cursor() bundleKey {
	return bundleKey{d.bundle.Run, d.bundle.Seq, d.bundle.Confirmed}
}

// place is where that message is in its run.
func (d *Stage) place() spool.Place {
	return spool.Place{Bundle: d.bundle.Seq, Index: d.bundle.Confirmed}
}

// obstacle is a message that becomes a dead letter.
type obstacle struct {
	key        bundleKey // the zero key: none
	class, why string
}

// New returns the stage. It sends nothing yet.
func New(d Deps, o Options) (*Stage, error) {
	if o.Window <= 0 || o.ConnectorName == "" {
		return nil, fault.Mark(fault.Fatal, errors.New("deliver: the window or the connector's name is not set"))
	}
	return &Stage{
		works: works{Deps: d, opt: o}, limit: sizeLimit{fixed: o.MaxMessageSize},
		back: pipeline.Backoff{Min: 500 * time.Millisecond, Max: 30 * time.Second, Rand: d.Rand},
	}, nil
}

// Run delivers until ctx is done, which is not an error; the publisher then waits
// for outstanding confirms as long as it is allowed to.
func (d *Stage) Run(ctx context.Context) error {
	return pipeline.Loop{Stage: stageName, Status: d.Status, Wake: d.Wakes.Deliver, Hold: d.Paused, End: d.quiet, Step: func(ctx context.Context) (time.Duration, error) {
		worked, err := d.step(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil && worked:
			d.fine()
		case err == nil:
			d.fine()
			d.Platform.Hold(holdQueue, false)
			d.Status.Set(stageName, "idle", "", "")
			return 30 * time.Second, nil
		case errors.Is(err, spool.ErrEpoch):
			d.forget()
		case errors.Is(err, ErrUndelivered), fault.Is(err, fault.Fatal):
			return 0, err
		default:
			_ = d.Status.Sleep(ctx, stageName, d.trouble(err), nil) // not ended by a wake, because map may signal all the time
		}
		return 0, nil
	}}.Run(ctx)
}

// step does the next piece of work. It returns false if there is none.
func (d *Stage) step(ctx context.Context) (bool, error) {
	d.resets = d.Platform.Resets()
	meta, err := d.Spool.Meta()
	if err != nil {
		return false, err
	}
	d.epoch, d.limit.told = meta.Epoch, meta.Limit
	runs, err := d.Spool.OpenRuns() // read before the bundles: a run that is mapped now has all of its bundles
	if err != nil {
		return false, err
	}
	b, err := d.nextBundle(runs)
	if errors.Is(err, spool.ErrCorrupt) {
		return false, fault.Hint(fault.Mark(fault.Systemic, err), "threatmatch-connector spool verify")
	}
	if err != nil && !errors.Is(err, spool.ErrNotFound) {
		return false, err
	}
	none := err != nil
	finished, err := d.finishRuns(ctx, runs)
	if err != nil || none {
		return finished, err
	}
	run, err := d.Spool.Run(b.Run)
	if err != nil {
		return false, err
	}
	d.current, d.bundle = &run, &b
	d.showProgress()
	if err := d.deliver(ctx); err != nil && !errors.Is(err, errWorkLost) { // the next step creates a new one
		return false, err
	}
	d.current, d.bundle = nil, nil
	return true, nil
}

func (d *Stage) showProgress() {
	b := d.bundle
	if d.back.Tries > 0 && !d.moved {
		return // a retry does not end the trouble
	}
	d.Status.Set(stageName, "working", fmt.Sprintf("run %d, bundle %d: %d of %d messages confirmed", b.Run, b.Seq, b.Confirmed, b.Objects), d.unready)
}

// nextBundle returns the next bundle of the run whose work is in progress, or else
// of the oldest run that has one.
func (d *Stage) nextBundle(runs []spool.Run) (spool.Bundle, error) {
	for _, r := range runs {
		if !workUnderWay(&r) {
			continue
		}
		if b, err := d.Spool.NextBundleOf(r.ID); !errors.Is(err, spool.ErrNotFound) {
			return b, err
		}
	}
	return d.Spool.NextBundle()
}

// finishRuns ends the runs that have nothing left.
func (d *Stage) finishRuns(ctx context.Context, runs []spool.Run) (bool, error) {
	finished := false
	for _, r := range runs {
		if r.MappedAt.IsZero() || r.FetchedAt.IsZero() {
			continue
		}
		if left, err := d.bundlesLeft(r.ID); err != nil {
			return finished, err
		} else if left {
			continue
		}
		if err := d.finishRun(ctx, &r); err != nil {
			return finished, err
		}
		finished = true
	}
	return finished, nil
}

// finishRun ends a run that has nothing left: it closes the work and moves the
// watermarks.
func (d *Stage) finishRun(ctx context.Context, run *spool.Run) error {
	d.Status.Set(stageName, "working", fmt.Sprintf("run %d: everything is confirmed", run.ID), "")
	if err := d.closeWork(ctx, run); err != nil {
		return err
	}
	if err := d.Spool.FinishRun(d.epoch, run.ID, d.Now()); err != nil {
		return err
	}
	d.Metrics.runs.Inc()
	d.Wakes.Platform.Signal()
	d.Wakes.Schedule.Signal()
	about := []any{"stage", stageName, "run", run.ID, "reason", string(run.Reason), "messages", run.Work.Sent}
	for _, c := range []struct {
		name  string
		count int64
	}{
		{"repeated", run.Work.Repeats}, {"items", run.Counters["fetch.items"]}, {"ioc_objects", run.Counters["fetch.objects"]},
		{"skipped_equal", run.Counters["map.skipped_equal"]}, {"held", run.Counters["map.held"]},
	} {
		if c.count != 0 {
			about = append(about, c.name, c.count)
		}
	}
	d.Log.Log(ctx, logging.LevelNotice, "run delivered", append(about, "trouble", runTrouble(run), "work", run.Work.ID,
		"took", d.Now().Sub(run.Created).Round(time.Second), "details", fmt.Sprintf("threatmatch-connector spool run %d", run.ID))...)
	return nil
}

// forget drops everything that belongs to an epoch that a reset ended.
func (d *Stage) forget() {
	d.Log.Info("the spool was reset, delivery starts over", "stage", stageName)
	d.current, d.bundle, d.begun, d.stop = nil, nil, 0, obstacle{}
	d.Platform.Hold(holdQueue, false)
	d.fine()
}

// quiet records at a clean stop that nothing is in flight, in mid-bundle or before
// the next one that was told.
func (d *Stage) quiet() error {
	if d.begun == 0 {
		return nil
	}
	run, err := d.Spool.Run(d.begun)
	if err == nil && run.DoneAt.IsZero() && !run.Work.Quiet {
		run.Work.Quiet = true
		err = d.saveWork(&run)
	}
	if errors.Is(err, spool.ErrEpoch) || errors.Is(err, spool.ErrNotFound) {
		return nil
	}
	return err
}
