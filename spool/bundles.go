package spool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// storedBundle is a bundle as its header has it; the cursor has a bucket of its own.
type storedBundle struct {
	Bundle
	Blocks []int `json:"blocks"` // number of objects in each block

	partial bool // rebuilt without a block that cannot be read, whose objects the cursor may count
}

// add appends a bundle to the run.
func (tb bundleBucket) add(now time.Time, run uint64, n NewBundle) {
	seq := tb.next()
	b := storedBundle{Bundle: Bundle{Created: now.UTC(), Objects: len(n.Objects), Bytes: n.bytes}}
	for i, bl := range n.blocks {
		b.Blocks = append(b.Blocks, bl.objects)
		tb.sealBlob(blockKey(run, seq, uint32(i)), nil, bl.body)
	}
	tb.sealBlob(pairKey(pfxHead, run, seq), b, encoding.Packed{})
	c := tb.t.counters()
	c.Bundles++
	c.Messages += int64(b.Objects)
}

// NextBundle returns the oldest bundle of the oldest run that has one, or ErrNotFound.
func (s *Spool) NextBundle() (Bundle, error) { return s.nextBundle("read next bundle", nil) }

// NextBundleOf returns the run's oldest bundle, or ErrNotFound.
func (s *Spool) NextBundleOf(run uint64) (Bundle, error) {
	return s.nextBundle(fmt.Sprintf("read next bundle of run %d", run), encoding.Num(run))
}

func (s *Spool) nextBundle(op string, of []byte) (out Bundle, err error) {
	err = s.view(op, func(t *txn) error {
		run, seq, found := t.bundles().oldest(of, nil)
		if !found {
			return ErrNotFound
		}
		b, err := t.bundles().head(run, seq)
		out = b.Bundle
		return err
	})
	return out, err
}

// Unconfirmed counts the run's messages beyond the cursors, skipped ones too, in up to most bundles from the oldest on,
// and returns the range from the first of them to the end of the last bundle.
func (s *Spool) Unconfirmed(run uint64, most int) (n int64, in Range, err error) {
	err = s.view("count unconfirmed messages", func(t *txn) error {
		var next uint64
		for i := range most {
			_, seq, found := t.bundles().oldest(encoding.Num(run), encoding.Num(next))
			if !found {
				return nil
			}
			b, err := t.bundles().head(run, seq)
			if err != nil {
				return err
			}
			if i == 0 {
				in.From = Place{seq, b.Confirmed}
			}
			in.Through = Place{seq, b.Objects}
			n += int64(b.Objects - b.Confirmed)
			next = seq + 1
		}
		return nil
	})
	return n, in, err
}

// head reads a bundle's header and cursor.
func (tb bundleBucket) head(run, seq uint64) (storedBundle, error) {
	var b storedBundle
	key := pairKey(pfxHead, run, seq)
	v := tb.blob(key, nil)
	if _, err := encoding.Open(key, v, &b); err != nil {
		if b = tb.rebuiltHead(run, seq); b.Objects == 0 {
			return storedBundle{}, fmt.Errorf("bundle %d/%d: %w", run, seq, ErrNotFound)
		}
	}
	key = encoding.Pair(run, seq)
	// One that cannot be read counts as being at the start: publishing again is safe, skipping is not.
	cur, _ := encoding.DecodeCursor(key, tb.t.tab(bktCursors).get(key))
	if b.partial {
		cur = encoding.Cursor{}
	}
	b.Run, b.Seq, b.Confirmed, b.Skipped = run, seq, min(cur.Confirmed, b.Objects), cur.Skipped
	return b, nil
}

// BundleObjects returns objects of the bundle from index from on, at least one, and none past the end: those of the
// block of the first, or of as many blocks as are whole within maxBytes, but never more than maxBytes of JSON. If the
// object at from cannot be read, the error is a *BlockError.
func (s *Spool) BundleObjects(run, seq uint64, from int, maxBytes int64) (out []BundleObject, err error) {
	err = s.view("read bundle", func(t *txn) error {
		b, err := t.bundles().head(run, seq)
		if err != nil || from < 0 {
			return err
		}
		var size int64
		for number, first := b.locate(from); number < len(b.Blocks); number++ {
			key := blockKey(run, seq, uint32(number))
			if len(out) > 0 && size+int64(encoding.RawLen(t.bundles().get(key))) > maxBytes {
				return nil // unpacked twice otherwise
			}
			objects, err := t.bundles().block(b, number, first)
			if err != nil {
				if len(out) > 0 {
					return nil // return the readable ones first
				}
				return err
			}
			for i, o := range objects {
				if first+i < from {
					continue
				}
				size += int64(len(o.JSON))
				if len(out) > 0 && size > maxBytes {
					return nil
				}
				out = append(out, o)
			}
			first += len(objects)
		}
		return nil
	})
	return out, err
}

