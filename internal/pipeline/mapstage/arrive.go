package mapstage

import (
	"slices"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/spool"
)

// arrive adds the objects of records: each is compared with what ids knows about
// it, and merged with the copies that wait or are held.
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

// meet merges a page of new objects with the spool's copies and returns the objects
// that go on.
func (b *batch) meet(items []*item) (stays []*item, err error) {
	fresh := make([]*item, 0, len(items))
	ids := make([]string, 0, len(items))
	for _, it := range items {
		b.restrict(it)
		if why := b.staleOnArrival(it); why != "" {
			b.tally(why, 1)
			continue
		}
		fresh, ids = append(fresh, it), append(ids, it.id)
	}
	var waiting, held map[string]spool.Object
	if b.hasWaiting {
		if waiting, err = b.m.Spool.ObjectsByID(b.run.ID, ids); err != nil {
			return nil, err
		}
	}
	if b.hasHeld {
		if held, err = b.m.Spool.ObjectsByID(spool.Held, ids); err != nil {
			return nil, err
		}
	}
	for _, it := range fresh {
		b.m.at = it.id
		if err := b.meetCopies(it, waiting, held); err != nil {
			b.deadLetter(it, mapping.DeadElement, err.Error())
			b.buried = append(b.buried, it.id)
			continue
		}
		it.changed = true
		b.add(it)
		stays = append(stays, it)
	}
	b.m.at = ""
	return stays, nil
}

// meetCopies merges the item with the copies that wait or are held, and replaces
// them, unless they would be too much together.
func (b *batch) meetCopies(it *item, waiting, held map[string]spool.Object) error {
	h, isHeld := held[it.id]
	w, waits := waiting[it.id]
	for _, o := range []spool.Object{h, w} {
		if o.STIX == "" {
			continue
		}
		if old := b.m.reload(o); old != nil {
			if err := it.merge(old, b.m.author); err != nil {
				return err
			}
		}
	}
	if waits {
		b.tally("merged", 1)
		it.waits, it.seq, it.since = true, w.Seq, w.Since
	}
	if isHeld {
		b.supersede(it, h)
	}
	return nil
}

// supersede makes the item replace a held copy.
func (b *batch) supersede(it *item, o spool.Object) {
	it.held = &o
	if it.since.IsZero() || o.Since.Before(it.since) {
		it.since = o.Since
	}
	b.tally("superseded", 1)
}
