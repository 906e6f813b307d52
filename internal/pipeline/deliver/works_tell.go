package deliver

import (
	"context"
	"errors"

	"threatmatch-connector/spool"
)

// tellBundle announces to OpenCTI how many messages of the bundle will come under
// the run's work, before the first of them, and how many are sent again.
func (d *Stage) tellBundle(ctx context.Context, run *spool.Run, b spool.Bundle) error {
	w := &run.Work
	if w.Intent != nil {
		if err := d.resolveTell(ctx, run); err != nil {
			return err
		}
	}
	n := w.Owed
	if w.ToldBundle != b.Seq {
		n += int64(b.Objects - b.Confirmed)
	}
	if n == 0 {
		return nil
	}
	info, err := d.readWork(ctx, run)
	if err != nil {
		return err
	}
	w.Intent = &spool.Intent{N: n, Before: info.Expected, Bundle: b.Seq, From: b.Confirmed}
	if info.Unread {
		d.note(noModules, nil)
	}
	if err := d.saveWork(run); err != nil {
		return err
	}
	return d.tellIntent(ctx, run)
}

// tellIntent carries out the stored intention.
func (d *Stage) tellIntent(ctx context.Context, run *spool.Run) error {
	w := &run.Work
	if err := d.Works.AddExpectations(ctx, w.ID, w.Intent.N); err != nil {
		return err
	}
	return d.noteTold(run)
}

// noteTold records that the intention was carried out.
func (d *Stage) noteTold(run *spool.Run) error {
	w := &run.Work
	in := *w.Intent
	w.Told += in.N
	w.Repeats += w.Owed
	w.Sent += w.Owed
	d.Metrics.repeats.Add(float64(w.Owed))
	if w.ToldBundle != in.Bundle {
		w.ToldBundle, w.ToldFrom, w.Settled = in.Bundle, in.From, nil
		d.begun = bundleKey{run: run.ID, seq: in.Bundle} // nothing of it was published before
	}
	w.Owed, w.Intent = 0, nil
	return d.saveWork(run)
}

// resolveTell finds out whether an intention with unknown outcome was carried out,
// and carries it out if not.
func (d *Stage) resolveTell(ctx context.Context, run *spool.Run) error {
	w := &run.Work
	if err := d.Status.Sleep(ctx, stageName, settleDelay, nil); err != nil { // the request may still be under way
		return err
	}
	info, err := d.readWork(ctx, run)
	if err != nil {
		return err
	}
	if info.Unread { // too little is better than twice: an expected message that never comes keeps the work open
		return errors.Join(d.unsure(run), d.noteTold(run))
	}
	missing := w.Intent.Before + w.Intent.N - info.Expected
	if missing <= 0 {
		return d.noteTold(run)
	}
	if missing < w.Intent.N { // announced in part by someone unknown: keep the sum right
		d.Log.Warn("OpenCTI expects another number of messages than it was told", "stage", stageName, "work", w.ID,
			"expected", info.Expected, "told", w.Told)
	}
	if !w.Retold || missing < w.Intent.N {
		w.Retold = true
		if err := d.saveWork(run); err != nil {
			return err
		}
	}
	if err := d.Works.AddExpectations(ctx, w.ID, missing); err != nil {
		return err
	}
	return d.noteTold(run)
}
