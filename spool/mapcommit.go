package spool

import (
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// packedMap is a MapCommit with packed payloads.
type packedMap struct {
	MapCommit
	blocks     [][]block
	wait, hold []encoding.Packed
	dead       []encoding.Packed
}

func packMap(c MapCommit) (packedMap, error) {
	p := packedMap{MapCommit: c}
	for _, b := range c.Bundles {
		if len(b.Objects) == 0 {
			return p, fmt.Errorf("empty bundle: %w", ErrInvalid)
		}
		p.blocks = append(p.blocks, packBlocks(b.Objects))
	}
	for _, o := range c.Wait {
		p.wait = append(p.wait, encoding.Pack(o.JSON))
	}
	for _, o := range c.Hold {
		p.hold = append(p.hold, encoding.Pack(o.JSON))
	}
	for _, d := range c.Dead {
		p.dead = append(p.dead, encoding.Pack(d.Payload))
	}
	return p, nil
}

// size returns the number of bytes of the payloads.
func (p packedMap) size() int64 {
	var n int64
	for _, blocks := range p.blocks {
		for _, b := range blocks {
			n += int64(b.body.Size())
		}
	}
	for _, all := range [][]encoding.Packed{p.wait, p.hold, p.dead} {
		for _, one := range all {
			n += int64(one.Size())
		}
	}
	return n
}

// CommitMap is the hand-over from map to deliver. Removals come before additions, so an id may be in Unwait and Wait,
// in Unhold and Hold, or in Dead and IDs. A record that does not exist any more makes it fail with ErrNotFound; ids
// in Unwait and Unhold that do not exist are no error.
func (s *Spool) CommitMap(epoch uint64, now time.Time, c MapCommit) error {
	p, err := packMap(c)
	if err != nil {
		return fmt.Errorf("commit map: run %d: %w", c.Run, err)
	}
	u := use{share: releases, brings: p.size()}
	if len(c.Wait)+len(c.Hold) > 0 {
		u.share = moves
	}
	return s.changeRunIn("commit map", u, epoch, c.Run, func(t *txn, r *storedRun) error {
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
		r.noteLarge(c.Bundles)
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
	for _, id := range c.Unwait {
		if _, err := waitingOf(c.Run)(t).remove(id); err != nil {
			return err
		}
	}
	for _, id := range c.Unhold {
		if _, err := t.held().unhold(id); err != nil {
			return err
		}
	}
	if err := t.dead().healPublished(now, c.Bundles); err != nil {
		return err
	}
	for i, d := range c.Dead {
		if d.Run == 0 {
			d.Run = c.Run
		}
		if d.Stage == "" {
			d.Stage = StageMap
		}
		if err := t.dead().add(now, d, c.dead[i]); err != nil {
			return err
		}
		if err := t.ids().removeOf(c.Run, d.STIX); err != nil {
			return err
		}
	}
	return nil
}

// mapOutput adds what came of it.
func (t *txn) mapOutput(now time.Time, c packedMap) error {
	for i, b := range c.Bundles {
		if err := t.bundles().add(now, c.Run, b, c.blocks[i]); err != nil {
			return err
		}
	}
	if err := t.ids().putAll(c.IDs, origins(c.Bundles)); err != nil {
		return err
	}
	if err := t.items().put(c.Items); err != nil {
		return err
	}
	if err := t.meta().putSetIDs(c.SetIDs); err != nil {
		return err
	}
	for i, o := range c.Wait {
		if err := t.waiting().wait(c.Run, o, c.wait[i]); err != nil {
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
func (s *Spool) Crash() (CrashMark, bool, error) {
	var m CrashMark
	var found bool
	err := s.view("read crash mark", func(t *txn) error {
		found = t.tab(bktMeta).get([]byte(keyCrash)) != nil
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
			return t.tab(bktMeta).b.Delete([]byte(keyCrash))
		}
		return t.meta().save(keyCrash, m)
	})
}
