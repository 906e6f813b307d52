package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// deliver finishes the current bundle. Each step finds in the spool what was done
// before, so deliver can be interrupted anywhere and called again.
func (d *Stage) deliver(ctx context.Context) error {
	run, b := d.current, d.bundle
	if d.opt.Way == ToArchive {
		return d.archiveOnly(ctx)
	}
	d.fromEarlier(&run.Work, b)
	if _, ok := d.Platform.Registered(); !ok {
		d.Status.Set(stageName, "waiting", "the connector is not registered with OpenCTI", "")
	}
	reg, err := d.Platform.Registration(ctx)
	if err != nil {
		return err
	}
	if err := d.roomInQueue(ctx); err != nil {
		return err
	}
	if err := d.openWork(ctx, reg, run); err != nil {
		return err
	}
	if err := d.publish(ctx, reg); err != nil {
		return err
	}
	if err := d.settleSkipped(ctx, run, *b); err != nil {
		return err
	}
	if err := d.archiveCopy(ctx, reg.Applicant); err != nil {
		return err
	}
	return d.finishBundle(run, *b)
}

// finishBundle counts the bundle's messages and removes it.
func (d *Stage) finishBundle(run *spool.Run, b spool.Bundle) error {
	w, sent := run.Work, sentOf(run.Work, b)
	w.Sent += sent
	w.Ahead = max(0, w.Ahead-int64(b.Objects-firstOf(w, b)))
	w.ToldIn = slices.DeleteFunc(slices.Clone(w.ToldIn), func(r spool.Range) bool { return r.Through.Bundle <= b.Seq })
	w.SettledIn = nil
	if err := d.Spool.EndBundle(d.epoch, b.Run, b.Seq, w, map[string]int64{"deliver.messages": sent}); err != nil {
		return err
	}
	d.Log.Debug("bundle delivered", "stage", stageName, "run", b.Run, "bundle", b.Seq,
		"messages", b.Objects-len(b.Skipped), "dead_letters", len(b.Skipped), "bytes", b.Bytes)
	return nil
}

// firstOf returns the index of the bundle's first message that goes out under the
// work.
func firstOf(w spool.Work, b spool.Bundle) int {
	switch w.From.Bundle {
	case 0: // none did yet
		return b.Confirmed
	case b.Seq:
		return w.From.Index
	}
	return 0
}

// sentOf returns how many messages of the bundle were sent under the work.
func sentOf(w spool.Work, b spool.Bundle) int64 {
	first := firstOf(w, b)
	sent := int64(b.Confirmed - first)
	for _, i := range b.Skipped {
		if i >= first {
			sent--
		}
	}
	return sent
}

