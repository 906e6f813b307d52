package mapstage

import (
	"fmt"
	"slices"

	"threatmatch-connector/spool"
)

// breakCycles goes through the objects that still wait, oldest first. Each waits
// for another waiting object, so following the watched ids leads into a cycle; one
// object of it is sent without what it lacks.
func (d *drain) breakCycles() error {
	objs, err := d.m.Spool.Objects(d.run.ID, d.seq, objectPage)
	if err != nil {
		return err
	}
	if len(objs) == 0 {
		return d.afterCycles()
	}
	for _, o := range objs {
		if d.full() || d.steps > 100_000+4*d.seen {
			break
		}
		d.seq = o.Seq
		d.seen++
		if it := d.items[o.STIX]; it != nil && it.state != itemPending {
			continue
		}
		if v, bad := d.m.blamed.objects[o.STIX]; bad {
			d.takeOut(o, false, v)
			continue
		}
		if o.Err != nil {
			d.unreadable(o, false)
			continue
		}
		if err := d.breakCycle(o.STIX); err != nil || d.phase != phaseCycles {
			return err
		}
	}
	if d.steps > 100_000+4*d.seen {
		return d.afterCycles() // many lead to what was just given up: handle that first
	}
	return nil
}

// afterCycles decides how to continue after a pass.
func (d *drain) afterCycles() error {
	switch {
	case d.changed || d.moved():
		d.enter(phaseSettled)
		return nil
	case d.room:
		d.enter(phaseDone)
		return nil
	}
	left, err := d.m.Spool.Objects(d.run.ID, 0, 1)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return unmappable(left[0].STIX, "waits for an object that is not known to be missing")
	}
	d.enter(phaseHeld)
	return nil
}

// breakCycle cuts the cycle that the object leads to, if any.
func (d *drain) breakCycle(id string) error {
	on, length, err := d.findCycle(id, &d.steps)
	if err != nil || length == 0 {
		return err
	}
	victim, err := d.victim(on, length)
	if err != nil {
		return err
	}
	if victim == nil {
		if !d.room {
			d.enter(phaseFailCycle)
			d.id = on
		}
		return nil
	}
	return d.sacrifice(victim)
}

// findCycle follows the watched ids from one object and returns an object on the
// cycle they lead to, with the cycle's length. The length is 0 if they lead to an
// object that does not wait. It uses Brent's algorithm (1980), which needs no
// memory for the path.
func (b *batch) findCycle(id string, steps *int) (string, int, error) {
	slow, power, length := id, 1, 1
	fast, ok, err := b.watchOf(id)
	for ok && err == nil && slow != fast {
		if power == length {
			slow, power, length = fast, power*2, 0
		}
		fast, ok, err = b.watchOf(fast)
		length++
		*steps++
	}
	if !ok || err != nil {
		return "", 0, err
	}
	return fast, length, nil
}

// watchOf returns what a waiting object watches, and false if it does not wait.
func (b *batch) watchOf(id string) (string, bool, error) {
	b.m.at = id
	if it := b.items[id]; it != nil {
		return it.watch, it.state == itemPending, nil
	}
	o, ok, err := b.stored(id)
	return o.Watch, ok && o.Err == nil, err
}

// stored reads an object that waits on disk, and returns false if there is none.
func (b *batch) stored(id string) (spool.Object, bool, error) {
	found, err := b.m.Spool.ObjectsByID(b.run.ID, []string{id})
	o, ok := found[id]
	return o, ok, err
}

// pendingItem loads a waiting object into the batch. It returns nil if the object
// does not wait.
func (b *batch) pendingItem(id string) (*item, error) {
	b.m.at = id
	if it := b.items[id]; it != nil {
		if it.state != itemPending {
			return nil, nil
		}
		return it, nil
	}
	o, ok, err := b.stored(id)
	if !ok || err != nil {
		return nil, err
	}
	return b.load(o, false)
}

// victim picks the object of a cycle that can best do without what it watches: one
// that watches an entry of a list or a minor reference, else one that watches its
// author. It returns nil if all need what they watch.
func (b *batch) victim(id string, length int) (*item, error) {
	second := ""
	for range length {
		it, err := b.peek(id)
		if err != nil || it == nil {
			return nil, err
		}
		switch need := it.watched(); {
		case need == needEntry, need == needSingle, need == needWitness && b.witnessed(it):
			return b.pendingItem(id)
		case need == needAuthor && second == "":
			second = id
		}
		id = it.watch
	}
	if second == "" {
		return nil, nil
	}
	return b.pendingItem(second)
}

// peek returns a waiting object without loading it into the batch.
func (b *batch) peek(id string) (*item, error) {
	b.m.at = id
	if it := b.items[id]; it != nil {
		return it, nil
	}
	o, ok, err := b.stored(id)
	if !ok || err != nil {
		return nil, err
	}
	return b.m.reload(o), nil
}

// witnessed reports whether another entry of where_sighted_refs is settled.
func (b *batch) witnessed(it *item) bool {
	return slices.ContainsFunc(it.refs, func(r reference) bool { return r.need == needWitness && b.isSettled(r.ID) })
}

// sacrifice sends an object of a cycle without everything that it still waits for.
// The whole object is kept and follows when the rest is sent. Ids that the platform
// may know are looked up first.
func (d *drain) sacrifice(it *item) error {
	d.m.at = it.id
	if err := d.learnRefs(it); err != nil {
		return err
	}
	open := d.open(it)
	if len(open) == 0 {
		return d.settle(it)
	}
	if open[0].need == needEssential {
		d.watch(it, open[0].ID) // an entry of ids was removed meanwhile
		return nil
	}
	waits, err := d.waiting(refIDs(open))
	if err != nil {
		return err
	}
	var lost []reference
	for _, r := range open {
		if waits[r.ID] {
			continue
		}
		if d.mayAsk(r.ID) {
			d.watch(it, r.ID)
			return nil
		}
		lost = append(lost, r)
	}
	d.tallyCapped(lost)
	d.tally("cycles", 1)
	return d.goWithout(it, open)
}

// failCycle makes dead letters of the objects of a cycle that cannot be cut, starting at
// d.id.
func (d *drain) failCycle() error {
	for !d.full() {
		it, err := d.pendingItem(d.id)
		if err != nil {
			return err
		}
		if it == nil {
			d.changed = true
			d.enter(phaseSettled)
			return nil
		}
		d.deadLetter(it, deadCycle, fmt.Sprintf("it needs %s, which needs it in turn", it.watch))
		d.id = it.watch
	}
	return nil
}
