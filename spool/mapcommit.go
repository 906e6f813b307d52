package spool

import (
	"cmp"
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// packedMap is a MapCommit with packed payloads.
type packedMap struct {
	MapCommit
	wait, hold, dead []encoding.Packed
}

// packMap returns how many bytes the payloads have, too.
func packMap(c MapCommit) (p packedMap, size int64, err error) {
	p.MapCommit = c
	p.Bundles = make([]NewBundle, len(c.Bundles))
	for i, b := range c.Bundles {
		if len(b.Objects) == 0 {
			return p, 0, fmt.Errorf("empty bundle: %w", ErrInvalid)
		}
		p.Bundles[i] = b.packed()
		for _, b := range p.Bundles[i].blocks {
			size += int64(b.body.Size())
		}
	}
	object := func(o Object) []byte { return o.JSON }
	p.wait = packAll(c.Wait, object, &size)
	p.hold = packAll(c.Hold, object, &size)
	p.dead = packAll(c.Dead, payloadOf, &size)
	return p, size, nil
}

// packAll packs what the elements of a list hold, and adds the bytes to size.
func packAll[T any](list []T, payload func(T) []byte, size *int64) []encoding.Packed {
	out := make([]encoding.Packed, len(list))
	var packer encoding.Packer
	for i, one := range list {
		out[i] = packer.Pack(payload(one))
		*size += int64(out[i].Size())
	}
	return out
}

func payloadOf(d DeadLetter) []byte { return d.Payload }

// CommitMap is the hand-over from map to deliver. Removals come before additions, so an id may be in Unwait and Wait,
// in Unhold and Hold, or in Dead and IDs. A record that does not exist any more makes it fail with ErrNotFound; ids
// in Unwait and Unhold that do not exist are not an error.
func (s *Spool) CommitMap(epoch uint64, now time.Time, c MapCommit) error {
	p, size, err := packMap(c)
	if err != nil {
		return fmt.Errorf("commit map: run %d: %w", c.Run, err)
	}
	u := use{share: releases, brings: size}
	if len(c.Wait)+len(c.Hold) > 0 {
		u.share = moves
	}
	return s.changeRun("commit map", u, epoch, c.Run, func(t *txn, r *storedRun) error {
		if !r.DoneAt.IsZero() {
			return fmt.Errorf("%w: it is done", ErrInvalid)
		}
		if err := t.mapInput(now, p); err != nil {
			return err
		}
		s.point("commit map:between")
		if err := t.mapOutput(now, p); err != nil {
			return err
		}
		r.noteLarge(p.Bundles)
		r.count(c.Count)
		return nil
	})
}

// mapInput removes what was consumed.
func (t *txn) mapInput(now time.Time, c packedMap) error {
	for _, seq := range c.Records {
		if err := t.records().consume(now, c.Run, seq); err != nil {
			return err
		}
	}
	waiting := t.objects(c.Run)
	for _, id := range c.Unwait {
		waiting.remove(id)
	}
	for _, id := range c.Unhold {
		t.held().unhold(id)
	}
	t.dead().healPublished(now, c.Bundles)
	for i, d := range c.Dead {
		d.Run = cmp.Or(d.Run, c.Run)
		d.Stage = cmp.Or(d.Stage, StageMap)
		t.dead().add(now, d, c.dead[i])
		t.ids().removeOf(c.Run, d.STIX)
	}
	return nil
}

// mapOutput adds what came of it.
func (t *txn) mapOutput(now time.Time, c packedMap) error {
	for _, b := range c.Bundles {
		t.bundles().add(now, c.Run, b)
	}
	if err := t.ids().putAll(c.IDs, origins(c.Bundles)); err != nil {
		return err
	}
	t.items().put(c.Items)
	t.meta().putSetIDs(c.SetIDs)
	waiting := t.objects(c.Run)
	for i, o := range c.Wait {
		if err := waiting.wait(o, c.wait[i]); err != nil {
			return err
		}
	}
	for i, o := range c.Hold {
		if err := t.held().hold(c.Run, now, o, c.hold[i]); err != nil {
			return err
		}
	}
	return nil
}

// CrashMark is the record that map was working on when a process died.
type CrashMark struct {
	Run    uint64
	Seq    uint64
	Starts int // starts in a row that found this mark, with nothing mapped in between
}

// Crash returns the mark left by the last process, if any.
func (s *Spool) Crash() (m CrashMark, found bool, err error) {
	err = s.view("read crash mark", func(t *txn) error {
		found = t.meta().get([]byte(keyCrash)) != nil
		if t.meta().read(keyCrash, &m) != nil {
			m, found = CrashMark{}, false // which record it was is lost; Verify reports it
		}
		return nil
	})
	return m, found, err
}

// MarkCrash stores the mark; nil removes it.
func (s *Spool) MarkCrash(m *CrashMark) error {
	return s.update("mark record", frees(), func(t *txn) error {
		if m == nil {
			t.meta().unset(keyCrash)
		} else {
			t.meta().save(keyCrash, m)
		}
		return nil
	})
}
