package spool

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// SettleTasks commits the outcomes of several tries together: tasks are removed, kept, parked or given up, records
// and tasks are added, counters change, and dead letters of source ids that now succeeded are marked healed. An
// outcome whose task is gone or belongs to another run is ignored.
func (s *Spool) SettleTasks(epoch uint64, now time.Time, outcomes []Outcome) error {
	payloads := make([]packedOutcome, len(outcomes))
	u := use{share: moves}
	for i, o := range outcomes {
		payloads[i] = packOutcome(o)
		if o.Record != nil || len(o.Add) > 0 {
			u.share = grows
		}
		u.brings += payloads[i].size()
	}
	return s.update("settle tasks", u, func(t *txn) error {
		if err := t.meta().checkEpoch(epoch); err != nil {
			return err
		}
		for i, o := range outcomes {
			if err := t.tasks().settle(now, o, payloads[i]); err != nil {
				return fmt.Errorf("task %s: %w", o.Task, err)
			}
		}
		return nil
	})
}

// packedOutcome has the packed payloads of an outcome.
type packedOutcome struct {
	record  encoding.Packed
	letters [2]encoding.Packed // Dead, Note
}

func packOutcome(o Outcome) packedOutcome {
	var p packedOutcome
	if o.Record != nil {
		p.record = encoding.Pack(o.Record.Body)
	}
	for i, d := range []*DeadLetter{o.Dead, o.Note} {
		if d != nil {
			p.letters[i] = encoding.Pack(d.Payload)
		}
	}
	return p
}

func (p packedOutcome) size() int64 {
	return int64(p.record.Size() + p.letters[0].Size() + p.letters[1].Size())
}