// publish sends what the cursor does not cover yet.
func (d *Stage) publish(ctx context.Context, reg opencti.Registration) error {
	if err := d.loadDead(); err != nil {
		return err
	}
	if err := d.begin(); err != nil {
		return err
	}
	for d.bundle.Confirmed < d.bundle.Objects {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.Platform.Resets() != d.resets { // the bundle may be gone, and no commit would report it
			return spool.ErrEpoch
		}
		if d.stop.key == d.cursor() {
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		if err := d.roomInQueue(ctx); err != nil {
			return err
		}
		if err := d.checkWork(ctx, d.current); err != nil {
			return err
		}
		if d.opt.Way == ToAPI {
			if err := d.pushChunk(ctx, reg); err != nil {
				return err
			}
			continue
		}
		if err := d.tellAhead(ctx, d.current, d.place()); err != nil { // repeats are discovered on the way
			return err
		}
		if err := d.send(ctx, reg); err != nil {
			return err
		}
	}
	return nil
}

// begin records whether more may be processed than is expected: a process that did
// not stop cleanly may have sent messages beyond the cursor, or settled some that it
// did not note.
func (d *Stage) begin() error {
	w, run := &d.current.Work, d.current.ID
	under := len(w.ToldIn) > 0
	if d.opt.Way == ToAPI {
		under = w.From != spool.Place{}
	}
	doubt := d.begun != run && under && !w.Quiet
	if w.Quiet || doubt && !w.Unsure {
		w.Quiet, w.Unsure = false, w.Unsure || doubt
		if err := d.saveWork(d.current); err != nil {
			return err
		}
	}
	d.begun = run
	return nil
}

// send publishes one batch: everything left, or less while something is wrong.
func (d *Stage) send(ctx context.Context, reg opencti.Registration) error {
	base := d.bundle.Confirmed
	end := d.bundle.Objects
	if d.careful {
		end = base + 1
	}
	if stop := d.stop.key; stop.run == d.bundle.Run && stop.seq == d.bundle.Seq && stop.index > base {
		end = min(end, stop.index)
	}
	in := &bundleReader{spool: d.Spool, run: d.bundle.Run, seq: d.bundle.Seq, at: base}
	id := d.bundleID()
	d.Publisher.SetBroker(reg.Broker)
	done := pipeline.Waiting(ctx)
	err := d.Publisher.Send(ctx, delivery.Batch{
		Exchange: reg.Exchange, RoutingKey: reg.RoutingKey, Window: d.opt.Window,
		Next: func() (delivery.Message, error) {
			if ctx.Err() != nil || in.at >= end || d.lookDue() || d.checkDue(d.current) || d.Platform.Resets() != d.resets {
				return delivery.Message{}, io.EOF
			}
			return d.message(ctx, in, reg, id)
		},
		Committed: func(ctx context.Context, n int) error { return d.commit(ctx, base+n) },
		Blocked:   d.blocked,
	})
	done()
	d.Platform.Hold(holdBlocked, false)
	if err == nil {
		d.careful = d.careful && d.bundle.Confirmed == base
		return nil
	}
	return d.sendFailed(ctx, base, err)
}

// blocked may be called from any goroutine.
func (d *Stage) blocked(on bool) {
	d.Platform.Hold(holdBlocked, on)
	if on {
		d.Status.Set(stageName, "paused", "the broker reads nothing: it has a memory or disk alarm", "")
	} else {
		d.Status.Set(stageName, "working", "the broker reads again", "")
	}
}

// keepBody is the largest buffer that is kept for the next message.
const keepBody = 1 << 20

// message builds the next message. Its body is valid until the next call. A message
// that cannot be sent ends the batch.
func (d *Stage) message(ctx context.Context, in *bundleReader, reg opencti.Registration, bundleID string) (delivery.Message, error) {
	key := bundleKey{in.run, in.seq, in.at}
	o, err := d.object(in)
	if err != nil {
		return delivery.Message{}, err
	}
	pipeline.Collect(len(o.JSON))
	body, err := delivery.AppendEnvelope(d.body[:0], delivery.Envelope{
		ApplicantID: reg.Applicant, WorkID: d.current.Work.ID, BundleID: bundleID,
		Sequence: key.index + 1, Deps: o.Deps, Update: d.opt.Update, Object: o.JSON,
	})
	if err != nil {
		d.stop = obstacle{key, "invalid", err.Error()}
		return delivery.Message{}, io.EOF
	}
	if d.body = body; cap(body) > keepBody {
		d.body = nil
	}
	if limit := d.limit.bytes(d.Now()); limit > 0 && int64(len(body)) > limit {
		d.stop = obstacle{key, "too_large", tooLargeText(len(body), limit)}
		return delivery.Message{}, io.EOF
	}
	if err := d.refersToSent(ctx, key, o); err != nil {
		return delivery.Message{}, err
	}
	return delivery.Message{ID: o.STIX, Body: body}, nil
}

// object reads the next object. It returns io.EOF at the end, and at an object that
// cannot be read.
func (d *Stage) object(in *bundleReader) (spool.BundleObject, error) {
	key := bundleKey{in.run, in.seq, in.at}
	o, err := in.next()
	if errors.Is(err, spool.ErrCorrupt) {
		d.stop = obstacle{key, "corrupt", err.Error()}
		return o, io.EOF
	}
	return o, err
}

// refersToSent returns io.EOF for an object that refers to a dead letter. Otherwise
// the object is about to be sent and is removed from the dead ones.
func (d *Stage) refersToSent(ctx context.Context, key bundleKey, o spool.BundleObject) error {
	id, err := d.deadRef(ctx, o)
	if err != nil {
		return err
	}
	if id != "" {
		d.stop = obstacle{key, "dependency", "refers to " + id + ", which is a dead letter: retry both"}
		return io.EOF
	}
	delete(d.dead, o.STIX)
	return nil
}

func (d *Stage) bundleID() string { return BundleID(d.opt.ConnectorID, *d.current, d.bundle.Seq) }

// BundleID returns the bundle's id on the wire, which is the same whenever it is
// sent.
func BundleID(connectorID string, run spool.Run, seq uint64) string {
	name := fmt.Sprintf("%s/%d/%d/%d", connectorID, run.Created.UnixNano(), run.ID, seq)
	return "bundle--" + uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String()
}

// commit stores the cursor. It retries until that works, because nothing more may
// be published before.
func (d *Stage) commit(ctx context.Context, n int) error {
	back := pipeline.Backoff{Min: 200 * time.Millisecond, Max: 10 * time.Second, Rand: d.Rand}
	for {
		err := d.Spool.SaveCursor(d.epoch, d.bundle.Run, d.bundle.Seq, n)
		if err == nil {
			d.Metrics.messages.Add(float64(n - d.bundle.Confirmed))
			d.Metrics.records.Add(float64(n - d.bundle.Confirmed))
			d.bundle.Confirmed, d.moved, d.unready = n, true, ""
			d.Platform.Hold(holdNacked, false)
			d.showProgress()
			return nil
		}
		if errors.Is(err, spool.ErrEpoch) || errors.Is(err, spool.ErrNotFound) || fault.Is(err, fault.Fatal) {
			return err
		}
		d.Status.Error(stageName, err)
		d.Status.Set(stageName, "waiting", "the cursor cannot be stored", fault.Sentence(err))
		d.say(err.Error(), func() {
			d.Log.Error("the cursor cannot be stored, publishing stops until it can", "stage", stageName, "error", err)
		})
		if d.Status.Sleep(ctx, stageName, back.Next(), nil) != nil {
			return err
		}
	}
}

// bundleReader reads a bundle's objects in blocks.
type bundleReader struct {
	spool    Spool
	run, seq uint64
	at       int
	ready    []spool.BundleObject
}

const readAhead = 1 << 20

func (r *bundleReader) next() (spool.BundleObject, error) {
	if len(r.ready) == 0 {
		var err error
		if r.ready, err = r.spool.BundleObjects(r.run, r.seq, r.at, readAhead); err != nil {
			return spool.BundleObject{}, err
		}
		if len(r.ready) == 0 {
			return spool.BundleObject{}, io.EOF
		}
	}
	o := r.ready[0]
	r.ready[0] = spool.BundleObject{} // frees it, which may be large
	r.ready = r.ready[1:]
	r.at++
	return o, nil
}
