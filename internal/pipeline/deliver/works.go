package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// openWork makes sure that the run has a live work: it creates one, adopts one
// whose creation had an unknown outcome, or replaces one that was deleted on
// OpenCTI.
func (d *Stage) openWork(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	switch run.Work.Status {
	case spool.WorkIntended:
		return d.adoptWork(ctx, reg, run)
	case spool.WorkOpen, spool.WorkClosing:
		if err := d.checkWork(ctx, run); !errors.Is(err, errWorkLost) {
			return err
		}
	}
	if err := d.otherWork(run); err != nil {
		return err
	}
	if err := d.Platform.DeleteOld(ctx); err != nil {
		return err
	}
	if reg.Affected {
		if err := d.passGate(ctx, reg, run); err != nil {
			return err
		}
	}
	replaced := run.Work.Replaced
	run.Work = spool.Work{Name: d.workName(run, replaced), Status: spool.WorkIntended, Replaced: replaced}
	// A reset of the spool waits for this, or refuses it, so that no work is created
	// that nobody knows about.
	if err := d.Platform.WhileNoReset(func() error { return d.saveWork(run) }); err != nil {
		return err
	}
	return d.addWork(ctx, reg, run)
}

// checkEvery is how often OpenCTI is asked whether a work is still alive while
// messages are sent under it. Messages sent to a deleted work until then are lost
// until a repull.
const checkEvery = 15 * time.Second

// errWorkLost means that the run's work was deleted on OpenCTI; the rest needs a
// new one.
var errWorkLost = errors.New("the run's work was deleted on OpenCTI")

// checkDue reports whether it is time to check the run's work.
func (d *Stage) checkDue(run *spool.Run) bool {
	return d.checked.work != run.Work.ID || d.Now().Sub(d.checked.at).Abs() >= checkEvery
}

// checkWork checks, when due, whether the run's work is alive, and returns
// errWorkLost if it is not.
func (d *Stage) checkWork(ctx context.Context, run *spool.Run) error {
	if !d.checkDue(run) {
		return nil
	}
	alive, err := d.Works.WorkAlive(ctx, run.Work.ID)
	if err != nil {
		return err
	}
	if !alive {
		return cmp.Or(d.loseWork(run), errWorkLost)
	}
	d.checked = checkedWork{run.Work.ID, d.Now()}
	return nil
}

// readWork reads the run's work. It returns errWorkLost if the work was deleted.
func (d *Stage) readWork(ctx context.Context, run *spool.Run) (opencti.Work, error) {
	info, err := d.Works.Work(ctx, run.Work.ID)
	if errors.Is(err, opencti.ErrWorkGone) {
		return info, cmp.Or(d.loseWork(run), errWorkLost)
	}
	if err != nil {
		return info, fmt.Errorf("read the work %s: %w", run.Work.ID, err)
	}
	return info, nil
}

// workName returns a name that ends with the run's id and is never reused.
func (d *Stage) workName(run *spool.Run, replaced int) string {
	part := ""
	if replaced > 0 {
		part = fmt.Sprintf(", part %d", replaced+1)
	}
	return fmt.Sprintf("%s run @ %s%s, run %d", d.opt.ConnectorName, run.Created.UTC().Format(time.RFC3339), part, run.ID)
}

// addWork creates the intended work.
func (d *Stage) addWork(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	whole := !reg.Affected // on affected platforms a work must be able to end without our word: see tellProcessed
	id, err := d.Works.AddWork(ctx, run.Work.Name, whole)
	if err != nil {
		return err
	}
	return d.workOpened(ctx, run, id)
}

// workOpened stores the work's id. If a reset happened in between, the work is
// deleted.
func (d *Stage) workOpened(ctx context.Context, run *spool.Run, id string) error {
	run.Work.ID, run.Work.Status = id, spool.WorkOpen
	err := d.saveWork(run)
	if errors.Is(err, spool.ErrEpoch) {
		return errors.Join(err, d.Platform.Discard(ctx, run.Work.Name, id))
	}
	if err != nil {
		return err
	}
	d.checked = checkedWork{id, d.Now()}
	d.Metrics.works.WithLabelValues("opened").Inc()
	d.Log.Info("work opened on OpenCTI", "stage", stageName, "run", run.ID, "work", id)
	return nil
}

// adoptWork looks for a work whose creation had an unknown outcome, and creates it
// if there is none.
func (d *Stage) adoptWork(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	if err := d.Status.Sleep(ctx, stageName, settleDelay, nil); err != nil { // the request may still be under way
		return err
	}
	found, err := d.worksNamed(ctx, run.Work.Name)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if !run.Work.Doubt {
			run.Work.Doubt = true
			if err := d.saveWork(run); err != nil {
				return err
			}
		}
		return d.addWork(ctx, reg, run)
	}
	run.Work.Doubt = run.Work.Doubt || len(found) > 1
	return d.workOpened(ctx, run, found[0].ID)
}

