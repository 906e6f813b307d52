package mapstage

import (
	"context"
	"fmt"
	"time"

	"threatmatch-connector/spool"
)

// phase is a step of ending a run. Each pass over the waiting objects is made of
// small commits; if one changes something, the passes start again.
type phase uint8

const (
	phaseSettled   phase = iota // release what waits for ids that are known by now
	phaseAskOne                 // ask the platform for single references
	phaseAskList                // ask it for entries of lists
	phaseJudge                  // cut or hold what nobody knows
	phaseCycles                 // cut cycles
	phaseFailCycle              // dead-letter a cycle that cannot be cut
	phaseHeld                   // take up held objects whose target has arrived
	phaseKept                   // publish kept copies again that are more complete by now
	phaseExpire                 // give up held objects that waited too long
	phaseDone
)

// drain is one commit towards ending a run, and how far that has come. Each phase is
// one of its methods.
type drain struct {
	*batch
	*drainPass
}

// drainPass is how far the end of a run has come. Losing it costs only time.
type drainPass struct {
	room     bool // the run continues: it only needs room, so relationships are not given up
	phase    phase
	id       string          // how far a pass over ids has come
	seq      uint64          // how far a pass over objects has come
	queue    []string        // in phaseJudge: ids to judge next; seq says how far the first one is
	changed  bool            // a pass since the first phase changed something
	fresh    bool            // what the batch moved was done by the first phase
	kept     bool            // the passes over kept copies are done
	took     bool            // this pass took something up
	passes   int             // passes over kept copies so far
	keptFrom uint64          // where a pass over them begins: after this one
	steps    int             // steps made to find cycles in this pass
	seen     int             // objects looked at in this pass
	absent   map[string]bool // asked of the platform, which does not have them
	asked    int             // ids looked up in this run
	turns    [2]askTurn      // of ids that objects never published wait for, and of those that only kept copies do
	placed   bool            // turns are placed
	capped   map[uint64]bool // by run: it asked for as many ids as it may, and others were left
	until    time.Time       // the platform did not answer: wait until then
	tries    int
}

// enter starts a phase from its beginning.
func (d *drainPass) enter(p phase) {
	d.phase, d.id, d.seq, d.steps, d.seen, d.queue = p, "", 0, 0, 0, nil
}

// drainOf returns the state of ending the run.
func (m *Stage) drainOf(run spool.Run, room bool) *drainPass {
	d := m.drains[run.ID]
	switch {
	case d == nil:
		d = &drainPass{
			room: room, absent: map[string]bool{}, capped: map[uint64]bool{}, asked: int(run.Counters[counterPrefix+"lookups"]),
		}
	case d.room != room: // what OpenCTI did not have while there was no room may have come since
		d = &drainPass{room: room, absent: map[string]bool{}, capped: map[uint64]bool{run.ID: true}, asked: d.asked}
	}
	m.drains[run.ID] = d
	return d
}

// drainRun makes one commit towards ending a run; see phase. It reports whether
// there was something to do.
func (m *Stage) drainRun(ctx context.Context, run spool.Run, room bool) (did bool, wait time.Duration, err error) {
	pass := m.drainOf(run, room)
	if left := pass.until.Sub(m.Now()); left > 0 {
		return false, left, nil
	}
	if pass.phase == phaseDone {
		return m.finish(run, pass)
	}
	m.Status.Set(stageName, "working", "releasing the waiting objects of "+m.describe(run), "")
	b, err := m.newBatch(run, m.epoch)
	if err != nil {
		return false, 0, err
	}
	d := &drain{b, pass}
	blocked, err := d.fill(ctx)
	if err != nil {
		return false, 0, err
	}
	if d.moved() && !d.fresh {
		d.changed = true
	}
	d.fresh = false
	if !d.empty() {
		if err := d.commit(ctx); err != nil {
			return false, 0, err
		}
	}
	if blocked != nil {
		return m.waitForPlatform(run, pass, blocked)
	}
	return true, 0, nil
}

// fill runs phases until the batch is full, a phase that changed something ends, or
// the platform does not answer; blocked is why it did not.
func (d *drain) fill(ctx context.Context) (blocked, err error) {
	d.freed = d.m.takeFreed(d.run.ID)
	err = d.spread()
	for err == nil && blocked == nil && !d.full() && d.phase != phaseDone && ctx.Err() == nil {
		before := d.phase
		if blocked, err = d.step(ctx); err == nil {
			d.m.at = ""
		}
		if d.phase != before && !d.empty() {
			break // the next phase sees the spool as it is then
		}
	}
	return blocked, err
}

