package deliver

import (
	"context"
	"fmt"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// split reports whether all that was pushed under the work is announced. Where
// messages are published, that is so from the start.
func (d *Stage) split(info opencti.Work, w spool.Work) bool {
	return d.opt.Way != ToAPI || info.Expected >= w.Sent
}

// workedOff waits until workers have split and imported all that was pushed under
// the run's work: until then it may look complete between two chunks, and what is
// told so ends. It reports false when that cannot be known, or takes too long.
func (d *Stage) workedOff(ctx context.Context, reg opencti.Registration, run *spool.Run, info opencti.Work) (bool, error) {
	if info.Unread {
		d.note(noModules, nil)
		return false, nil
	}
	if d.gate.run != run.ID {
		d.gate = gateWatch{run: run.ID, since: d.Now()}
	}
	w := &run.Work
	whole := d.split(info, *w) && info.Processed >= info.Expected
	if whole && !w.Unsure { // else a repeated chunk may count for one to come
		return true, nil
	}
	quiet, err := d.quietQueue(ctx, reg)
	switch {
	case err != nil:
		return false, err
	case quiet:
		return whole, nil
	case d.opt.Once && d.Now().Sub(d.gate.since) >= d.opt.GateLimit:
		return false, nil
	}
	return false, &pauseError{fmt.Sprintf("run %d waits until OpenCTI has imported what it was sent", run.ID), gatePoll}
}