// worksNamed returns the works in progress of that name, oldest first.
func (d *Stage) worksNamed(ctx context.Context, name string) ([]opencti.Work, error) {
	found, err := d.Works.WorksByName(ctx, name)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(w opencti.Work) bool { return w.Name != name })
	slices.SortFunc(found, func(a, b opencti.Work) int { return a.Opened.Compare(b.Opened) })
	return found, nil
}

// loseWork handles a work that was deleted on OpenCTI: whatever its workers had not
// imported is gone, so nothing of the run counts as known.
func (d *Stage) loseWork(run *spool.Run) error {
	if err := d.Spool.ForgetRun(d.epoch, run.ID); err != nil {
		return err
	}
	d.Metrics.works.WithLabelValues("lost").Inc()
	d.Log.Error("the run's work was deleted on OpenCTI, and with it what its workers had not imported yet",
		"stage", stageName, "run", run.ID, "work", run.Work.ID,
		"hint", lostHint(run))
	run.Work = spool.Work{Replaced: run.Work.Replaced + 1}
	return d.saveWork(run)
}

// lostHint returns the command that sends a run's objects again.
func lostHint(run *spool.Run) string {
	if run.Reason == spool.ReasonRetry {
		return "threatmatch-connector spool retry --all"
	}
	return "threatmatch-connector repull --from " + runFrom(run)
}

// runFrom returns the earliest window start of the run, for a repull.
func runFrom(run *spool.Run) string {
	var from time.Time
	for _, dr := range run.Datasets {
		if !dr.From.IsZero() && (from.IsZero() || dr.From.Before(from)) {
			from = dr.From
		}
	}
	if from.IsZero() {
		return "DATE"
	}
	return from.UTC().Format(time.RFC3339)
}

// workUnderWay reports whether messages are being sent under the run's work, or are
// about to be.
func workUnderWay(run *spool.Run) bool {
	switch run.Work.Status {
	case spool.WorkIntended, spool.WorkOpen, spool.WorkClosing:
		return true
	}
	return false
}

// otherWork makes a run wait while another run's work is in progress: one at a
// time. It also waits for older runs. But a retry goes before an older run that has
// nothing to deliver yet: all it needs is in the spool, and the older run may wait
// for ThreatMatch.
func (d *Stage) otherWork(run *spool.Run) error {
	runs, err := d.Spool.OpenRuns()
	if err != nil {
		return err
	}
	mayPass := run.Reason == spool.ReasonRetry && !run.MappedAt.IsZero()
	for _, r := range runs {
		if r.ID == run.ID || r.ID > run.ID && !workUnderWay(&r) {
			continue
		}
		left := true
		if mayPass && r.MappedAt.IsZero() && !workUnderWay(&r) {
			if left, err = d.bundlesLeft(r.ID); err != nil {
				return err
			}
		}
		if left {
			return waitForRun(run, &r)
		}
	}
	return nil
}

func (d *Stage) bundlesLeft(run uint64) (bool, error) {
	_, err := d.Spool.NextBundleOf(run)
	if errors.Is(err, spool.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func waitForRun(run, other *spool.Run) error {
	wait := 5 * time.Second
	if !other.MappedAt.IsZero() { // any moment now: the next step takes its bundles, or ends it
		wait = 10 * time.Millisecond
	}
	return &pauseError{why: fmt.Sprintf("run %d waits until run %d is delivered", run.ID, other.ID), after: wait}
}

// roomInQueue pauses delivery while OpenCTI's queue is over the threshold.
func (d *Stage) roomInQueue(ctx context.Context) error {
	if !d.lookDue() {
		return nil
	}
	q, err := d.Platform.QueueSize(ctx)
	d.nextLook = d.Now().Add(queuePoll)
	if err != nil { // it counts as empty: other troubles show elsewhere
		class, _ := fault.Of(err)
		d.Log.Debug("no queue size", "stage", stageName, "class", class.String(), "error", err)
	}
	full := q.MB() >= d.opt.QueueThreshold
	d.Platform.Hold(holdQueue, full)
	if !full {
		return ctx.Err()
	}
	d.nextLook = time.Time{}
	why := fmt.Sprintf("OpenCTI's queue holds %.0f MB, the threshold is %.0f MB", q.MB(), d.opt.QueueThreshold)
	return &pauseError{why: why, after: queuePoll, kind: holdQueue}
}

// lookDue reports whether it is time to check the queue's size.
func (d *Stage) lookDue() bool {
	return d.opt.QueueThreshold > 0 && !d.Now().Before(d.nextLook)
}
