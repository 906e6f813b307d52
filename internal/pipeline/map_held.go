package pipeline

import "threatmatch-connector/spool"

// takeUpHeld takes up held objects whose target is known by now, so that
// nothing is missed that a crash made this stage forget.
func (b *mapBatch) takeUpHeld(d *mapDrain) error {
	ids, err := b.m.spool.HeldIDs(d.id, mapIDPage)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		if d.changed || b.moved() {
			d.enter(phaseSettled)
		} else {
			d.enter(phaseExpire)
		}
		return nil
	}
	if err := b.learn(ids); err != nil {
		return err
	}
	for _, id := range ids {
		if b.isSettled(id) {
			b.freed = append(b.freed, mapFreed{id: id, held: true})
		}
	}
	d.id = ids[len(ids)-1]
	return b.spread()
}

// expireHeld gives up what was held for too long, oldest first: an object that
// never went out is a dead letter; of one that did, only the whole copy is let go.
func (b *mapBatch) expireHeld(d *mapDrain) error {
	objs, err := b.m.spool.Held(d.seq, mapObjectPage)
	if err != nil {
		return err
	}
	expired := 0
	for _, o := range objs {
		d.seq = o.Seq
		if b.now.Sub(o.Since) < b.m.opt.HoldUnresolved {
			continue
		}
		expired++
		b.unhold = append(b.unhold, o.STIX)
		if o.Kept {
			b.tally("expired_kept", 1)
			continue
		}
		b.tally("expired_held", 1)
		b.letter(spool.DeadLetter{
			Class: deadUnresolved, Error: "nothing brought " + o.Watch, Dataset: o.Dataset, Source: o.Source,
			STIX: o.STIX, First: o.Since, Payload: o.JSON,
		})
	}
	if expired == 0 {
		d.enter(phaseDone)
	}
	return nil
}
