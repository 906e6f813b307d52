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
func (ws *works) waitAtGate(run *spool.Run) {
	if ws.gate.run != run.ID {
		ws.gate = gateWatch{run: run.ID, since: ws.Now()}
	}
}

// tooLongAtGate reports whether a single run has waited as long as it may.
func (ws *works) tooLongAtGate() bool { return ws.opt.Once && ws.Now().Sub(ws.gate.since) >= gateLimit }

// passGate holds a run's work back until the previous one is finished. On OpenCTI
// 6.8.6 to 7.260601, once a newer work reports, workers drop what is left of an
// older one.
func (ws *works) passGate(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	ws.waitAtGate(run)
	before, err := ws.workBefore(run)
	if err != nil {
		return err
	}
	open := before.ID == 0
	if !open {
		if open, err = ws.drained(ctx, reg, before); err != nil {
			return err
		}
	}
	if open {
		ws.gate = gateWatch{}
		return nil
	}
	if ws.tooLongAtGate() {
		return fmt.Errorf("%w: OpenCTI still works on run %d", ErrUndelivered, before.ID)
	}
	return &pauseError{why: fmt.Sprintf("run %d waits until OpenCTI has worked off run %d", run.ID, before.ID), after: gatePoll}
}

// workBefore returns the run of this epoch whose work was created last before this
// run's, or the zero run: the one that is not done, or was done last. Works follow
// one another, but not always in the order of runs.
func (ws *works) workBefore(run *spool.Run) (spool.Run, error) {
	var last spool.Run
	err := pipeline.RunHistory(ws.Spool, run.Epoch, func(r spool.Run) bool {
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
func (ws *works) drained(ctx context.Context, reg opencti.Registration, run spool.Run) (bool, error) {
	info, err := ws.Works.Work(ctx, run.Work.ID)
	if errors.Is(err, opencti.ErrWorkGone) || err == nil && info.Complete && ws.split(info, run.Work) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return ws.quietQueue(ctx, reg)
}

// quietQueue reports whether the queue was empty for a while.
func (ws *works) quietQueue(ctx context.Context, reg opencti.Registration) (bool, error) {
	left, err := ws.queued(ctx, reg)
	switch {
	case err != nil:
		ws.gate.empty = time.Time{}
		return false, err
	case left != 0:
		ws.gate.empty = time.Time{}
	case ws.gate.empty.IsZero():
		ws.gate.empty = ws.Now()
	}
	return !ws.gate.empty.IsZero() && ws.Now().Sub(ws.gate.empty) >= gateQuiet, nil
}

// queued counts what is left in the connector's queue, as seen by the broker and by
// the platform, which knows what a worker holds. A side that permanently refuses to
// answer does not count.
func (ws *works) queued(ctx context.Context, reg opencti.Registration) (int64, error) {
	ready, err := ws.ready(ctx, reg)
	if err != nil {
		return 0, err
	}
	q, err := ws.Platform.QueueSize(ctx)
	if err != nil && !opencti.IsForbidden(err) {
		return 0, err
	}
	if err != nil {
		ws.note(noModules, err)
	}
	return ready + q.Messages, nil
}

// ready returns how many messages of the queue are not held by a worker, as seen by
// the broker; 0 if the broker is not used.
func (ws *works) ready(ctx context.Context, reg opencti.Registration) (int64, error) {
	if ws.opt.Way != ToBroker {
		return 0, nil
	}
	ws.Publisher.SetBroker(reg.Broker)
	defer pipeline.Waiting(ctx)()
	n, err := ws.Publisher.QueueDepth(ctx, reg.Queue)
	if err != nil && !refused(err) {
		return 0, err
	}
	if err != nil {
		ws.note("the broker does not tell how many messages are queued; runs follow each other by OpenCTI's word, or after two minutes", err)
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
func (ws *works) note(what string, err error) {
	if ws.warned[what] {
		return
	}
	if ws.warned == nil {
		ws.warned = map[string]bool{}
	}
	ws.warned[what] = true
	ws.Log.Log(context.Background(), logging.LevelNotice, what, "stage", stageName, "error", err, "hint", fault.HintOf(err))
}
