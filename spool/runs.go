package spool

import (
	"fmt"
	"iter"
	"maps"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// maxRuns is how many runs the spool remembers; open ones are never forgotten.
const maxRuns = 1000

// storedRun is a run with what only the spool needs of it.
type storedRun struct {
	Run
	// Open counts the run's tasks by dataset and kind.
	Open map[Dataset]map[TaskKind]int `json:",omitempty"`
	// Behind is, by dataset, the oldest window start of items that were parked once and arrived in this run: they
	// hold last_run back until the run is done.
	Behind map[Dataset]time.Time `json:",omitempty"`
	// Unread are the datasets with a task that could not be read: they end as failed.
	Unread map[Dataset]bool `json:",omitempty"`
	// Large are objects that it sent and whose ids a refusal might not name, see mayBeUnnamed.
	Large []string `json:",omitempty"`
	// Lost: the run's row could not be read, so that it moves no watermark.
	Lost bool `json:",omitempty"`
	// TakeIn are the parked items that still have to be taken in, by dataset.
	TakeIn map[Dataset]seqs `json:",omitempty"`

	dirty bool // it was changed, and flush writes it
}

// seqs are the seqs above After, up to and including Through.
type seqs struct{ After, Through uint64 }

// StartRun adds a run with its tasks and returns it. Start defaults to now, a task's Since to its dataset's window
// start, or else to Start. Parked items are taken in by bounded steps; FinishFetch takes in what an error or a kill
// leaves of them.
func (s *Spool) StartRun(epoch uint64, now time.Time, spec RunSpec) (run Run, err error) {
	var more bool
	err = s.handOver("start run", use{share: moves}, epoch, func(t *txn) error {
		r, err := t.runs().add(now, spec)
		if err != nil {
			return err
		}
		more = t.tasks().takeParked(r)
		run = r.copy()
		return nil
	})
	if err == nil && more {
		_ = s.takeParked(epoch, run.ID) // the run exists even if this fails
	}
	return run, err
}

// takeParked takes in the rest of the parked items that belong to a run.
func (s *Spool) takeParked(epoch, run uint64) (err error) {
	for more := true; more && err == nil; {
		err = s.changeRun("take in parked items", use{share: moves}, epoch, run, func(t *txn, r *storedRun) error {
			more = t.tasks().takeParked(r)
			return nil
		})
	}
	return err
}

func (tb runBucket) add(now time.Time, spec RunSpec) (*storedRun, error) {
	st, err := tb.t.meta().state()
	if err != nil {
		return nil, err
	}
	if spec.Reason == ReasonRetry {
		tb.t.meta().unset(keyLimit) // it may have been raised since
	}
	id := tb.next()
	r := &storedRun{Run: Run{
		ID: id, Epoch: st.Epoch, Reason: spec.Reason, Created: now.UTC(), Start: spec.Start.UTC(),
		Datasets: map[Dataset]DatasetRun{}, Counters: map[string]int64{},
	}, dirty: true}
	if spec.Start.IsZero() {
		r.Start = r.Created
	}
	for d, from := range spec.Datasets {
		r.Datasets[d] = DatasetRun{From: from.UTC(), Status: DatasetOpen}
	}
	tb.t.cached[id] = r
	tb.put(numKey(pfxOpen, id), []byte{})
	tb.t.counters().Runs++
	if err := tb.t.tasks().addAll(r, spec.Tasks); err != nil {
		return nil, err
	}
	if spec.Parked {
		r.TakeIn = map[Dataset]seqs{}
		for d := range spec.Datasets {
			r.TakeIn[d] = seqs{Through: tb.t.tab(bktTasks).b.Sequence()}
		}
	}
	return r, nil
}

// OpenRuns returns the runs that are not done, oldest first.
func (s *Spool) OpenRuns() (out []Run, err error) {
	err = s.view("read open runs", func(t *txn) error {
		for _, r := range t.runs().open() {
			out = append(out, r.Run)
		}
		return nil
	})
	return out, err
}

// Runs returns up to limit runs older than before (0 = from the newest), newest first.
func (s *Spool) Runs(before uint64, limit int) (out []Run, err error) {
	if before == 0 {
		before = ^uint64(0)
	}
	err = s.view("read runs", func(t *txn) error {
		for id := range t.runs().before(before) {
			if len(out) >= limit {
				break
			}
			r, err := t.runs().byID(id)
			if err != nil {
				return err
			}
			out = append(out, r.Run)
		}
		return nil
	})
	return out, err
}

// Run returns one run, or ErrNotFound.
func (s *Spool) Run(id uint64) (out Run, err error) {
	err = s.view("read run", func(t *txn) error {
		r, err := t.runs().byID(id)
		if err == nil {
			out = r.Run
		}
		return err
	})
	return out, err
}

// MarkResumed flags the unfinished runs as resumed. It also repairs the indices of their tasks and objects if rows
// were damaged: it looks without blocking writers, and writes only if there is something to repair. Call it before the
// stages start: a repair would undo what they write between its look and its write.
func (s *Spool) MarkResumed() error {
	var checks []damageCheck
	err := s.update("mark runs as resumed", frees(), func(t *txn) error {
		checks = nil
		for _, r := range t.runs().open() {
			r.Resumed, r.dirty = true, true
			checks = append(checks, dueDamage(r.ID), objectDamage(r.ID))
		}
		return nil
	})
	for _, check := range append(checks, (*txn).behindDamage, objectDamage(Held)) {
		if err == nil {
			err = s.repair(check)
		}
	}
	return err
}

// SaveWork stores the run's work.
func (s *Spool) SaveWork(epoch uint64, run uint64, w Work) error {
	return s.changeRun("save work", frees(), epoch, run, func(_ *txn, r *storedRun) error {
		r.Work = w
		return nil
	})
}

// Count adds to a run's counters.
func (s *Spool) Count(epoch uint64, run uint64, count map[string]int64) error {
	return s.changeRun("count", frees(), epoch, run, func(_ *txn, r *storedRun) error {
		r.count(count)
		return nil
	})
}

// FinishMap marks the run as mapped. It returns ErrBusy while the run has records or waiting objects, or is being
// fetched. Repeating it changes nothing.
func (s *Spool) FinishMap(epoch uint64, run uint64, now time.Time) error {
	return s.changeRun("finish map", frees(), epoch, run, func(t *txn, r *storedRun) error {
		switch {
		case !r.MappedAt.IsZero():
			return nil
		case r.FetchedAt.IsZero():
			return fmt.Errorf("%w: its fetch goes on", ErrBusy)
		case t.records().hasEntry(encoding.Num(run), 8):
			return fmt.Errorf("%w: records are left", ErrBusy)
		case t.waiting().hasEntry(encoding.Num(run), 8):
			return fmt.Errorf("%w: waiting objects are left", ErrBusy)
		}
		r.MappedAt = now.UTC()
		return nil
	})
}

// changeRun is a hand-over that changes one run.
func (s *Spool) changeRun(op string, u use, epoch, run uint64, fn func(*txn, *storedRun) error) error {
	return s.handOver(op, u, epoch, func(t *txn) error {
		r, err := t.runs().change(run)
		if err != nil {
			return err
		}
		if err := fn(t, r); err != nil {
			return fmt.Errorf("run %d: %w", run, err)
		}
		return nil
	})
}

// byID returns a run for reading.
func (tb runBucket) byID(id uint64) (*storedRun, error) {
	if r := tb.t.cached[id]; r != nil {
		return r, nil
	}
	key := numKey(pfxRun, id)
	v := tb.get(key)
	if v == nil && tb.get(numKey(pfxOpen, id)) == nil {
		return nil, fmt.Errorf("run %d: %w", id, ErrNotFound)
	}
	r := &storedRun{}
	if _, err := encoding.Open(key, v, r); err != nil {
		r = tb.rebuilt(id)
	}
	if r.Counters == nil {
		r.Counters = map[string]int64{}
	}
	if r.Datasets == nil {
		r.Datasets = map[Dataset]DatasetRun{}
	}
	tb.t.cached[id] = r
	return r, nil
}

// change returns a run for changing; flush writes it.
func (tb runBucket) change(id uint64) (*storedRun, error) {
	r, err := tb.byID(id)
	if err == nil {
		r.dirty = true
	}
	return r, err
}

// open returns the runs that are not done, oldest first. Each can be read, if only rebuilt.
func (tb runBucket) open() (all []*storedRun) {
	for k := range tb.rows([]byte{pfxOpen}) {
		if r, err := tb.byID(encoding.U64(k, 1)); err == nil {
			all = append(all, r)
		}
	}
	return all
}

// before walks the ids of the runs before this one, newest first.
func (tb runBucket) before(id uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		c := tb.b.Cursor()
		k, _ := c.Seek(numKey(pfxRun, id))
		if k == nil {
			k, _ = c.Last()
		} else {
			k, _ = c.Prev()
		}
		for ; k != nil && k[0] == pfxRun; k, _ = c.Prev() {
			if len(k) == 9 && !yield(encoding.U64(k, 1)) {
				return
			}
		}
	}
}