func (tb taskBucket) settle(now time.Time, o Outcome, p packedOutcome) error {
	st, err := tb.byKey(taskKey(o.Task))
	if errors.Is(err, ErrNotFound) {
		if st = tb.lost(o.Run, o.Task); st == nil {
			return nil
		}
		err = nil
	}
	if err == nil && st.Run != o.Run {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := tb.t.runs().change(o.Run)
	if err != nil {
		return err
	}
	if err := tb.endTry(now, r, st, o); err != nil {
		return err
	}
	if o.Record != nil {
		rec := *o.Record
		rec.Anew = rec.Anew || st.Anew
		if err := tb.t.records().add(r, rec, p.record); err != nil {
			return err
		}
		// Pages of one group share a source id, but each brings other objects.
		if o.Task.Kind == TaskItem && o.Keep == nil {
			if err := tb.t.dead().heal(now, rec.Dataset, rec.Source, ""); err != nil {
				return err
			}
		}
	}
	if err := tb.addAll(r, o.Add); err != nil {
		return err
	}
	for i, d := range []*DeadLetter{o.Dead, o.Note} {
		if d == nil {
			continue
		}
		if err := tb.t.dead().add(now, o.letter(*d), p.letters[i]); err != nil {
			return err
		}
	}
	r.apply(o)
	return nil
}

// endTry removes the task from the run, or stores what the try changed.
func (tb taskBucket) endTry(now time.Time, r *storedRun, st *storedTask, o Outcome) error {
	if err := tb.leave(r, st); err != nil {
		return err
	}
	if st.rebuilt {
		r.unread(st.key.Dataset)
	}
	switch {
	case o.Keep == nil:
		if st.Behind && o.Dead == nil {
			r.holdBack(st.key.Dataset, st.Since)
		}
		return tb.remove(st)
	case o.Park:
		st.State = *o.Keep
		return tb.park(st, now)
	default:
		st.State = *o.Keep
		return tb.enter(r, st)
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
		d := r.Datasets[o.Task.Dataset]
		d.Status, d.Detail = o.Status.Status, o.Status.Detail
		r.Datasets[o.Task.Dataset] = d
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
	return s.changeRun("fail dataset", epoch, run, func(t *txn, r *storedRun) error {
		for _, kind := range []TaskKind{TaskList, TaskPage} {
			if err := t.tasks().fail(r, d, kind); err != nil {
				return err
			}
		}
		dr := r.Datasets[d]
		dr.Status, dr.Detail = status, detail
		r.Datasets[d] = dr
		return nil
	})
}

func (tb taskBucket) fail(r *storedRun, d Dataset, kind TaskKind) error {
	all, err := tb.of(d, kind)
	if err != nil {
		return err
	}
	for _, st := range all {
		if st.Run != r.ID {
			continue
		}
		if err := tb.leave(r, st); err != nil {
			return err
		}
		if kind == TaskList || IsSpan(st.key) {
			err = tb.remove(st)
		} else {
			st.Run = 0
			err = tb.save(st)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// of returns the tasks of a dataset and kind; kind "" means all kinds.
func (tb taskBucket) of(d Dataset, kind TaskKind) ([]*storedTask, error) {
	prefix := encoding.PutString([]byte{pfxTask}, string(d))
	if kind != "" {
		prefix = encoding.PutString(prefix, string(kind))
	}
	var out []*storedTask
	err := tb.scan(prefix, nil, func(k, v []byte) (bool, error) {
		if _, ok := cutTaskKey(k[1:]); !ok {
			return true, nil // a further fragment
		}
		st, err := tb.byKey(k[1:])
		if err != nil {
			return false, err
		}
		out = append(out, st)
		return true, nil
	})
	return out, err
}

// DropDataset removes the open tasks of a dataset that was switched off from every run, and counts them there as
// "fetch.dropped". Parked items and the cursors of left-behind pages stay for the day it is switched on again. The
// first transaction ends the dataset in its runs, so that none of them moves its watermark, and drops its lists and
// pages; the items follow in bounded steps. After an error or a kill, repeating it drops the rest.
func (s *Spool) DropDataset(epoch uint64, d Dataset) (n int, err error) {
	step := func(drop func(t *txn, n *int) error) error {
		var dropped int
		err := s.update("drop dataset", frees(), func(t *txn) error {
			dropped = 0
			if err := t.meta().checkEpoch(epoch); err != nil {
				return err
			}
			return drop(t, &dropped)
		})
		if err == nil {
			n += dropped
		}
		return err
	}
	err = step(func(t *txn, n *int) error { return t.endDataset(d, n) })
	at := encoding.PutString(encoding.PutString([]byte{pfxTask}, string(d)), string(TaskItem))
	for err == nil && at != nil {
		var left bool
		err = s.view("drop dataset", func(t *txn) error {
			items, _, err := t.tasks().openItems(d, at)
			left = len(items) > 0
			return err
		})
		if err != nil || !left {
			break
		}
		var last []byte
		err = step(func(t *txn, n *int) error {
			var items []*storedTask
			var err error
			if items, last, err = t.tasks().openItems(d, at); err != nil {
				return err
			}
			return t.tasks().dropAll(items, n)
		})
		at = last
	}
	return n, err
}

// endDataset ends a dataset in its runs, and drops its lists and pages there.
func (t *txn) endDataset(d Dataset, n *int) error {
	if err := t.runs().switchOff(d); err != nil {
		return err
	}
	for _, kind := range []TaskKind{TaskList, TaskPage} {
		all, err := t.tasks().of(d, kind)
		if err == nil {
			err = t.tasks().dropAll(all, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openItems returns a step of the dataset's items that are in a run, after the given key, and the last key that it
// looked at, nil at the end.
func (tb taskBucket) openItems(d Dataset, after []byte) (items []*storedTask, last []byte, err error) {
	prefix := encoding.PutString(encoding.PutString([]byte{pfxTask}, string(d)), string(TaskItem))
	err = tb.scan(prefix, append(encoding.Clone(after), 0), func(k, _ []byte) (bool, error) {
		if len(items) == taskStep {
			return false, nil
		}
		last = append(last[:0], k...)
		if _, ok := cutTaskKey(k[1:]); !ok {
			return true, nil // a further fragment
		}
		st, err := tb.byKey(k[1:])
		if err == nil && st.Run != 0 {
			items = append(items, st)
		}
		return true, err
	})
	if len(items) < taskStep {
		last = nil
	}
	return items, last, err
}

// dropAll drops those of the tasks that are in a run, and adds their number to n.
func (tb taskBucket) dropAll(tasks []*storedTask, n *int) error {
	for _, st := range tasks {
		if st.Run == 0 {
			continue
		}
		r, err := tb.t.runs().change(st.Run)
		if err == nil {
			err = tb.drop(r, st)
		}
		if err != nil {
			return err
		}
		*n++
	}
	return nil
}

// drop removes an open task of a switched-off dataset from its run. What was parked before is parked again; a page
// keeps its cursor.
func (tb taskBucket) drop(r *storedRun, st *storedTask) error {
	if err := tb.leave(r, st); err != nil {
		return err
	}
	r.count(map[string]int64{"fetch.dropped": 1})
	switch {
	case st.Behind:
		return tb.park(st, r.Created)
	case st.key.Kind == TaskPage && !IsSpan(st.key):
		st.Run = 0
		return tb.save(st)
	}
	return tb.remove(st)
}

// switchOff marks the dataset as off in the runs that still fetch it.
func (tb runBucket) switchOff(d Dataset) error {
	ids, err := tb.open()
	if err != nil {
		return err
	}
	for _, id := range ids {
		r, err := tb.byID(id)
		if err != nil {
			return err
		}
		if _, ok := r.TakeIn[d]; ok {
			delete(r.TakeIn, d)
			tb.t.runDirty[id] = true
		}
		dr, ok := r.Datasets[d]
		if !ok || !r.FetchedAt.IsZero() || dr.Status != DatasetOpen && dr.Status != DatasetListed && dr.Status != "" {
			continue
		}
		dr.Status = DatasetOff
		r.Datasets[d] = dr
		tb.t.runDirty[id] = true
	}
	return nil
}
