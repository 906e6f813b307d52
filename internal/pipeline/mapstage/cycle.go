package mapstage

import "fmt"

// breakCycles goes through the objects that still wait, oldest first. Each
// waits for another that waits, so that following the watched ids leads into a
// cycle; there one object goes out without what it lacks.
func (b *batch) breakCycles(d *drainPass) error {
	objs, err := b.m.spool.Waiting(b.run.ID, d.seq, objectPage)
	if err != nil {
		return err
	}
	if len(objs) == 0 {
		return b.afterCycles(d)
	}
	for _, o := range objs {
		if b.full() || d.steps > 100_000+4*d.seen {
			break
		}
		d.seq = o.Seq
		d.seen++
		if it := b.items[o.STIX]; it != nil && it.state != itemPending {
			continue
		}
		if v, bad := b.m.blamed.objects[o.STIX]; bad {
			b.takeOut(o, false, v)
			continue
		}
		if o.Err != nil {
			b.unreadable(o, false)
			continue
		}
		if err := b.breakCycle(o.STIX, d); err != nil || d.phase != phaseCycles {
			return err
		}
	}
	if d.steps > 100_000+4*d.seen {
		return b.afterCycles(d) // many lead to what was just given up: that first
	}
	return nil
}

// afterCycles says where to go on after a pass.
func (b *batch) afterCycles(d *drainPass) error {
	switch {
	case d.changed || b.moved():
		d.enter(phaseSettled)
		return nil
	case d.room:
		d.enter(phaseDone)
		return nil
	}
	left, err := b.m.spool.Waiting(b.run.ID, 0, 1)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return unmappable(left[0].STIX, "waits for an object that is not known to be missing")
	}
	d.enter(phaseHeld)
	return nil
}

// breakCycle cuts the cycle that the object hangs on, if it hangs on one.
func (b *batch) breakCycle(id string, d *drainPass) error {
	on, length, err := b.findCycle(id, d)
	if err != nil || length == 0 {
		return err
	}
	victim, err := b.victim(on, length)
	if err != nil {
		return err
	}
	if victim == nil {
		if !d.room {
			d.enter(phaseDoom)
			d.id = on
		}
		return nil
	}
	return b.sacrifice(victim, d)
}

// findCycle follows the watched ids from one object on and returns one that
// lies on the cycle they lead into, with the cycle's length; 0 when they lead
// to an object that does not wait. It needs no memory for the way (R. P. Brent,
// 1980).
func (b *batch) findCycle(id string, d *drainPass) (string, int, error) {
	slow, power, length := id, 1, 1
	fast, ok, err := b.watchOf(id)
	for ok && err == nil && slow != fast {
		if power == length {
			slow, power, length = fast, power*2, 0
		}
		fast, ok, err = b.watchOf(fast)
		length++
		d.steps++
	}
	if !ok || err != nil {
		return "", 0, err
	}
	return fast, length, nil
}

// watchOf returns what a waiting object watches; false when it does not wait.
func (b *batch) watchOf(id string) (string, bool, error) {
	b.m.at = id
	if it := b.items[id]; it != nil {
		return it.watch, it.state == itemPending, nil
	}
	found, err := b.m.spool.WaitingByID(b.run.ID, []string{id})
	o, ok := found[id]
	return o.Watch, ok && o.Err == nil, err
}

// pendingItem returns a waiting object, taken into the batch; nil when it does not wait.
func (b *batch) pendingItem(id string) (*item, error) {
	b.m.at = id
	if it := b.items[id]; it != nil {
		if it.state != itemPending {
			return nil, nil
		}
		return it, nil
	}
	found, err := b.m.spool.WaitingByID(b.run.ID, []string{id})
	if err != nil {
		return nil, err
	}
	if o, ok := found[id]; ok {
		return b.load(o, false)
	}
	return nil, nil
}

// victim chooses the object of a cycle that can best do without what it
// watches: one that watches an entry of a list or a lesser reference, else one
// that watches its author. nil when all need what they watch.
func (b *batch) victim(id string, length int) (*item, error) {
	second := ""
	for range length {
		it, err := b.peek(id)
		if err != nil || it == nil {
			return nil, err
		}
		switch r, _ := it.watched(); {
		case r.need == needEntry, r.need == needSingle, r.need == needWitness && b.witnessed(it):
			return b.pendingItem(id)
		case r.need == needAuthor && second == "":
			second = id
		}
		id = it.watch
	}
	if second == "" {
		return nil, nil
	}
	return b.pendingItem(second)
}

// peek returns a waiting object without taking it into the batch.
func (b *batch) peek(id string) (*item, error) {
	b.m.at = id
	if it := b.items[id]; it != nil {
		return it, nil
	}
	found, err := b.m.spool.WaitingByID(b.run.ID, []string{id})
	if err != nil {
		return nil, err
	}
	if o, ok := found[id]; ok {
		return b.m.reload(o), nil
	}
	return nil, nil
}

// witnessed reports whether another entry of where_sighted_refs is settled.
func (b *batch) witnessed(it *item) bool {
	for _, r := range it.refs {
		if r.need == needWitness && b.isSettled(r.ID) {
			return true
		}
	}
	return false
}

// sacrifice lets an object of a cycle go out without everything that it still
// waits for. The whole is kept and follows when the rest is out. What the
// platform can be asked for is asked first.
func (b *batch) sacrifice(it *item, d *drainPass) error {
	b.m.at = it.id
	if err := b.learnRefs(it); err != nil {
		return err
	}
	open := b.open(it)
	if len(open) == 0 {
		return b.settle(it)
	}
	if open[0].need == needEssential {
		b.watch(it, open[0].ID) // an entry of ids went away meanwhile
		return nil
	}
	waits, err := b.waiting(refIDs(open))
	if err != nil {
		return err
	}
	for _, r := range open {
		if !waits[r.ID] && b.m.mayAsk(d, r.ID) {
			b.watch(it, r.ID)
			return nil
		}
	}
	b.tally("cycles", 1)
	return b.goWithout(it, open)
}

// doom buries the objects of a cycle that cannot be cut, beginning at d.id.
func (b *batch) doom(d *drainPass) error {
	for !b.full() {
		it, err := b.pendingItem(d.id)
		if err != nil {
			return err
		}
		if it == nil {
			d.changed = true
			d.enter(phaseSettled)
			return nil
		}
		b.bury(it, deadCycle, fmt.Sprintf("it needs %s, which needs it in turn", it.watch))
		d.id = it.watch
	}
	return nil
}
