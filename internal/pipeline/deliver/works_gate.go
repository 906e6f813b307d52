package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// ErrUndelivered ends a single run whose messages cannot be sent yet; the spool
// holds them.
var ErrUndelivered = errors.New("stopped before the run was delivered")

// gateWatch is what the gate has seen so far. A restart starts over.
type gateWatch struct {
	run   uint64    // the run that waits
	since time.Time // when it began to wait
	empty time.Time // since when both queues have been seen empty; zero: they were not
	// How much of what was pushed under the run's work was not announced, or not
	// processed, and never will be.
	unannounced, unprocessed int64
}

const gatePoll = 10 * time.Second

// waitAtGate notes that the run waits from now on, unless it does already.
func (d *Stage) waitAtGate(run *spool.Run) {
	if d.gate.run != run.ID {
		d.gate = gateWatch{run: run.ID, since: d.Now()}
	}
}

// tooLongAtGate reports whether a single run has waited as long as it may.
func (d *Stage) tooLongAtGate() bool { return d.opt.Once && d.Now().Sub(d.gate.since) >= gateLimit }

// passGate holds a run's work back until the previous one is finished. On OpenCTI
// 6.8.6 to 7.260601, once a newer work reports, workers drop what is left of an
// older one.
func (d *Stage) passGate(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	d.waitAtGate(run)
	before, err := d.workBefore(run)
	if err != nil {
		return err
	}
	open := before.ID == 0
	if !open {
		if open, err = d.drained(ctx, reg, before); err != nil {
			return err
		}
	}
	if open {
		d.gate = gateWatch{}
		return nil
	}
	if d.tooLongAtGate() {
		return fmt.Errorf("%w: OpenCTI still works on run %d", ErrUndelivered, before.ID)
	}
	return &pauseError{why: fmt.Sprintf("run %d waits until OpenCTI has worked off run %d", run.ID, before.ID), after: gatePoll}
}

// workBefore returns the run of this epoch whose work was created last before this
// run's, or the zero run: the one that is not done, or was done last. Works follow
// one another, but not always in the order of runs.
func (d *Stage) workBefore(run *spool.Run) (spool.Run, error) {
	var last spool.Run
	err := pipeline.RunHistory(d.Spool, run.Epoch, func(r spool.Run) bool {
		switch {
		case r.ID == run.ID || r.Work.ID == "" || r.Work.Status == spool.WorkDeleted:
		case r.DoneAt.IsZero():
			last = r
			return false
		case r.DoneAt.After(last.DoneAt):
			last = r
		}
		return true
	})
	return last, err
}

// drained reports whether OpenCTI has finished the run: its work is complete or
// gone, or the queue was empty for a while.
func (d *Stage) drained(ctx context.Context, reg opencti.Registration, run spool.Run) (bool, error) {
	info, err := d.Works.Work(ctx, run.Work.ID)
	if errors.Is(err, opencti.ErrWorkGone) || err == nil && info.Complete && d.split(info, run.Work) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if alive, err := d.Works.WorkAlive(ctx, run.Work.ID); err != nil || !alive {
		return err == nil, err
	}
	if run.DoneAt.IsZero() {
		return false, nil
	}
	return d.quietQueue(ctx, reg)
}

// quietQueue reports whether the queue was empty for a while.
func (d *Stage) quietQueue(ctx context.Context, reg opencti.Registration) (bool, error) {
	left, err := d.queued(ctx, reg)
	switch {
	case err != nil:
		d.gate.empty = time.Time{}
		return false, err
	case left != 0:
		d.gate.empty = time.Time{}
	case d.gate.empty.IsZero():
		d.gate.empty = d.Now()
	}
	return !d.gate.empty.IsZero() && d.Now().Sub(d.gate.empty) >= gateQuiet, nil
}

// queued counts what is left in the connector's queue, as seen by the broker and by
// the platform, which knows what a worker holds. A side that permanently refuses to
// answer does not count.
func (d *Stage) queued(ctx context.Context, reg opencti.Registration) (int64, error) {
	ready, err := d.ready(ctx, reg)
	if err != nil {
		return 0, err
	}
	q, err := d.Platform.QueueSize(ctx)
	if err != nil && !opencti.IsForbidden(err) {
		return 0, err
	}
	if err != nil {
		d.note(noModules, err)
	}
	return ready + q.Messages, nil
}

// ready returns how many messages of the queue are not held by a worker, as seen by
// the broker; 0 if the broker is not used.
func (d *Stage) ready(ctx context.Context, reg opencti.Registration) (int64, error) {
	if d.opt.Way != ToBroker {
		return 0, nil
	}
	d.Publisher.SetBroker(reg.Broker)
	defer pipeline.Waiting(ctx)()
	n, err := d.Publisher.QueueDepth(ctx, reg.Queue)
	if err != nil && !refused(err) {
		return 0, err
	}
	if err != nil {
		d.note("the broker does not tell how many messages are queued; runs follow each other by OpenCTI's word, or after two minutes", err)
	}
	return int64(n), nil
}

// refused reports an error that waiting does not change.
func refused(err error) bool {
	class, _ := fault.Of(err)
	return class == fault.Systemic || class == fault.Permanent
}

const noModules = "the connector's user may not read works and queues (capability MODULES): deleted works go unnoticed, and the queue is watched at the broker alone"

// note logs a missing right, once per process.
func (d *Stage) note(what string, err error) {
	if d.warned[what] {
		return
	}
	if d.warned == nil {
		d.warned = map[string]bool{}
	}
	d.warned[what] = true
	d.Log.Log(context.Background(), logging.LevelNotice, what, "stage", stageName, "error", err, "hint", fault.HintOf(err))
}
