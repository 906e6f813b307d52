package mapstage

import (
	"context"
	"slices"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

const (
	maxLookups = 5000 // ids that the platform is asked for in one run
	askMax     = 50   // ids that it is asked for between two commits
)

// mayAsk reports whether the platform may still be asked for the id in this run.
func (d *drain) mayAsk(id string) bool {
	return d.m.Resolver != nil && d.asked < d.m.lookups && !d.absent[id]
}

// askPlatform asks for ids that are unknown here. blocked is why it did not answer.
func (d *drain) askPlatform(ctx context.Context) (blocked, err error) {
	next := phaseJudge
	if d.phase == phaseAskOne {
		next = phaseAskList
	}
	if d.m.Resolver == nil || d.asked >= d.m.lookups {
		d.enter(next)
		return nil, nil
	}
	ids, err := d.m.Spool.WatchedIDs(d.run.ID, d.id, askMax)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		d.enter(next)
		return nil, nil
	}
	ask, err := d.collect(ids)
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(ask, askMax) {
		chunk = chunk[:min(len(chunk), d.m.lookups-d.asked)]
		if len(chunk) == 0 {
			break
		}
		if blocked, err = d.ask(ctx, chunk); blocked != nil || err != nil {
			return blocked, err
		}
	}
	d.id = ids[len(ids)-1]
	return nil, d.spread()
}

// collect returns the unknown ids among the watched ids and the other references of
// the objects that watch them: single references in the first pass, entries of
// lists too in the second.
func (d *drain) collect(watched []string) ([]string, error) {
	unknown, err := d.unknown(watched)
	if err != nil {
		return nil, err
	}
	var ids []string
	seen := map[string]bool{}
	for _, id := range unknown {
		objs, err := d.m.Spool.Watchers(d.run.ID, id, 0, objectPage)
		if err != nil {
			return nil, err
		}
		for _, o := range objs {
			it := d.m.reload(o)
			if it == nil {
				continue
			}
			for _, r := range it.refs {
				if (d.phase == phaseAskList || !r.List) && !seen[r.ID] && !d.absent[r.ID] {
					seen[r.ID] = true
					ids = append(ids, r.ID)
				}
			}
		}
	}
	return d.unknown(ids)
}

// unknown returns those of ids that are neither in ids nor waiting in the run.
func (d *drain) unknown(ids []string) ([]string, error) {
	return d.missing(ids, func(id string) bool { return d.entries[id] != nil || d.isSettled(id) })
}

// missing returns those of ids that neither wait in the run nor are here, as far as
// ids and the batch know.
func (d *drain) missing(ids []string, here func(id string) bool) ([]string, error) {
	if err := d.learn(ids); err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(slices.Clone(ids), here)
	waits, err := d.waiting(ids)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(ids, func(id string) bool { return waits[id] }), nil
}

// waiting returns those of ids that wait in the run, as it will be after the batch.
func (b *batch) waiting(ids []string) (map[string]bool, error) {
	waits := map[string]bool{}
	var ask []string
	for _, id := range ids {
		if it := b.items[id]; it == nil {
			ask = append(ask, id)
		} else if it.state == itemPending {
			waits[id] = true
		}
	}
	for chunk := range slices.Chunk(ask, objectPage) {
		found, err := b.m.Spool.ObjectsByID(b.run.ID, chunk)
		if err != nil {
			return nil, err
		}
		for id := range found {
			waits[id] = true
		}
	}
	return waits, nil
}

// ask asks the platform for some ids and adds those that it has to ids.
func (d *drain) ask(ctx context.Context, ids []string) (blocked, err error) {
	done := d.m.Status.Waiting(stageName)
	found, err := d.m.Resolver.Known(ctx, ids)
	done()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	d.tally("lookups_found", int64(len(found)))
	for _, id := range ids {
		kind, ok := found[id]
		if !ok {
			continue
		}
		e := spool.ID{Kind: kind, At: d.now}
		d.put(id, e)
		d.free(id)
	}
	if err != nil && !fault.Is(err, fault.Permanent) {
		return err, nil
	}
	if err != nil {
		d.m.Log.Warn("the platform refuses to look up references: they count as unknown", "run", d.run.ID, "error", err)
	}
	d.tries = 0
	d.asked += len(ids)
	d.tally("lookups", int64(len(ids)))
	for _, id := range ids {
		if _, ok := found[id]; !ok {
			d.absent[id] = true
		}
	}
	return nil, nil
}

