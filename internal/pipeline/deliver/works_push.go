package deliver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// pushPoll is how long to wait before looking at the work again.
const pushPoll = 3 * time.Second

// split reports whether everything pushed under the work is announced. Published
// messages are announced from the start.
func (ws *works) split(info opencti.Work, w spool.Work) bool {
	return ws.opt.Way != ToAPI || info.Expected >= w.Sent
}

// inOrder waits, where workers split, until they have imported the objects pushed
// before. Two workers that split in parallel would interleave their chunks, and
// refuse an object that refers to a later one. If the work cannot be read, the
// order is unknown.
func (ws *works) inOrder(ctx context.Context, reg opencti.Registration, run *spool.Run, pushed int64) error {
	if reg.SplitsPushed || pushed == 0 {
		return nil
	}
	ws.waitAtGate(run)
	info, err := ws.Works.Work(ctx, run.Work.ID)
	switch {
	case errors.Is(err, opencti.ErrWorkGone):
		return nil // the next check of the work finds out
	case err != nil:
		return err
	case info.Unread:
		ws.note(noModules, nil)
		return nil
	case info.Expected+ws.gate.unannounced >= pushed && info.Processed+ws.gate.unprocessed >= info.Expected:
		ws.gate.since = ws.Now() // a single run waits for each chunk anew
		return nil
	}
	quiet, err := ws.quietQueue(ctx, reg)
	switch {
	case err != nil:
		return err
	case quiet:
		ws.gate.unannounced, ws.gate.unprocessed = max(0, pushed-info.Expected), info.Expected-info.Processed
		return nil
	case ws.tooLongAtGate():
		return nil
	}
	return &pauseError{why: fmt.Sprintf("run %d waits until OpenCTI's workers have imported what it was sent", run.ID), after: pushPoll}
}

// workedOff waits until workers have split and imported everything pushed under the
// run's work: until then the work may look complete between two chunks, and closing
// it would end it. It returns false if that cannot be known, or takes too long.
func (ws *works) workedOff(ctx context.Context, reg opencti.Registration, run *spool.Run, info opencti.Work) (bool, error) {
	if info.Unread {
		ws.note(noModules, nil)
		return false, nil
	}
	ws.waitAtGate(run)
	w := &run.Work
	whole := ws.split(info, *w) && info.Processed >= info.Expected
	// A repeated chunk may be counted for one still to come, except where the
	// platform announces each chunk before it answers.
	if whole && (!w.Unsure || reg.SplitsPushed) {
		return true, nil
	}
	quiet, err := ws.quietQueue(ctx, reg)
	switch {
	case err != nil:
		return false, err
	case quiet && info.Processed < info.Expected && !reg.Affected:
		return false, ws.settleLost(ctx, run, info)
	case quiet:
		return whole, nil
	case ws.tooLongAtGate():
		return false, nil
	}
	return false, &pauseError{why: fmt.Sprintf("run %d waits until OpenCTI has imported what it was sent", run.ID), after: pushPoll}
}

// settleLost settles what was announced but is no longer in the queue: from a
// bundle that was announced and failed, or whose splitter died, and that came
// again.
func (ws *works) settleLost(ctx context.Context, run *spool.Run, info opencti.Work) error {
	for range info.Expected - info.Processed {
		err := ws.Works.ReportExpectation(ctx, run.Work.ID, "", "")
		if err != nil && !errors.Is(err, opencti.ErrWorkGone) {
			return fmt.Errorf("settle what the work %s expects in vain: %w", run.Work.ID, err)
		}
	}
	return nil
}
