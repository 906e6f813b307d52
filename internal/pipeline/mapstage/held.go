package mapstage

import (
	"context"
	"slices"
	"time"

	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// takeUpHeld takes up held objects whose target is known by now. This finds what
// the stage forgot in a crash, and targets that OpenCTI received in the meantime:
// from us, with the entry in ids pruned, or from someone else.
func (d *drain) takeUpHeld(ctx context.Context) error {
	ids, err := d.m.Spool.WatchedIDs(spool.Held, d.id, idPage)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		switch {
		case d.beforeTurns():
			d.enter(phaseHeld)
		case d.changed || d.moved():
			d.enter(phaseSettled)
		case d.kept || d.run.Counters[counterPrefix+"published"]+d.run.Counters[counterPrefix+"lookups_found"] == 0:
			d.enter(phaseExpire)
		default:
			d.enter(phaseKept)
			return d.placeKept()
		}
		return nil
	}
	if err := d.learn(ids); err != nil {
		return err
	}
	if err := d.askForHeld(ctx, ids); err != nil {
		return err
	}
	for _, id := range ids {
		if d.isSettled(id) {
			d.freed = append(d.freed, freedID{id: id, held: true})
		}
	}
	d.id = ids[len(ids)-1]
	return d.spread()
}

// heldAskMax limits how many ids the platform is asked for in one run on behalf of
// objects that were never published, and how many on behalf of kept copies. The next
// run begins after them.
const heldAskMax = 500

// askTurn is how far a run has come with one of these two kinds of ids.
type askTurn struct {
	asked      int
	passOver   int64 // ids to pass over before the first is asked for
	passedOver bool  // some were: they come last
}

// placeTurns sets how many ids the run passes over before it asks for the first. It
// follows from the run, so that each id has its turn even if every run is a process
// of its own.
func (d *drain) placeTurns() error {
	st, err := d.m.Spool.Stats()
	for i, n := range [...]int64{st.Held - st.HeldPublished, st.HeldPublished} {
		d.turns[i].passOver = int64(d.run.ID) * heldAskMax % max(n, 1)
	}
	d.placed = true
	return err
}

// beforeTurns makes the next pass ask for the ids before the place where this run
// began, and reports whether it may ask for any.
func (d *drainPass) beforeTurns() (more bool) {
	for i := range d.turns {
		if t := &d.turns[i]; t.passedOver && t.asked < heldAskMax {
			t.passOver, t.passedOver, more = 0, false, true
		}
	}
	return more
}

// turnOf returns the turn of an id by the objects that are held for it, nil if nobody
// needs to ask for it again: a run has asked for what its kept copies lack, unless it
// had reached its limit.
func (d *drain) turnOf(objs []spool.Object) (turn *askTurn, err error) {
	for _, o := range objs {
		if !o.Kept {
			return &d.turns[0], nil
		}
		capped, known := d.capped[o.Run]
		if !known {
			runs, err := d.m.Spool.Runs(o.Run+1, 1)
			if err != nil {
				return nil, err
			}
			capped = len(runs) == 0 || runs[0].ID != o.Run || runs[0].Counters[counterPrefix+"lookups_capped"] > 0
			d.capped[o.Run] = capped
		}
		if capped {
			turn = &d.turns[1]
		}
	}
	return turn, nil
}

// askForHeld asks the platform for targets of held objects that were never published,
// and for what no run has asked for yet. If the platform does not answer, a later run
// asks again.
func (d *drain) askForHeld(ctx context.Context, ids []string) error {
	if d.id == "" && !d.placed {
		if err := d.placeTurns(); err != nil {
			return err
		}
	}
	var ask []string
	for _, id := range ids {
		if min(d.turns[0].asked, d.turns[1].asked) >= heldAskMax {
			break
		}
		if d.entries[id] != nil || !d.mayAsk(id) {
			continue
		}
		objs, err := d.m.Spool.Watchers(spool.Held, id, 0, objectPage)
		if err != nil {
			return err
		}
		t, err := d.turnOf(objs)
		if err != nil {
			return err
		}
		switch {
		case t == nil || t.asked >= heldAskMax:
		case t.passOver > 0:
			t.passOver--
			t.passedOver = true
		default:
			ask = append(ask, id)
			t.asked++
		}
	}
	for chunk := range slices.Chunk(ask, askMax) {
		blocked, err := d.ask(ctx, chunk)
		if err != nil {
			return err
		}
		if blocked != nil {
			d.turns[0].asked, d.turns[1].asked = heldAskMax, heldAskMax
			d.m.Log.Debug("held objects are not looked up", "run", d.run.ID, "error", blocked)
			return nil
		}
	}
	return nil
}