// SaveCursor stores that the bundle's first n messages are confirmed. The cursor never moves back.
func (s *Spool) SaveCursor(epoch uint64, run, seq uint64, n int) error {
	return s.handOver("save cursor", frees(), epoch, func(t *txn) error {
		b, err := t.bundles().head(run, seq)
		if err != nil {
			return err
		}
		if n > b.Objects {
			return fmt.Errorf("bundle %d/%d: %w: cursor %d of %d", run, seq, ErrInvalid, n, b.Objects)
		}
		if n > b.Confirmed {
			t.bundles().moveCursor(b, n)
		}
		return nil
	})
}

// moveCursor stores the cursor at n, or past the skipped messages that follow. It has a bucket of its own, so that few
// pages change however large the bundle is.
func (tb bundleBucket) moveCursor(b storedBundle, n int) {
	for n < b.Objects && slices.Contains(b.Skipped, n) {
		n++
	}
	if b.partial { // the next cursor counts by this header
		tb.sealBlob(pairKey(pfxHead, b.Run, b.Seq), b, encoding.Packed{})
	}
	key := encoding.Pair(b.Run, b.Seq)
	tb.t.tab(bktCursors).put(key, encoding.EncodeCursor(key, encoding.Cursor{Confirmed: n, Skipped: b.Skipped}))
	tb.t.counters().Messages -= int64(n - b.Confirmed)
}

// SkipMessage turns the bundle's message at index into a dead letter and removes its entry from ids, in one
// transaction. The cursor passes the message when it gets there. Repeating it changes nothing. If the block of the
// message cannot be read, the dead letter holds the block's bytes as they are, once for the block; then nothing says
// which entries in ids belong to it, so call ForgetRun, too.
func (s *Spool) SkipMessage(epoch uint64, run, seq uint64, index int, d DeadLetter) error {
	now := s.now()
	return s.handOver("skip message", frees(), epoch, func(t *txn) error {
		b, err := t.bundles().head(run, seq)
		if err != nil {
			return err
		}
		if index < 0 || index >= b.Objects {
			return fmt.Errorf("bundle %d/%d: %w: message %d of %d", run, seq, ErrInvalid, index, b.Objects)
		}
		if slices.Contains(b.Skipped, index) {
			return nil
		}
		if index < b.Confirmed {
			return fmt.Errorf("bundle %d/%d: %w: message %d is confirmed", run, seq, ErrInvalid, index)
		}
		letter, err := t.bundles().skipped(b, index, d)
		if err != nil {
			return err
		}
		t.dead().add(now, letter, encoding.Pack(letter.Payload))
		t.ids().removeOf(run, letter.STIX)
		b.Skipped = append(b.Skipped, index)
		slices.Sort(b.Skipped)
		t.bundles().moveCursor(b, b.Confirmed)
		return nil
	})
}

// skipped completes the dead letter of a bundle's message.
func (tb bundleBucket) skipped(b storedBundle, index int, d DeadLetter) (DeadLetter, error) {
	d.Run = b.Run
	d.Stage = cmp.Or(d.Stage, StageDeliver)
	number, first := b.locate(index)
	objects, err := tb.block(b, number, first)
	if errors.Is(err, ErrCorrupt) {
		d.Error = cmp.Or(d.Error, err.Error())
		again := slices.ContainsFunc(b.Skipped, func(i int) bool { return i >= first && i < first+b.Blocks[number] })
		if !again {
			d.Payload = encoding.Clone(tb.blob(blockKey(b.Run, b.Seq, uint32(number)), nil))
		}
		return d, nil
	}
	if err != nil {
		return d, err
	}
	o := objects[index-first]
	d.STIX, d.Payload = o.STIX, o.JSON
	if d.Dataset == "" {
		d.Dataset, d.Source = o.Dataset, o.Source
	}
	return d, nil
}

// EndBundle removes a bundle whose cursor is at its end, stores its run's work and adds to the run's counters. With
// messages left to confirm it returns ErrBusy.
func (s *Spool) EndBundle(epoch uint64, run, seq uint64, w Work, count map[string]int64) error {
	return s.changeRun("end bundle", frees(), epoch, run, func(t *txn, r *storedRun) error {
		b, err := t.bundles().head(run, seq)
		if err != nil {
			return err
		}
		if b.Confirmed < b.Objects {
			return fmt.Errorf("bundle %d: %w: %d of %d confirmed", seq, ErrBusy, b.Confirmed, b.Objects)
		}
		r.Work = w
		r.count(count)
		for _, pfx := range []byte{pfxBlock, pfxHead} {
			t.bundles().delAll(t.bundles().keys(pairKey(pfx, run, seq), 0))
		}
		t.tab(bktCursors).del(encoding.Pair(run, seq))
		t.counters().Bundles--
		return nil
	})
}
