package spool

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// SettleTasks commits the outcomes of several tries together: tasks are removed, kept, parked or given up, records
// and tasks are added, counters change, and dead letters of source ids that now succeeded are marked healed. An
// outcome whose task is gone or belongs to another run is ignored.
func (s *Spool) SettleTasks(epoch uint64, now time.Time, outcomes []Outcome) error {
	packed := make([]packedOutcome, len(outcomes))
	u := use{share: moves}
	packer, _ := s.packers.Get().(*encoding.Packer)
	if packer == nil {
		packer = new(encoding.Packer)
	}
	defer s.packers.Put(packer)
	for i, o := range outcomes {
		packed[i] = packOutcome(o, packer, &u.brings)
		if o.Record != nil || len(o.Add) > 0 {
			u.share = grows
		}
	}
	return s.handOver("settle tasks", u, epoch, func(t *txn) error {
		for i, o := range outcomes {
			if err := t.tasks().settle(now, o, packed[i]); err != nil {
				return fmt.Errorf("task %s: %w", o.Task, err)
			}
		}
		return nil
	})
}

// packedOutcome has the packed payloads of an outcome, and its dead letters as they are stored.
type packedOutcome struct {
	record  encoding.Packed
	letters []DeadLetter
	bodies  []encoding.Packed
}

func packOutcome(o Outcome, packer *encoding.Packer, size *int64) (p packedOutcome) {
	if o.Record != nil {
		p.record = packer.Pack(o.Record.Body)
		*size += int64(p.record.Size())
	}
	for _, d := range []*DeadLetter{o.Dead, o.Note} {
		if d != nil {
			p.letters = append(p.letters, o.letter(*d))
		}
	}
	p.bodies = packAll(p.letters, payloadOf, size)
	return p
}

func (tb taskBucket) settle(now time.Time, o Outcome, p packedOutcome) error {
	st, err := tb.find(numKey(pfxDue, o.Run), o.Task)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil || st.Run != o.Run {
		return err
	}
	r, err := tb.t.runs().change(o.Run)
	if err != nil {
		return err
	}
	tb.endTry(now, r, st, o)
	if o.Record != nil {
		rec := *o.Record
		rec.Anew = rec.Anew || st.Anew
		if err := tb.t.records().add(r, rec, p.record); err != nil {
			return err
		}
		// Pages of one group share a source id, but each brings other objects.
		if o.Task.Kind == TaskItem && o.Keep == nil {
			tb.t.dead().heal(now, rec.Dataset, rec.Source, "")
		}
	}
	if err := tb.addAll(r, o.Add); err != nil {
		return err
	}
	for i, d := range p.letters {
		tb.t.dead().add(now, d, p.bodies[i])
	}
	r.apply(o)
	return nil
}

// endTry removes the task from the run, or stores what the try changed.
func (tb taskBucket) endTry(now time.Time, r *storedRun, st *storedTask, o Outcome) {
	tb.leave(r, st)
	if st.rebuilt {
		r.unread(st.Dataset)
	}
	switch {
	case o.Keep == nil:
		if st.Behind && o.Dead == nil {
			r.holdBack(st.Dataset, st.Since)
		}
		tb.remove(st)
	case o.Park:
		st.TaskState = *o.Keep
		tb.park(st, now)
	default:
		st.TaskState = *o.Keep
		tb.enter(r, st)
	}
}

// letter fills in what the dead letter leaves empty.
func (o Outcome) letter(d DeadLetter) DeadLetter {
	d.Stage = cmp.Or(d.Stage, StageFetch)
	d.Run = cmp.Or(d.Run, o.Run)
	d.Dataset = cmp.Or(d.Dataset, o.Task.Dataset)
	d.Source = cmp.Or(d.Source, o.Task.Source)
	return d
}

// apply changes the run as the outcome says.
func (r *storedRun) apply(o Outcome) {
	if o.Status != nil {
		r.setStatus(o.Task.Dataset, o.Status.Status, o.Status.Detail)
	}
	if !o.Start.IsZero() && o.Start.Before(r.Start) {
		r.Start = o.Start.UTC()
	}
	r.count(o.Count)
}

// holdBack records that an item arrived in this run that was parked once and whose window began at since.
func (r *storedRun) holdBack(d Dataset, since time.Time) {
	if since.IsZero() {
		return
	}
	if r.Behind == nil {
		r.Behind = map[Dataset]time.Time{}
	}
	if old, ok := r.Behind[d]; !ok || since.Before(old) {
		r.Behind[d] = since
	}
}

// FailDataset ends a dataset in a run: its list and page tasks leave the run (pages keep their cursor for the next
// run), its item tasks stay.
func (s *Spool) FailDataset(epoch uint64, run uint64, d Dataset, status DatasetStatus, detail string) error {
	return s.changeRun("fail dataset", frees(), epoch, run, func(t *txn, r *storedRun) error {
		for _, st := range t.tasks().requests(d) {
			if st.Run == run {
				t.tasks().leaveCursor(r, st)
			}
		}
		r.setStatus(d, status, detail)
		return nil
	})
}

