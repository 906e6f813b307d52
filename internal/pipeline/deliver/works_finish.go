package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// closeWork tells OpenCTI that nothing more will come under the run's work.
func (ws *works) closeWork(ctx context.Context, run *spool.Run) error {
	if ws.opt.Way == ToArchive {
		return nil
	}
	switch run.Work.Status {
	case spool.WorkIntended:
		if err := ws.Status.Sleep(ctx, stageName, settleDelay, nil); err != nil { // the request may still be under way
			return err
		}
		if err := ws.deleteWorks(ctx, run.Work.Name, ""); err != nil {
			return err
		}
		return ws.closed(run, spool.WorkDeleted)
	case spool.WorkOpen, spool.WorkClosing:
	default:
		return nil
	}
	reg, err := ws.Platform.Registration(ctx)
	if err != nil {
		return err
	}
	info, alive, err := ws.lookAtWork(ctx, run.Work.ID)
	switch {
	case err != nil:
		return err
	case run.Work.Status == spool.WorkClosing && info.Closed: // done by a process that died afterwards
		return ws.closed(run, spool.WorkProcessed)
	case !alive:
		return ws.loseWork(run)
	}
	if run.Work.Doubt { // a repeated creation may have left others behind
		if err := ws.deleteWorks(ctx, run.Work.Name, run.Work.ID); err != nil {
			return err
		}
	}
	if err := ws.settleSurplus(ctx, run); err != nil {
		return err
	}
	if ws.opt.Way == ToAPI && run.Work.Sent > 0 {
		whole, err := ws.workedOff(ctx, reg, run, info)
		if err != nil {
			return err
		}
		if !whole && reg.Affected {
			// If we closed it now, the work could end before everything is split,
			// and the rest be dropped. The last report completes it.
			return ws.closed(run, spool.WorkProcessed)
		}
	}
	return ws.tellProcessed(ctx, reg, run)
}

// lookAtWork reads the work, and whether workers still accept its messages.
func (ws *works) lookAtWork(ctx context.Context, id string) (opencti.Work, bool, error) {
	info, err := ws.Works.Work(ctx, id)
	if errors.Is(err, opencti.ErrWorkGone) {
		return info, false, nil
	}
	if err != nil {
		return info, false, err
	}
	alive, err := ws.Works.WorkAlive(ctx, id)
	return info, alive, err
}

// tellProcessed ends a work that is alive.
func (ws *works) tellProcessed(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	w := &run.Work
	if w.Told == 0 && w.Sent == 0 {
		if err := ws.Works.DeleteWork(ctx, w.ID); err != nil {
			return err
		}
		return ws.closed(run, spool.WorkDeleted)
	}
	if reg.Affected && (w.Repeats > 0 || w.Unsure) {
		// If we closed it now, the platform could consider the work complete while
		// messages of it are still queued, and drop those. The last report
		// completes it.
		return ws.closed(run, spool.WorkProcessed)
	}
	if w.Status != spool.WorkClosing {
		w.Status = spool.WorkClosing
		if err := ws.saveWork(run); err != nil {
			return err
		}
	}
	message, trouble := fmt.Sprintf("%d objects sent", w.Sent-w.Repeats), runTrouble(run)
	if trouble != "" {
		message += "; " + trouble
	}
	if err := ws.Works.Processed(ctx, w.ID, message, trouble != ""); err != nil && !errors.Is(err, opencti.ErrWorkGone) {
		return err
	}
	return ws.closed(run, spool.WorkProcessed)
}

func (ws *works) closed(run *spool.Run, status spool.WorkStatus) error {
	run.Work.Status = status
	ws.Metrics.works.WithLabelValues(string(status)).Inc()
	return ws.saveWork(run)
}

// deleteWorks deletes the works of that name, except one.
func (ws *works) deleteWorks(ctx context.Context, name, except string) error {
	found, err := ws.worksNamed(ctx, name)
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.ID == except {
			continue
		}
		if err := ws.Works.DeleteWork(ctx, f.ID); err != nil {
			return err
		}
	}
	return nil
}

// settleSurplus settles what OpenCTI expects and will not get, because a bundle was
// damaged after it was told or a repeated announcement took effect twice: otherwise
// the work would never complete.
func (ws *works) settleSurplus(ctx context.Context, run *spool.Run) error {
	w := &run.Work
	expected := w.Told
	if w.Retold {
		info, err := ws.Works.Work(ctx, w.ID)
		if err != nil {
			return err
		}
		expected = info.Expected
	}
	for w.Ahead > 0 || w.Told < expected {
		if err := ws.unsure(run); err != nil {
			return err
		}
		err := ws.Works.ReportExpectation(ctx, w.ID, "announced, but not sent", "")
		if err != nil && !errors.Is(err, opencti.ErrWorkGone) {
			return fmt.Errorf("settle a surplus of the work %s: %w", w.ID, err)
		}
		if w.Ahead > 0 {
			w.Ahead--
		} else {
			w.Told++
		}
		if err := ws.saveWork(run); err != nil {
			return err
		}
	}
	return nil
}

// runTrouble sums up what went wrong in the run; empty if nothing did.
func runTrouble(run *spool.Run) string {
	var parts []string
	for _, ds := range spool.Datasets() {
		if dr, ok := run.Datasets[ds]; ok && dr.Status == spool.DatasetFailed {
			parts = append(parts, fmt.Sprintf("%s failed: %s", ds, dr.Detail))
		}
	}
	c := run.Counters
	if n := c["fetch.parked"]; n > 0 {
		parts = append(parts, plural(n, "item")+" to be tried again in a later run")
	}
	if n := c["fetch.dead"] + c["map.dead"] - c["map.dead_unresolved"] + c["deliver.dead"]; n > 0 {
		parts = append(parts, plural(n, "dead letter"))
	}
	return strings.Join(parts, "; ")
}

func plural(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