// dropped reports whether a reset dropped the run, or may have, if its row could not be read.
func (tb runBucket) dropped(id uint64) bool {
	r, err := tb.byID(id)
	return err == nil && (r.Dropped || r.Lost && !r.DoneAt.IsZero())
}

// prune forgets the oldest done runs beyond maxRuns, except dropped ones whose dead letters are not opened again yet.
func (tb runBucket) prune() {
	c := tb.t.counters()
	var gone [][]byte
	for k := range tb.rows([]byte{pfxRun}) {
		id := encoding.U64(k, 1)
		if c.Runs <= maxRuns {
			break
		}
		if tb.get(numKey(pfxOpen, id)) != nil || tb.t.dead().has(numKey(pfxRetried, id)) && tb.dropped(id) {
			continue
		}
		delete(tb.t.cached, id)
		gone = append(gone, encoding.Clone(k))
		c.Runs--
	}
	tb.delAll(gone)
}

func (r *storedRun) count(add map[string]int64) {
	for k, n := range add {
		r.Counters[k] += n
	}
}

// setStatus changes how far the run has got with the dataset, and why.
func (r *storedRun) setStatus(d Dataset, status DatasetStatus, detail string) {
	dr := r.Datasets[d]
	dr.Status, dr.Detail = status, detail
	r.Datasets[d] = dr
}

// copy returns a run that shares no map with the transaction.
func (r *storedRun) copy() Run {
	out := r.Run
	out.Datasets, out.Counters = maps.Clone(r.Datasets), maps.Clone(r.Counters)
	return out
}

// earliest returns the oldest window start of the dataset in all runs that are remembered, else the creation of the
// spool: it stands in for the Since of a task that cannot be read.
func (tb runBucket) earliest(d Dataset) (from time.Time) {
	for k, v := range tb.rows([]byte{pfxRun}) {
		var r storedRun
		if _, err := encoding.Open(k, v, &r); err == nil {
			if at := r.Datasets[d].From; !at.IsZero() && (from.IsZero() || at.Before(from)) {
				from = at
			}
		}
	}
	if st, err := tb.t.meta().state(); from.IsZero() && err == nil {
		from = st.Created
	}
	return from
}