// leaveCursor takes a list or page out of its run. A page stays with its cursor, for a later run.
func (tb taskBucket) leaveCursor(r *storedRun, st *storedTask) {
	tb.leave(r, st)
	if st.Kind != TaskPage || IsSpan(st.TaskKey) {
		tb.remove(st)
		return
	}
	st.Run = 0
	tb.save(st)
}

// requests returns the dataset's lists and pages.
func (tb taskBucket) requests(d Dataset) []*storedTask {
	return slices.AppendSeq(slices.Collect(tb.of(d, TaskList)), tb.of(d, TaskPage))
}

// of walks the tasks of a dataset and kind; kind "" means all kinds.
func (tb taskBucket) of(d Dataset, kind TaskKind) iter.Seq[*storedTask] {
	prefix := encoding.PutString([]byte{pfxTask}, string(d))
	if kind != "" {
		prefix = encoding.PutString(prefix, string(kind))
	}
	return tb.tasksFrom(prefix, prefix)
}

// tasksFrom walks the tasks with the prefix whose keys are not before from.
func (tb taskBucket) tasksFrom(prefix, from []byte) iter.Seq[*storedTask] {
	return func(yield func(*storedTask) bool) {
		for k := range tb.rowsFrom(prefix, from) {
			st, err := tb.byKey(k[1:]) // the key of a further fragment is none of a task
			if err == nil && !yield(st) {
				return
			}
		}
	}
}

// DropDataset removes the open tasks of a dataset that was switched off from every run, and counts them there as
// "fetch.dropped", and what a repull or a retry left of it in the queue. Parked items and the cursors of left-behind
// pages stay for the day it is switched on again. The first transaction ends the dataset in its runs, so that none of
// them moves its watermark, and drops its lists and pages; the items and the queue follow in bounded steps. After an
// error or a kill, repeating it drops the rest.
func (s *Spool) DropDataset(epoch uint64, d Dataset) (n int, err error) {
	step := func(fn func(t *txn) []*storedTask) error {
		var dropped int
		err := s.handOver("drop dataset", frees(), epoch, func(t *txn) (err error) {
			dropped, err = t.tasks().dropAll(fn(t))
			return err
		})
		if err == nil {
			n += dropped
		}
		return err
	}
	err = step(func(t *txn) []*storedTask {
		t.runs().switchOff(d)
		return t.tasks().requests(d)
	})
	for left := true; err == nil && left; { // before the tasks: a slice that starts meanwhile takes from it
		var dropped int
		err = s.handOver("drop dataset", frees(), epoch, func(t *txn) error {
			dropped, left = t.tasks().unqueue(d)
			return nil
		})
		if err == nil {
			n += dropped
		}
	}
	all := encoding.PutString([]byte{pfxTask}, string(d))
	for at := all; err == nil && at != nil; {
		var next []byte
		err = step(func(t *txn) (tasks []*storedTask) {
			tasks, next = t.tasks().some(all, at)
			return tasks
		})
		at = next
	}
	return n, err
}

// unqueue removes a step of a dataset's tasks from the queue and reports whether there are more. An item that is parked
// stays so.
func (tb taskBucket) unqueue(d Dataset) (n int, more bool) {
	var keys [][]byte
	for k := range tb.rows(encoding.PutString([]byte{pfxQueued}, string(d))) {
		if len(keys) == taskStep {
			more = true
			break
		}
		keys = append(keys, encoding.Clone(k))
	}
	for _, k := range keys {
		tb.dequeue(k)
	}
	return len(keys), more
}

// some returns a step of the tasks with the prefix from the given key on, and where to continue, nil at the end.
func (tb taskBucket) some(prefix, from []byte) (tasks []*storedTask, next []byte) {
	for st := range tb.tasksFrom(prefix, from) {
		if len(tasks) == taskStep {
			return tasks, prefixed(pfxTask, taskKey(st.TaskKey))
		}
		tasks = append(tasks, st)
	}
	return tasks, nil
}

// dropAll drops those of the tasks that are in a run, and returns their number.
func (tb taskBucket) dropAll(tasks []*storedTask) (n int, err error) {
	for _, st := range tasks {
		if st.Run == 0 {
			continue
		}
		r, err := tb.t.runs().change(st.Run)
		if err != nil {
			return n, err
		}
		tb.drop(r, st)
		n++
	}
	return n, nil
}

// drop removes an open task of a switched-off dataset from its run. What was parked before is parked again; a page
// keeps its cursor.
func (tb taskBucket) drop(r *storedRun, st *storedTask) {
	r.count(map[string]int64{"fetch.dropped": 1})
	if st.Behind {
		tb.leave(r, st)
		tb.park(st, r.Created)
		return
	}
	tb.leaveCursor(r, st)
}

// switchOff marks the dataset as off in the runs that still fetch it.
func (tb runBucket) switchOff(d Dataset) {
	for _, r := range tb.open() {
		r.dirty = true
		delete(r.TakeIn, d)
		dr, ok := r.Datasets[d]
		if ok && r.FetchedAt.IsZero() && dr.Status.goesOn() {
			r.setStatus(d, DatasetOff, dr.Detail)
		}
	}
}
