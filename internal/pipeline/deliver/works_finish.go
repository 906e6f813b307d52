package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

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

// closeWork tells OpenCTI that nothing more will come under the run's work.
func (d *Stage) closeWork(ctx context.Context, run *spool.Run) error {
	if d.opt.Way == ToArchive {
		return nil
	}
	switch run.Work.Status {
	case spool.WorkIntended:
		if err := d.Status.Sleep(ctx, stageName, settleDelay, nil); err != nil { // the request may still be under way
			return err
		}
		if err := d.deleteWorks(ctx, run.Work.Name, ""); err != nil {
			return err
		}
		return d.closed(run, spool.WorkDeleted)
	case spool.WorkOpen, spool.WorkClosing:
	default:
		return nil
	}
	reg, err := d.Platform.Registration(ctx)
	if err != nil {
		return err
	}
	info, alive, err := d.lookAtWork(ctx, run.Work.ID)
	switch {
	case err != nil:
		return err
	case run.Work.Status == spool.WorkClosing && info.Closed: // done by a process that died afterwards
		return d.closed(run, spool.WorkProcessed)
	case !alive:
		return d.loseWork(run)
	}
	if run.Work.Doubt { // a repeated creation may have left others behind
		if err := d.deleteWorks(ctx, run.Work.Name, run.Work.ID); err != nil {
			return err
		}
	}
	if err := d.settleSurplus(ctx, run); err != nil {
		return err
	}
	if d.opt.Way == ToAPI && run.Work.Sent > 0 {
		whole, err := d.workedOff(ctx, reg, run, info)
		if err != nil {
			return err
		}
		if !whole && reg.Affected {
			// If we closed it now, the work could end before everything is split,
			// and the rest be dropped. The last report completes it.
			return d.closed(run, spool.WorkProcessed)
		}
	}
	return d.tellProcessed(ctx, reg, run)
}

// lookAtWork reads the work, and whether workers still accept its messages.
func (d *Stage) lookAtWork(ctx context.Context, id string) (opencti.Work, bool, error) {
	info, err := d.Works.Work(ctx, id)
	if errors.Is(err, opencti.ErrWorkGone) {
		return info, false, nil
	}
	if err != nil {
		return info, false, err
	}
	alive, err := d.Works.WorkAlive(ctx, id)
	return info, alive, err
}

// tellProcessed ends a work that is alive.
func (d *Stage) tellProcessed(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	w := &run.Work
	if w.Told == 0 && w.Sent == 0 {
		if err := d.Works.DeleteWork(ctx, w.ID); err != nil {
			return err
		}
		return d.closed(run, spool.WorkDeleted)
	}
	if reg.Affected && (w.Repeats > 0 || w.Unsure) {
		// If we closed it now, the platform could consider the work complete while
		// messages of it are still queued, and drop those. The last report
		// completes it.
		return d.closed(run, spool.WorkProcessed)
	}
	if w.Status != spool.WorkClosing {
		w.Status = spool.WorkClosing
		if err := d.saveWork(run); err != nil {
			return err
		}
	}
	message, trouble := fmt.Sprintf("%d objects sent", w.Sent-w.Repeats), runTrouble(run)
	if trouble != "" {
		message += "; " + trouble
	}
	if err := d.Works.Processed(ctx, w.ID, message, trouble != ""); err != nil && !errors.Is(err, opencti.ErrWorkGone) {
		return err
	}
	return d.closed(run, spool.WorkProcessed)
}

func (d *Stage) closed(run *spool.Run, status spool.WorkStatus) error {
	run.Work.Status = status
	d.Metrics.works.WithLabelValues(string(status)).Inc()
	return d.saveWork(run)
}

// deleteWorks deletes the works of that name, except one.
func (d *Stage) deleteWorks(ctx context.Context, name, except string) error {
	found, err := d.worksNamed(ctx, name)
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.ID == except {
			continue
		}
		if err := d.Works.DeleteWork(ctx, f.ID); err != nil {
			return err
		}
	}
	return nil
}

// settleSurplus settles what OpenCTI expects and will not get, because a bundle was
// damaged after it was told or a repeated announcement took effect twice: otherwise
// the work would never complete.
func (d *Stage) settleSurplus(ctx context.Context, run *spool.Run) error {
	w := &run.Work
	expected := w.Told
	if w.Retold {
		info, err := d.Works.Work(ctx, w.ID)
		if err != nil {
			return err
		}
		expected = info.Expected
	}
	for w.Ahead > 0 || w.Told < expected {
		if err := d.unsure(run); err != nil {
			return err
		}
		err := d.Works.ReportExpectation(ctx, w.ID, "announced, but not sent", "")
		if err != nil && !errors.Is(err, opencti.ErrWorkGone) {
			return fmt.Errorf("settle a surplus of the work %s: %w", w.ID, err)
		}
		if w.Ahead > 0 {
			w.Ahead--
		} else {
			w.Told++
		}
		if err := d.saveWork(run); err != nil {
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