// judgeUnknown decides about the objects that watch ids nobody knows.
func (d *drain) judgeUnknown() error {
	if len(d.queue) == 0 {
		ids, err := d.m.Spool.WatchedIDs(d.run.ID, d.id, idPage)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			if d.changed || d.moved() {
				d.enter(phaseSettled)
			} else {
				d.enter(phaseCycles)
			}
			return nil
		}
		// What a later run handed over will not be settled in this one either.
		if d.queue, err = d.missing(ids, d.isSettled); err != nil {
			return err
		}
		d.id, d.seq = ids[len(ids)-1], 0
	}
	for len(d.queue) > 0 && !d.full() {
		done, err := d.judgeWatchers(d.queue[0])
		if err != nil {
			return err
		}
		if done {
			d.queue, d.seq = d.queue[1:], 0
		}
	}
	return nil
}

// judgeWatchers judges a page of the objects that watch the id and reports whether
// it was the last.
func (d *drain) judgeWatchers(id string) (done bool, err error) {
	objs, err := d.m.Spool.Watchers(d.run.ID, id, d.seq, objectPage)
	if err != nil || len(objs) == 0 {
		return true, err
	}
	for _, o := range objs {
		d.seq = o.Seq
		it, err := d.load(o, false)
		if err != nil {
			return false, err
		}
		if it == nil {
			continue
		}
		if err := d.judge(it); err != nil {
			return false, err
		}
		if it.state == itemPending && !it.changed {
			d.putBack(it)
		}
	}
	return false, nil
}

// judge decides about an object with a reference that will not arrive: it is held
// if it cannot do without, it keeps waiting for what may still arrive, and
// otherwise it is sent without.
func (d *drain) judge(it *item) error {
	d.m.at = it.id
	if err := d.learnRefs(it); err != nil {
		return err
	}
	if why := d.staleOnArrival(it); why != "" {
		d.skip(it, why)
		return nil
	}
	open := d.open(it)
	if len(open) == 0 {
		return d.settle(it)
	}
	waits, err := d.waiting(refIDs(open))
	if err != nil {
		return err
	}
	var later, coming, lost []reference
	for _, r := range open {
		switch {
		case d.entries[r.ID] != nil:
			later = append(later, r)
		case waits[r.ID] || d.mayAsk(r.ID):
			coming = append(coming, r)
		default:
			lost = append(lost, r)
		}
	}
	if !d.room && d.withoutLeft(it, lost) {
		if it.state == itemGone {
			return nil
		}
		return d.judge(it)
	}
	switch vital := it.vital(lost); {
	case len(later) > 0:
		return d.hold(it, later[0].ID)
	case vital != "" && d.room:
	case vital != "":
		d.tallyCapped(lost)
		return d.hold(it, vital)
	case len(coming) > 0 && coming[0].ID == it.watch:
	case len(coming) > 0:
		d.watch(it, coming[0].ID)
	default:
		d.tallyCapped(lost)
		return d.goWithout(it, lost)
	}
	return nil
}

// tallyCapped counts those of an object's unknown references that nobody asked for
// because the run has reached its limit.
func (d *drain) tallyCapped(lost []reference) {
	for _, r := range lost {
		if d.m.Resolver != nil && !d.absent[r.ID] {
			d.tally("lookups_capped", 1)
		}
	}
}

// vital returns an id among the lost ones without which the object is nothing, or
// "".
func (it *item) vital(lost []reference) string {
	witnesses, gone, id := 0, 0, ""
	for _, r := range it.refs {
		if r.need == needWitness {
			witnesses++
		}
	}
	for _, r := range lost {
		switch r.need {
		case needEssential:
			return r.ID
		case needWitness:
			gone++
			id = r.ID
		}
	}
	if gone < witnesses {
		return ""
	}
	return id
}

// hold keeps an object until the id arrives, in whatever run.
func (b *batch) hold(it *item, id string) error {
	whole, err := b.withHeld(it)
	if err != nil {
		return err
	}
	it.state = itemGone
	it.whole = &spool.Object{Watch: id, JSON: whole.AppendJSON(nil), Stamps: whole.Stamps(), Kept: it.again}
	return nil
}

// withHeld returns the item's object, merged with the held copy that it will
// replace. If they are too much together, that one becomes a dead letter.
func (b *batch) withHeld(it *item) (*stix.Object, error) {
	b.restrict(it)
	if it.held != nil || !b.hasHeld {
		return it.obj, nil
	}
	held, err := b.m.Spool.ObjectsByID(spool.Held, []string{it.id})
	o, ok := held[it.id]
	if err != nil || !ok {
		return it.obj, err
	}
	whole := it.obj
	if old := b.m.reload(o); old != nil {
		if whole, err = stix.MergeBounded(it.obj, old.obj); err != nil {
			whole = it.obj.Clone()
			whole.Restrict(old.obj.SourceRank())
			b.tally("buried", 1)
			b.addDeadLetter(spool.DeadLetter{Class: mapping.DeadElement, Error: "with a newer copy of it that is held, too, it has " + err.Error(),
				Dataset: o.Dataset, Source: o.Source, STIX: o.STIX, First: o.Since, Payload: o.JSON})
		}
		it.again = it.again || old.again
	}
	b.supersede(it, o)
	return whole, nil
}
