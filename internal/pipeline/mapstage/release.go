package mapstage

import (
	"fmt"
	"runtime/debug"
	"slices"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// Classes of the map stage's dead letters, in addition to the mapper's.
const (
	deadPanic      = "panic"      // the mapper panicked on it
	deadCrash      = "crash"      // mapping it killed the process again and again
	deadCorrupt    = "corrupt"    // the spool can no longer read it
	deadCycle      = "cycle"      // relationships that need each other
	deadTooLarge   = "too_large"  // larger than the broker accepts
	deadUnresolved = "unresolved" // what it needs never arrived
)

// envelopeBytes is the least that the message adds to an object, besides base64's
// third.
const envelopeBytes = 512

// wireSize returns the size in bytes of the message for an object of n bytes.
func wireSize(n int) int64 { return (int64(n)+2)/3*4 + envelopeBytes }

// release sends an item whose references are all settled with this batch, unless
// ids has the same or better, or it cannot be sent at all.
func (b *batch) release(it *item) error {
	if b.notes.left[it.id] {
		b.skip(it, "left_out")
		return nil
	}
	b.restrict(it)
	if b.overCeiling(it) {
		b.notes.leave(it.id, mapping.Ceiling)
		it.whole, it.isCut = nil, false
		b.skip(it, "left_out")
		return nil
	}
	if it.obj.Type() == "relationship" {
		counts, err := b.legal(it)
		if err != nil {
			b.deadLetter(it, deadPanic, err.Error())
			return nil
		}
		for name, n := range counts {
			b.tally(name, n)
		}
	}
	if e, _ := b.entry(it.id); e.Run > b.run.ID {
		return b.handOn(it)
	}
	if why := b.weigh(it); why != "" {
		b.skip(it, why)
		return nil
	}
	b.letOut(it, mapping.Kind(it.obj))
	return nil
}

// overCeiling reports whether an item became stricter than tlp_max after it was mapped,
// or was mapped before that was set. What was sent under a weaker marking goes out even
// so: OpenCTI must not go on showing it to more people.
func (b *batch) overCeiling(it *item) bool {
	e, _ := b.entry(it.id)
	weaker := e.Run != 0 && e.Marking < it.obj.SourceRank()
	return !weaker && b.m.Mapper.OverCeiling(it.obj)
}

// letOut lets an item go out, unless it is too large.
func (b *batch) letOut(it *item, kind string) {
	size := it.obj.Size()
	if limit := b.m.maxMessage; limit > 0 && wireSize(size) > limit {
		b.deadLetter(it, deadTooLarge, fmt.Sprintf("a message of %d bytes; the broker takes %d", wireSize(size), limit))
		return
	}
	it.state, it.size, it.kind = itemOut, size, kind
	b.out = append(b.out, it)
	b.size += size
	b.tally("published", 1)
	if it.again {
		b.tally("published_again", 1)
	}
	b.free(it.id)
}

// handOn leaves an object to the later run that handed over an older copy of it
// while this run waited: that run's bundles are sent after this one's.
func (b *batch) handOn(it *item) error {
	if it.isCut {
		it.whole.Watch, it.whole.Kept, it.isCut = it.id, it.again, false
		it.state = itemGone
		return nil
	}
	return b.hold(it, it.id)
}

// legal turns a relationship into one that OpenCTI accepts between its two ends.
func (b *batch) legal(it *item) (counts mapping.Counts, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v at %s", r, panicFrame(debug.Stack()))
		}
	}()
	return b.m.Mapper.Settle(it.obj, b.kindOf), nil
}

// kindOf returns the kind of an object, as far as it is known.
func (b *batch) kindOf(id string) string {
	if it := b.items[id]; it != nil && it.state == itemOut {
		return it.kind
	}
	e, _ := b.entry(id)
	return e.Kind
}

// skip ends an item that need not be sent.
func (b *batch) skip(it *item, why string) {
	it.state = itemGone
	b.tally(why, 1)
}

// deadLetter makes a dead letter of an item.
func (b *batch) deadLetter(it *item, class, reason string) {
	it.state = itemGone
	b.notes.restrict(it.id, it.obj.SourceRank())
	b.tally("buried", 1)
	payload := it.obj.AppendJSON(nil)
	if it.whole != nil {
		payload, it.whole = it.whole.JSON, nil
	}
	b.addDeadLetter(spool.DeadLetter{
		Class: class, Error: reason, Dataset: it.dataset, Source: it.source,
		STIX: it.id, First: it.since, Payload: payload,
	})
}

// addDeadLetter adds a dead letter; First is now unless it is set.
func (b *batch) addDeadLetter(d spool.DeadLetter) {
	d.Stage, d.Run, d.Last = spool.StageMap, b.run.ID, b.now
	d.Attempts = max(d.Attempts, 1)
	if d.First.IsZero() {
		d.First = b.now
	}
	b.dead = append(b.dead, d)
	b.tally("dead", 1)
	b.tally("dead_"+d.Class, 1)
}

// unreadable makes a dead letter, with its bytes, of a spool entry that is not an
// object.
func (b *batch) unreadable(o spool.Object, held bool) {
	b.takeOut(o, held, verdict{deadCorrupt, "the spool holds no readable object under this id"})
}

// takeOut makes a dead letter of a waiting or held object, with its bytes.
func (b *batch) takeOut(o spool.Object, held bool, v verdict) {
	if o.STIX == "" || b.items[o.STIX] != nil {
		return
	}
	it := &item{id: o.STIX, state: itemGone, waits: !held}
	if held {
		it.held = &o
		b.tally("taken_up", 1)
	}
	b.add(it)
	b.tally("buried", 1)
	b.addDeadLetter(spool.DeadLetter{
		Class: v.class, Error: v.reason, Dataset: o.Dataset,
		Source: o.Source, STIX: o.STIX, First: o.Since, Payload: o.JSON,
	})
}

// goWithout sends an item without some references, and keeps the whole object to be
// sent again when the first of them arrives.
func (b *batch) goWithout(it *item, drop []reference) error {
	whole, err := b.withHeld(it)
	if err != nil {
		return err
	}
	it.whole = &spool.Object{Watch: drop[0].ID, JSON: whole.AppendJSON(nil), Stamps: whole.Stamps(), Kept: true}
	it.isCut = true
	for _, r := range drop {
		switch {
		case r.need == needAuthor:
			b.tally("cut_authors", 1)
		case r.Key == "object_marking_refs":
			b.tally("cut_markings", 1)
			b.m.Log.Warn("an unknown marking was removed, its object counts as TLP:RED", "run", b.run.ID, "object", it.id,
				"marking", r.ID)
		default:
			b.tally("cut_references", 1)
		}
	}
	b.strip(it, drop)
	return b.settle(it)
}

// strip removes references from an item. An author is replaced by the default
// author. If a marking is unknown, it is unknown what it restricts: the object
// counts as TLP:RED.
func (b *batch) strip(it *item, drop []reference) {
	gone := make(map[stix.Ref]bool, len(drop))
	unmarked := false
	for _, r := range drop {
		gone[r.Ref] = true
		unmarked = unmarked || r.Key == "object_marking_refs"
	}
	it.obj = it.obj.Clone()
	it.obj.EditRefs(func(r stix.Ref) (string, bool) { return r.ID, !gone[r] })
	it.refs = slices.DeleteFunc(it.refs, func(r reference) bool { return gone[r.Ref] })
	it.next = 0
	b.m.Mapper.EnsureAuthor(it.obj)
	if unmarked {
		b.m.Mapper.MarkUnread(it.obj)
	}
}
