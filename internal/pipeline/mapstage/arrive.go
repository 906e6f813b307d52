package mapstage

import (
	"slices"

	"threatmatch-connector/spool"
)

// arrive takes in the objects of records: each meets what ids, the waiting and
// the held objects have of its id, and the better copy stays.
func (b *batch) arrive(items []*item) error {
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.id
	}
	if err := b.learn(ids); err != nil {
		return err
	}
	taken := make([]*item, 0, len(items))
	for chunk := range slices.Chunk(items, objectPage) {
		stays, err := b.meet(chunk)
		if err != nil {
			return err
		}
		taken = append(taken, stays...)
	}
	return b.settle(taken...)
}

// meet compares a page of new objects with the spool's copies and returns those
// that go on.
func (b *batch) meet(items []*item) (stays []*item, err error) {
	fresh := make([]*item, 0, len(items))
	ids := make([]string, 0, len(items))
	for _, it := range items {
		if why := b.staleOnArrival(it); why != "" {
			b.tally(why, 1)
			continue
		}
		fresh, ids = append(fresh, it), append(ids, it.id)
	}
	var waiting, held map[string]spool.Object
	if b.hasWaiting {
		if waiting, err = b.m.spool.WaitingByID(b.run.ID, ids); err != nil {
			return nil, err
		}
	}
	if b.hasHeld {
		if held, err = b.m.spool.HeldByID(ids); err != nil {
			return nil, err
		}
	}
	for _, it := range fresh {
		if b.meetCopies(it, waiting, held) {
			it.changed = true
			b.add(it)
			stays = append(stays, it)
		}
	}
	return stays, nil
}

// staleOnArrival is stale for an object that may still change before it goes
// out. Its hash is only computed where it can matter.
func (b *batch) staleOnArrival(it *item) string {
	e := b.known[it.id]
	if !e.found || e.Run == 0 {
		return ""
	}
	return b.stale(it, it.obj.Hash(), false)
}

// meetCopies reports whether the item goes on, in the place of the copies that
// wait or are held. Where one of them is better, it is that copy that stays.
func (b *batch) meetCopies(it *item, waiting, held map[string]spool.Object) bool {
	h, isHeld := held[it.id]
	if isHeld {
		old := b.m.reload(h)
		if old != nil && it.better(old) < 0 {
			b.tally("skipped_held", 1)
			return false
		}
		it.standIn(old)
	}
	if w, waits := waiting[it.id]; waits {
		b.tally("merged", 1) // one of the two
		old := b.m.reload(w)
		if old != nil && it.better(old) <= 0 {
			return false
		}
		it.standIn(old)
		it.waits, it.seq, it.since = true, w.Seq, w.Since
	}
	if isHeld {
		b.supersede(it, h)
	}
	return true
}

// standIn notes that the item takes the place of a copy. Is that a whole copy
// of an object that went out without some references, so is this: a tie with
// what went out must not end it.
func (it *item) standIn(old *item) {
	if old != nil && old.again && it.modified.Equal(old.modified) && it.props == old.props {
		it.again = true
	}
}

// supersede lets the item take the place of a held copy.
func (b *batch) supersede(it *item, o spool.Object) {
	it.held = &o
	if it.since.IsZero() || o.Since.Before(it.since) {
		it.since = o.Since
	}
	b.tally("superseded", 1)
}
