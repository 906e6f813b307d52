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
		switch {
		case d.changed || b.moved():
			d.enter(phaseSettled)
		case d.kept || b.run.Counters[mapCounterPrefix+"published"]+b.run.Counters[mapCounterPrefix+"lookups_found"] == 0:
			d.enter(phaseExpire)
		default:
			d.enter(phaseKept)
			d.seq = b.m.kept
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

// mapKeptPass bounds how many held objects are looked at in one run for kept
// copies that have more to say; the next run goes on behind them.
const mapKeptPass = 20_000

// mapKeptPasses bounds how often they are looked at again in one run, since
// what was taken up in one pass may be what others lack.
const mapKeptPasses = 10

// refreshKept looks for held objects that could go out, or go out with more in
// them, although what they are held for did not come, and takes them up.
func (b *mapBatch) refreshKept(d *mapDrain) error {
	objs, err := b.m.spool.Held(d.seq, mapObjectPage)
	if err != nil {
		return err
	}
	if len(objs) == 0 || d.seen >= mapKeptPass {
		if b.m.kept = d.seq; len(objs) == 0 {
			b.m.kept = 0
		}
		d.passes++
		d.kept = !d.took || d.passes >= mapKeptPasses
		d.took = false
		d.enter(phaseHeld)
		return nil
	}
	for _, o := range objs {
		d.seq = o.Seq
		d.seen++
		more, err := b.saysMore(o)
		if err != nil {
			return err
		}
		if !more {
			continue
		}
		it, err := b.load(o, true)
		if err != nil {
			return err
		}
		if it != nil {
			d.took = true
			b.by[it.watch] = append(b.by[it.watch], it)
		}
	}
	return nil
}

// saysMore reports whether a kept copy could go out with more references than
// the copy that went out before. A sighting that is held for one witness may go
// out when another one came.
func (b *mapBatch) saysMore(o spool.Object) (bool, error) {
	it := b.m.reload(o)
	if it == nil {
		return false, nil
	}
	if err := b.learnRefs(it); err != nil {
		return false, err
	}
	e, open := b.known[it.id], b.open(it)
	switch {
	case it.vital(open) != "" || e.Run > b.run.ID:
		return false, nil
	case len(open) == 0 || !o.Kept:
		return true, nil
	case !e.found:
		return false, nil
	}
	b.strip(it, open)
	if it.obj.Type() == "relationship" {
		if _, err := b.legal(it); err != nil {
			return false, nil
		}
	}
	return it.obj.Hash() != e.Hash, nil
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