// step runs the current phase. blocked is why the platform could not help.
func (d *drain) step(ctx context.Context) (blocked, err error) {
	switch d.phase {
	case phaseSettled:
		return nil, d.releaseSettled()
	case phaseAskOne, phaseAskList:
		return d.askPlatform(ctx)
	case phaseJudge:
		return nil, d.judgeUnknown()
	case phaseCycles:
		return nil, d.breakCycles()
	case phaseFailCycle:
		return nil, d.failCycle()
	case phaseHeld:
		return nil, d.takeUpHeld(ctx)
	case phaseKept:
		return nil, d.refreshKept()
	case phaseExpire:
		return nil, d.expireHeld()
	}
	return nil, fmt.Errorf("drain: unknown phase %d", d.phase)
}

// waitForPlatform postpones the end of the run. Its waiting objects stay on disk,
// and map continues with later runs.
func (m *Stage) waitForPlatform(run spool.Run, d *drainPass, cause error) (bool, time.Duration, error) {
	d.tries++
	wait := min(time.Second<<min(d.tries, 6), time.Minute)
	d.until = m.Now().Add(wait)
	m.Status.Error(stageName, cause)
	m.Status.Set(stageName, "waiting", "for the platform, to look up references of "+m.describe(run), "")
	if d.tries == 1 {
		m.Log.Warn("the platform cannot be asked for references: the run's waiting objects stay in the spool",
			"run", run.ID, "error", cause)
	}
	return false, wait, nil
}

// finish marks the run as mapped.
func (m *Stage) finish(run spool.Run, d *drainPass) (bool, time.Duration, error) {
	if d.room {
		return false, idlePoll, nil
	}
	if err := m.Spool.FinishMap(m.epoch, run.ID, m.Now()); err != nil {
		return false, 0, err
	}
	delete(m.drains, run.ID)
	delete(m.notes, run.ID)
	m.Log.Info("run mapped", "run", run.ID)
	m.Wakes.Deliver.Signal()
	m.Wakes.Schedule.Signal()
	return true, 0, nil
}

// releaseSettled releases what waits for ids that are known by now.
func (d *drain) releaseSettled() error {
	ids, err := d.m.Spool.WatchedIDs(d.run.ID, d.id, idPage)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		if d.m.freed.lost {
			d.m.freed.lost = false
			d.enter(phaseSettled)
			return nil
		}
		d.changed, d.fresh = false, d.moved()
		d.enter(phaseAskOne)
		return nil
	}
	if err := d.learn(ids); err != nil {
		return err
	}
	for _, id := range ids {
		if d.isSettled(id) {
			d.free(id)
		}
	}
	d.id = ids[len(ids)-1]
	return d.spread()
}

// freedMax bounds the queue of freed ids in memory.
const freedMax = 1 << 16

// freedQueue holds ids of one run that are known now and whose watchers no commit
// has checked yet.
type freedQueue struct {
	run  uint64
	ids  []freedID
	lost bool // some were dropped for lack of room: a pass over all watched ids finds them
}

// takeFreed hands the queue over to a batch.
func (m *Stage) takeFreed(run uint64) []freedID {
	ids := m.freed.ids
	if m.freed.run != run {
		if d := m.drains[m.freed.run]; d != nil && len(ids) > 0 {
			d.changed = true // another pass finds what is dropped here
		}
		ids = nil
	}
	m.freed = freedQueue{run: run, lost: m.freed.lost}
	return ids
}

// keepFreed keeps what a batch left over, and the ids whose held objects it
// created.
func (m *Stage) keepFreed(b *batch) {
	left := b.freed
	for i := range left {
		left[i].after = 0 // objects that the commit moved are not found again
	}
	for _, it := range b.order {
		if it.whole != nil && b.isSettled(it.whole.Watch) {
			left = append(left, freedID{id: it.whole.Watch, held: true})
		}
	}
	m.freed.run = b.run.ID
	if n := len(left); n > freedMax {
		left, m.freed.lost = left[:freedMax:freedMax], true
	}
	m.freed.ids = left
}
