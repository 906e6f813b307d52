package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

// aloneTries is how often an object must be refused alone, with OpenCTI and its
// queue in order, before the object is blamed.
const aloneTries = 3

// pushState decides how chunks are sent; it is lost in a restart.
type pushState struct {
	most  int       // objects in the next chunk, fewer after a refusal; 0: the window
	size  sizeLimit // limit for a chunk of several objects, after one was too large
	tries int       // how often the next object was refused alone
}

// pushChunk sends the next objects of the bundle to OpenCTI's API, whose response
// confirms them. A chunk with unknown outcome is sent again as a whole.
func (d *Stage) pushChunk(ctx context.Context, reg opencti.Registration) error {
	if w := &d.current.Work; w.From == (spool.Place{}) { // from here on messages are sent under this work
		w.From = d.place()
		if err := d.saveWork(d.current); err != nil {
			return err
		}
	}
	if err := d.inOrder(ctx, reg, d.current, d.current.Work.Sent+sentOf(d.current.Work, *d.bundle)); err != nil {
		return err
	}
	chunk, err := d.chunk(ctx)
	if err != nil {
		return err
	}
	n := chunk.Objects()
	if n == 0 {
		return nil // an obstacle is at the cursor
	}
	if n == 1 && !reg.SplitsPushed {
		if err := d.tellAlone(ctx); err != nil {
			return err
		}
	}
	pushing, done := d.outlive(ctx)
	text := chunk.Close()
	err = d.Works.PushBundle(pushing, d.current.Work.ID, text)
	done()
	if err != nil {
		return d.pushFailed(ctx, n, len(text), err)
	}
	d.push.tries, d.gate.empty = 0, time.Time{}
	if d.push.most *= 2; d.push.most >= d.opt.Window {
		d.push.most = 0
	}
	if err := d.commit(ctx, d.bundle.Confirmed+n); err != nil {
		d.begun = 0 // it is queued beyond the cursor
		return err
	}
	return nil
}

// chunk collects the objects from the cursor on that are sent together.
func (d *Stage) chunk(ctx context.Context) (*delivery.Chunk, error) {
	b, limit := d.bundle, d.limit.bytes(d.Now())
	largest := int64(opencti.MaxBundle)
	if limit > 0 {
		largest = min(largest, delivery.MaxChunk(limit))
	}
	if told := d.push.size.bytes(d.Now()); told > 0 {
		largest = min(largest, told)
	}
	most := d.opt.Window
	if d.push.most > 0 {
		most = min(most, d.push.most)
	}
	w := &d.current.Work
	if told(w, d.place()) || w.Intent != nil {
		most = 1 // it is announced already
	}
	chunk := delivery.NewChunk(d.bundleID())
	in := &bundleReader{spool: d.Spool, run: b.Run, seq: b.Seq, at: b.Confirmed}
	for chunk.Objects() < most && in.at < b.Objects {
		key := bundleKey{in.run, in.seq, in.at}
		if key == d.stop.key {
			break
		}
		o, err := d.object(in)
		switch size := int64(chunk.Len(len(o.JSON))); {
		case err != nil:
		case chunk.Objects() > 0 && size > largest:
			err = io.EOF
		case limit > 0 && size > delivery.MaxChunk(limit):
			d.stop, err = obstacle{key, "too_large", tooLargeText(int(size)/3*4, limit)}, io.EOF
		default:
			err = d.refersToSent(ctx, key, o)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		chunk.Add(o.JSON)
	}
	return chunk, nil
}

// outlive lets a push that is under way when ctx ends finish, so that a clean stop
// repeats nothing.
func (d *Stage) outlive(ctx context.Context) (context.Context, func()) {
	pushing, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(d.opt.Drain, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(pushing, func() { timer.Stop() })
	})
	return pushing, func() { stop(); cancel(nil) }
}

// tellAlone announces the message at the cursor, which is sent alone: nobody splits
// it, and nobody else announces it.
func (d *Stage) tellAlone(ctx context.Context) error {
	w, here := &d.current.Work, d.place()
	if told(w, here) {
		return nil
	}
	in := spool.Range{From: here, Through: spool.Place{Bundle: here.Bundle, Index: here.Index + 1}}
	if w.Intent == nil {
		w.Intent = &spool.Intent{N: 1, In: in}
		if err := d.saveWork(d.current); err != nil {
			return err
		}
		if err := d.Works.AddExpectations(ctx, w.ID, 1); err != nil {
			return fmt.Errorf("tell the work %s of a message: %w", w.ID, err)
		}
	} else {
		// The outcome of an earlier try is unknown, and the count does not show it,
		// because workers add to it. Announcing too little is better than
		// announcing twice.
		w.Unsure = true
	}
	w.Told, w.Intent = w.Told+1, nil
	if last := len(w.ToldIn) - 1; last >= 0 && w.ToldIn[last].Through == here {
		w.ToldIn[last].Through = in.Through
	} else {
		w.ToldIn = append(w.ToldIn, in)
	}
	return d.saveWork(d.current)
}

// pushFailed handles a chunk of n objects and size bytes that was refused or whose
// outcome is unknown, and decides how the next one is sent.
func (d *Stage) pushFailed(ctx context.Context, n, size int, err error) error {
	if errors.Is(err, opencti.ErrTooLarge) {
		if n > 1 {
			d.push.size.learn(int64(size/2), d.Now())
			return nil
		}
		d.stop = obstacle{d.cursor(), "too_large", err.Error()}
		return nil
	}
	if !fault.Is(err, fault.Systemic) {
		if e := d.unsure(d.current); e != nil {
			d.begun = 0
			return errors.Join(e, err)
		}
	}
	if errors.Is(err, opencti.ErrNotTaken) {
		return d.notTaken(ctx, n, err)
	}
	return err
}

// notTaken finds out what a refusal without a reason is about. A ping shows that
// OpenCTI knows the connector and reaches its broker; an empty queue is not full.
// What is left is the chunk.
func (d *Stage) notTaken(ctx context.Context, n int, err error) error {
	if e := d.Platform.Renew(ctx, "bundle not taken"); e != nil {
		return fmt.Errorf("%w; %w", e, err)
	}
	q, e := d.Platform.QueueSize(ctx)
	if e != nil && !opencti.IsForbidden(e) {
		return fmt.Errorf("%w; %w", e, err)
	}
	if e != nil {
		d.note(noModules, e)
	}
	if q.Messages > 0 {
		d.Platform.Hold(holdNacked, true)
		return err
	}
	if n > 1 {
		d.push.most = n / 2
		return err
	}
	if d.push.tries++; d.push.tries < aloneTries {
		return err
	}
	d.push.tries = 0
	d.stop = obstacle{d.cursor(), "refused", err.Error()}
	return nil
}
