package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// sendFailed handles a batch that was not confirmed as a whole and decides how the
// next one is sent. base is the index of the batch's first message.
func (d *Stage) sendFailed(ctx context.Context, base int, err error) error {
	out, ok := errors.AsType[*delivery.Outcome](err)
	if !ok {
		return err
	}
	d.Metrics.ends.WithLabelValues(out.Kind.String()).Inc()
	if out.Repeats > 0 || out.Unknown > 0 && !d.current.Work.Unsure {
		d.current.Work.Owed += int64(out.Repeats)
		d.current.Work.Unsure = d.current.Work.Unsure || out.Unknown > 0
		if err := d.saveWork(d.current); err != nil {
			d.begun = 0
			return errors.Join(err, out)
		}
	}
	switch out.Kind {
	case delivery.Nacked:
		d.careful = true
		d.Platform.Hold(holdNacked, true)
	case delivery.Returned, delivery.NoExchange, delivery.AccessRefused:
		d.careful = true
		if ctx.Err() != nil {
			break
		}
		if err := d.Platform.Renew(ctx, out.Kind.String()); err != nil {
			return fmt.Errorf("%w; %w", err, out)
		}
	case delivery.TooLarge:
		return d.tooLarge(base, out)
	}
	return out
}

// tooLarge records which message the broker does not accept. It is skipped once
// everything before it is confirmed.
func (d *Stage) tooLarge(base int, out *delivery.Outcome) error {
	before := d.limit.told
	d.limit.learn(out.Limit, d.Now())
	if d.limit.told != before { // map and the next start want to know
		if err := d.Spool.SaveMessageLimit(d.limit.told); err != nil {
			return errors.Join(err, out)
		}
	}
	d.stop = obstacle{bundleKey{d.bundle.Run, d.bundle.Seq, base + out.Index}, "too_large", tooLargeText(0, out.Limit)}
	return nil
}

func tooLargeText(size int, limit int64) string {
	switch {
	case size > 0:
		return fmt.Sprintf("the message has %d bytes, the broker allows %d", size, limit)
	case limit > 0:
		return fmt.Sprintf("the message is larger than the %d bytes that the broker allows", limit)
	}
	return "the message is larger than the broker allows"
}

// skip makes a dead letter of the message at the cursor, which cannot be sent.
func (d *Stage) skip() error {
	b, stop, now := d.bundle, d.stop, d.Now()
	if stop.class == "corrupt" { // it is unknown which objects it held
		if err := d.Spool.ForgetRun(d.epoch, b.Run); err != nil {
			return err
		}
	}
	if err := d.noteDead(); err != nil {
		return err
	}
	// Count first: one too many is better than a run that looks complete.
	if err := d.Spool.Count(d.epoch, b.Run, map[string]int64{"deliver.dead": 1}); err != nil {
		return err
	}
	err := d.Spool.SkipMessage(d.epoch, b.Run, b.Seq, b.Confirmed, spool.DeadLetter{
		Stage: spool.StageDeliver, Class: stop.class, Error: stop.why, Attempts: 1, First: now, Last: now, Run: b.Run,
	})
	if err != nil {
		return err
	}
	d.Metrics.skipped.Inc()
	d.Log.Error("a message became a dead letter", "stage", stageName, "run", b.Run, "bundle", b.Seq, "message", b.Confirmed,
		"class", stop.class, "reason", stop.why)
	fresh, err := d.Spool.NextBundleOf(d.bundle.Run)
	if err != nil {
		return err
	}
	if fresh.Seq != b.Seq {
		return fmt.Errorf("bundle %d of run %d: no longer the next one", b.Seq, b.Run)
	}
	d.stop = obstacle{}
	*d.bundle = fresh
	return nil
}

// settleSkipped tells OpenCTI about messages that it expects but that will not
// come.
func (d *Stage) settleSkipped(ctx context.Context, run *spool.Run, b spool.Bundle) error {
	w := &run.Work
	for _, i := range b.Skipped {
		at := spool.Place{Bundle: b.Seq, Index: i}
		if !told(w, at) || slices.Contains(w.SettledIn, at) {
			continue
		}
		objects, err := d.Spool.BundleObjects(b.Run, b.Seq, i, 1)
		if err != nil && !errors.Is(err, spool.ErrCorrupt) {
			return err
		}
		id := "unreadable object"
		if len(objects) > 0 {
			id = objects[0].STIX
		}
		err = d.Works.ReportExpectation(ctx, w.ID, opencti.NotSent, id)
		if err != nil && !errors.Is(err, opencti.ErrWorkGone) {
			return errors.Join(d.unsure(run), fmt.Errorf("settle the message of %s: %w", id, err))
		}
		w.SettledIn = append(w.SettledIn, at)
		if err := d.saveWork(run); err != nil {
			return err
		}
	}
	return nil
}
