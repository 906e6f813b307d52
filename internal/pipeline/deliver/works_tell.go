package deliver

import (
	"context"
	"errors"
	"slices"

	"threatmatch-connector/spool"
)

// tellMost is how many bundles are announced at once.
const tellMost = 1000

// tellAhead announces to OpenCTI how many messages will come under the run's work,
// before the first of them: those of all its bundles that are in the spool. It also
// announces how many are sent again.
func (ws *works) tellAhead(ctx context.Context, run *spool.Run, at spool.Place) error {
	w := &run.Work
	if w.Intent != nil {
		if err := ws.resolveTell(ctx, run); err != nil {
			return err
		}
	}
	n, in := w.Owed, spool.Range{}
	if !told(w, at) {
		ahead, left, err := ws.Spool.Unconfirmed(run.ID, tellMost)
		if err != nil {
			return err
		}
		n, in = n+ahead, left
	}
	if n == 0 {
		return nil
	}
	info, err := ws.readWork(ctx, run)
	if err != nil {
		return err
	}
	w.Intent = &spool.Intent{N: n, Before: info.Expected, In: in}
	if info.Unread {
		ws.note(noModules, nil)
	}
	if err := ws.saveWork(run); err != nil {
		return err
	}
	if err := ws.Works.AddExpectations(ctx, w.ID, w.Intent.N); err != nil {
		return err
	}
	return ws.noteTold(run)
}

// told reports whether OpenCTI was told of that message.
func told(w *spool.Work, at spool.Place) bool {
	return slices.ContainsFunc(w.ToldIn, func(r spool.Range) bool { return r.Has(at) })
}

// noteTold records that the intention was carried out.
func (ws *works) noteTold(run *spool.Run) error {
	w := &run.Work
	in := *w.Intent
	w.Told += in.N
	w.Ahead += in.N - w.Owed
	w.Repeats += w.Owed
	w.Sent += w.Owed
	ws.Metrics.repeats.Add(float64(w.Owed))
	if in.In != (spool.Range{}) {
		w.ToldIn = append(w.ToldIn, in.In)
		if w.From == (spool.Place{}) {
			w.From = in.In.From
		}
	}
	w.Owed, w.Intent = 0, nil
	return ws.saveWork(run)
}

// resolveTell finds out whether an intention with unknown outcome was carried out,
// and carries it out if not.
func (ws *works) resolveTell(ctx context.Context, run *spool.Run) error {
	w := &run.Work
	if err := ws.Status.Sleep(ctx, stageName, settleDelay, nil); err != nil { // the request may still be under way
		return err
	}
	info, err := ws.readWork(ctx, run)
	if err != nil {
		return err
	}
	if info.Unread { // too little is better than twice: an expected message that never comes keeps the work open
		return errors.Join(ws.unsure(run), ws.noteTold(run))
	}
	missing := w.Intent.Before + w.Intent.N - info.Expected
	if missing <= 0 {
		return ws.noteTold(run)
	}
	if missing < w.Intent.N { // announced in part by someone unknown: keep the sum right
		ws.Log.Warn("OpenCTI expects another number of messages than it was told", "stage", stageName, "work", w.ID,
			"expected", info.Expected, "told", w.Told)
	}
	if !w.Retold || missing < w.Intent.N {
		w.Retold = true
		if err := ws.saveWork(run); err != nil {
			return err
		}
	}
	if err := ws.Works.AddExpectations(ctx, w.ID, missing); err != nil {
		return err
	}
	return ws.noteTold(run)
}

// fromEarlier turns what versions stored that told bundle by bundle into what is
// stored now. b is the run's oldest bundle.
func (ws *works) fromEarlier(w *spool.Work, b *spool.Bundle) {
	if in := w.Intent; in != nil && in.Bundle != 0 {
		if in.Bundle != w.ToldBundle {
			in.In = bundleFrom(b, in.From)
		}
		in.Bundle, in.From = 0, 0
	}
	if w.ToldBundle == 0 {
		return
	}
	w.From = spool.Place{Bundle: w.ToldBundle, Index: w.ToldFrom}
	if w.ToldBundle == b.Seq {
		if ws.opt.Way == ToBroker {
			w.ToldIn = []spool.Range{bundleFrom(b, w.ToldFrom)}
		}
		for _, i := range w.Settled {
			w.SettledIn = append(w.SettledIn, spool.Place{Bundle: b.Seq, Index: i})
		}
		if w.SentBundle == b.Seq {
			w.Sent -= sentOf(*w, *b)
		}
	}
	w.ToldBundle, w.ToldFrom, w.Settled, w.SentBundle = 0, 0, nil, 0
}

// bundleFrom is the bundle's messages from an index on.
func bundleFrom(b *spool.Bundle, index int) spool.Range {
	return spool.Range{From: spool.Place{Bundle: b.Seq, Index: index}, Through: spool.Place{Bundle: b.Seq, Index: b.Objects}}
}