// keptPass limits how many held objects are checked in one run for kept copies that
// are more complete by now. The next run begins after them.
const keptPass = 20_000

// keptPasses limits how often they are checked again in one run, because what one
// pass took up may be what others lack.
const keptPasses = 10

// placeKept sets where a pass over the held objects begins. For the first one it
// follows from the run, as in placeTurns; each further one continues after the last.
func (d *drain) placeKept() error {
	if d.passes == 0 {
		st, err := d.m.Spool.Stats()
		if err == nil && st.Held > keptPass {
			d.keptFrom, err = d.m.Spool.HeldPlace(int64(d.run.ID) * keptPass % st.Held)
		}
		if err != nil {
			return err
		}
	}
	d.seq = d.keptFrom
	return nil
}

// refreshKept takes up held objects that could be sent now, or sent more
// completely, although what they are held for did not arrive.
func (d *drain) refreshKept() error {
	objs, err := d.m.Spool.Objects(spool.Held, d.seq, objectPage)
	if err != nil {
		return err
	}
	if len(objs) == 0 || d.seen >= keptPass {
		wrap := d.seen < keptPass && d.keptFrom > 0
		if d.keptFrom = d.seq; len(objs) == 0 {
			d.keptFrom = 0
		}
		if wrap {
			d.seq = 0
			return nil
		}
		d.passes++
		d.kept = !d.took || d.passes >= keptPasses
		d.took = false
		d.enter(phaseHeld)
		return nil
	}
	for _, o := range objs {
		d.seq = o.Seq
		d.seen++
		more, err := d.saysMore(o)
		if err != nil {
			return err
		}
		if !more {
			continue
		}
		it, err := d.load(o, true)
		if err != nil {
			return err
		}
		if it != nil {
			d.took = true
			d.by[it.watch] = append(d.by[it.watch], it)
		}
	}
	return nil
}

// saysMore reports whether a kept copy could be sent with more references than the
// copy sent before. A sighting held for one witness may be sent when another one
// arrived.
func (d *drain) saysMore(o spool.Object) (bool, error) {
	it := d.m.reload(o)
	if it == nil {
		return false, nil
	}
	d.m.at = it.id
	if err := d.learnRefs(it); err != nil {
		return false, err
	}
	e, found := d.entry(it.id)
	open := d.open(it)
	switch {
	case it.vital(open) != "" || e.Run > d.run.ID:
		return false, nil
	case len(open) == 0 || !o.Kept:
		return true, nil
	case !found:
		return false, nil
	}
	d.strip(it, open)
	if it.obj.Type() == "relationship" {
		if _, err := d.legal(it); err != nil {
			return false, nil
		}
	}
	if e.Names == nil {
		return it.obj.Hash() != e.Hash, nil
	}
	trace := traceOf(e)
	_, verdict := trace.Weigh(it.obj, e.Run == d.run.ID)
	return verdict == stix.Send, nil
}

// expireRuns is how many runs must have begun since a held object expired, so that
// a clock that jumped ahead and back removes nothing.
const expireRuns = 3

// expired returns the time before which an object must have been held to be given
// up; zero: none is.
func (d *drain) expired() (time.Time, error) {
	runs, err := d.m.Spool.Runs(d.run.ID, expireRuns)
	if err != nil || len(runs) < expireRuns {
		return time.Time{}, err
	}
	at := d.now
	for _, r := range runs {
		if r.Created.Before(at) {
			at = r.Created
		}
	}
	return at.Add(-d.m.opt.HoldUnresolved), nil
}

// expireHeld gives up what was held for too long, oldest first. An object that was
// never sent becomes a dead letter; of one that was, only the whole copy is
// dropped.
func (d *drain) expireHeld() error {
	since, err := d.expired()
	if err != nil {
		return err
	}
	objs, err := d.m.Spool.Objects(spool.Held, d.seq, objectPage)
	if err != nil {
		return err
	}
	expired, young := 0, len(objs) == 0
	for _, o := range objs {
		d.seq = o.Seq
		if since.IsZero() || o.Since.After(since) {
			young = young || since.IsZero() || !o.Since.After(d.now) // else the clock was set back, and older ones may follow
			continue
		}
		expired++
		d.unhold = append(d.unhold, o.STIX)
		if o.Kept {
			d.tally("expired_kept", 1)
			continue
		}
		d.tally("expired_held", 1)
		d.addDeadLetter(spool.DeadLetter{
			Class: deadUnresolved, Error: "nothing brought " + o.Watch, Dataset: o.Dataset, Source: o.Source,
			STIX: o.STIX, First: o.Since, Payload: o.JSON,
		})
	}
	if expired == 0 && young {
		d.enter(phaseDone)
	}
	return nil
}
