package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// works reports runs to OpenCTI as works. What it must remember is in the spool.
type works struct {
	Deps
	opt     Options
	epoch   uint64
	checked checkedWork
	gate    gateWatch
	warned  map[string]bool // missing rights that were logged
}

// checkedWork is the work last seen alive, and when.
type checkedWork struct {
	work string
	at   time.Time
}

func (ws *works) saveWork(r *spool.Run) error {
	return ws.Spool.SaveWork(ws.epoch, r.ID, r.Work)
}

// unsure records that more may be processed than is expected.
func (ws *works) unsure(run *spool.Run) error {
	if run.Work.Unsure {
		return nil
	}
	run.Work.Unsure = true
	return ws.saveWork(run)
}

// openWork makes sure that the run has a live work: it creates one, adopts one
// whose creation had an unknown outcome, or replaces one that was deleted on
// OpenCTI.
func (ws *works) openWork(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	switch run.Work.Status {
	case spool.WorkIntended:
		return ws.adoptWork(ctx, reg, run)
	case spool.WorkOpen, spool.WorkClosing:
		if err := ws.checkWork(ctx, run); !errors.Is(err, errWorkLost) {
			return err
		}
	}
	if err := ws.otherWork(run); err != nil {
		return err
	}
	if err := ws.Platform.DeleteOld(ctx); err != nil {
		return err
	}
	if reg.Affected {
		if err := ws.passGate(ctx, reg, run); err != nil {
			return err
		}
	}
	replaced := run.Work.Replaced
	run.Work = spool.Work{Name: ws.workName(run, replaced), Status: spool.WorkIntended, Replaced: replaced}
	// A reset of the spool waits for this, or refuses it, so that no work is created
	// that nobody knows about.
	if err := ws.Platform.WhileNoReset(func() error { return ws.saveWork(run) }); err != nil {
		return err
	}
	return ws.addWork(ctx, reg, run)
}

// checkEvery is how often OpenCTI is asked whether a work is still alive while
// messages are sent under it. Messages sent to a deleted work until then are lost
// until a repull.
const checkEvery = 15 * time.Second

// errWorkLost means that the run's work was deleted on OpenCTI; the rest needs a
// new one.
var errWorkLost = errors.New("the run's work was deleted on OpenCTI")

// checkDue reports whether it is time to check the run's work.
func (ws *works) checkDue(run *spool.Run) bool {
	return ws.checked.work != run.Work.ID || ws.Now().Sub(ws.checked.at).Abs() >= checkEvery
}

// checkWork checks, when due, whether the run's work is alive, and returns
// errWorkLost if it is not.
func (ws *works) checkWork(ctx context.Context, run *spool.Run) error {
	if !ws.checkDue(run) {
		return nil
	}
	alive, err := ws.Works.WorkAlive(ctx, run.Work.ID)
	if err != nil {
		return err
	}
	if !alive {
		return cmp.Or(ws.loseWork(run), errWorkLost)
	}
	ws.checked = checkedWork{run.Work.ID, ws.Now()}
	return nil
}

// readWork reads the run's work. It returns errWorkLost if the work was deleted.
func (ws *works) readWork(ctx context.Context, run *spool.Run) (opencti.Work, error) {
	info, err := ws.Works.Work(ctx, run.Work.ID)
	if errors.Is(err, opencti.ErrWorkGone) {
		return info, cmp.Or(ws.loseWork(run), errWorkLost)
	}
	if err != nil {
		return info, fmt.Errorf("read the work %s: %w", run.Work.ID, err)
	}
	return info, nil
}

// workName returns a name that ends with the run's id and is never reused.
func (ws *works) workName(run *spool.Run, replaced int) string {
	part := ""
	if replaced > 0 {
		part = fmt.Sprintf(", part %d", replaced+1)
	}
	return fmt.Sprintf("%s run @ %s%s, run %d", ws.opt.ConnectorName, run.Created.UTC().Format(time.RFC3339), part, run.ID)
}

// addWork creates the intended work.
func (ws *works) addWork(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	whole := !reg.Affected // on affected platforms a work must be able to end without our word: see tellProcessed
	id, err := ws.Works.AddWork(ctx, run.Work.Name, whole)
	if err != nil {
		return err
	}
	return ws.workOpened(ctx, run, id)
}

// workOpened stores the work's id. If a reset happened in between, the work is
// deleted.
func (ws *works) workOpened(ctx context.Context, run *spool.Run, id string) error {
	run.Work.ID, run.Work.Status = id, spool.WorkOpen
	err := ws.saveWork(run)
	if errors.Is(err, spool.ErrEpoch) {
		return errors.Join(err, ws.Platform.Discard(ctx, run.Work.Name, id))
	}
	if err != nil {
		return err
	}
	ws.checked = checkedWork{id, ws.Now()}
	ws.Metrics.works.WithLabelValues("opened").Inc()
	ws.Log.Info("work opened on OpenCTI", "stage", stageName, "run", run.ID, "work", id)
	return nil
}

// adoptWork looks for a work whose creation had an unknown outcome, and creates it
// if there is none.
func (ws *works) adoptWork(ctx context.Context, reg opencti.Registration, run *spool.Run) error {
	if err := ws.Status.Sleep(ctx, stageName, settleDelay, nil); err != nil { // the request may still be under way
		return err
	}
	found, err := ws.worksNamed(ctx, run.Work.Name)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if !run.Work.Doubt {
			run.Work.Doubt = true
			if err := ws.saveWork(run); err != nil {
				return err
			}
		}
		return ws.addWork(ctx, reg, run)
	}
	run.Work.Doubt = run.Work.Doubt || len(found) > 1
	return ws.workOpened(ctx, run, found[0].ID)
}

// worksNamed returns the works in progress of that name, oldest first.
func (ws *works) worksNamed(ctx context.Context, name string) ([]opencti.Work, error) {
	found, err := ws.Works.WorksByName(ctx, name)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b opencti.Work) int { return a.Opened.Compare(b.Opened) })
	return found, nil
}

// loseWork handles a work that was deleted on OpenCTI: whatever its workers had not
// imported is gone, so nothing of the run counts as known.
func (ws *works) loseWork(run *spool.Run) error {
	if err := ws.Spool.ForgetRun(ws.epoch, run.ID); err != nil {
		return err
	}
	ws.Metrics.works.WithLabelValues("lost").Inc()
	ws.Log.Error("the run's work was deleted on OpenCTI, and with it what its workers had not imported yet",
		"stage", stageName, "run", run.ID, "work", run.Work.ID,
		"hint", lostHint(run))
	run.Work = spool.Work{Replaced: run.Work.Replaced + 1}
	return ws.saveWork(run)
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
func (ws *works) otherWork(run *spool.Run) error {
	runs, err := ws.Spool.OpenRuns()
	if err != nil {
		return err
	}
	mayPass := run.Reason == spool.ReasonRetry && !run.MappedAt.IsZero()
	for _, r := range runs {
		if r.ID == run.ID || r.ID > run.ID && !workUnderWay(&r) {
			continue
		}
		left := true
		if mayPass && !workUnderWay(&r) {
			if left, err = ws.bundlesLeft(r.ID); err != nil {
				return err
			}
		}
		if left {
			return waitForRun(run, &r)
		}
	}
	return nil
}

func (ws *works) bundlesLeft(run uint64) (bool, error) {
	_, err := ws.Spool.NextBundleOf(run)
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
