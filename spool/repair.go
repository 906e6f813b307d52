package spool

import (
	"context"
	"errors"
	"fmt"

	"threatmatch-connector/spool/internal/encoding"
)

// A damaged row stops nothing: what can be counted again or rebuilt is, always in the direction of doing work again.
// FORMAT.md has the rule for each row.

// rebuiltState replaces a state that cannot be read: the connector id comes from its second copy, and the epoch is
// above that of every run. Without the copy the spool might be another connector's, and is refused.
func (tb metaBucket) rebuiltState() (state, error) {
	var id connectorRow
	if err := tb.read(keyConnector, &id); err != nil || tb.get([]byte(keyConnector)) == nil {
		return state{}, fmt.Errorf("owner of the spool: %w: neither copy of the connector id can be read", ErrCorrupt)
	}
	st := state{ConnectorID: id.ID, Epoch: 1, Open: true}
	err := tb.t.tab(bktRuns).scan([]byte{pfxRun}, nil, func(k, v []byte) (bool, error) {
		var r storedRun
		if _, err := encoding.Open(k, v, &r); err == nil {
			st.Epoch = max(st.Epoch, r.Epoch+1)
			if st.Created.IsZero() || r.Created.Before(st.Created) {
				st.Created = r.Created
			}
		}
		return true, nil
	})
	m := marks{}
	st.StateKnown = tb.read(keyWatermarks, &m) == nil && len(m) > 0
	return st, err
}

// recount counts all rows, to replace the row of counters.
func (t *txn) recount() (*counters, error) {
	fresh := newTxn(t.tx, t.keep)
	v := &verifier{ctx: context.Background(), t: fresh, bytes: map[string]int64{}}
	if err := v.contents(); err != nil {
		return nil, err
	}
	if v.n.HeldPublished == nil {
		n, err := fresh.held().countPublished()
		if err != nil {
			return nil, err
		}
		v.n.HeldPublished = &n
	}
	if v.n.Rejected == nil {
		n, err := fresh.dead().countRejected()
		if err != nil {
			return nil, err
		}
		v.n.Rejected = &n
	}
	v.n.Bytes = v.bytes
	delete(v.n.Bytes, bktMeta)
	return &v.n, nil
}

// repairMeta repairs, at open, the rows of meta and runs that everything else needs.
func (t *txn) repairMeta() error {
	if err := t.repairState(); err != nil {
		return err
	}
	for _, key := range []string{keyPlatform, keyCrash, keyPaused, keyLimit} {
		if v := t.meta().get([]byte(key)); v != nil {
			if _, err := encoding.Open([]byte(key), v, nil); err != nil {
				if err := t.meta().b.Delete([]byte(key)); err != nil {
					return err
				}
			}
		}
	}
	if err := t.repairRuns(); err != nil {
		return err
	}
	if err := t.meta().read(keyCounters, &counters{}); err == nil && t.meta().get([]byte(keyCounters)) != nil {
		return nil
	}
	_, err := t.meta().counters() // flush writes them
	return err
}

func (t *txn) repairState() error {
	var kept state
	lost := t.meta().read(keyState, &kept) != nil || kept.Epoch == 0
	st, err := t.meta().changeState()
	if err != nil {
		return err
	}
	if m := (marks{}); t.meta().read(keyWatermarks, &m) != nil {
		st.StateKnown = false // the platform's state is adopted
		if err := t.meta().b.Delete([]byte(keyWatermarks)); err != nil {
			return err
		}
	}
	if !lost {
		return t.meta().save(keyConnector, connectorRow{st.ConnectorID})
	}
	ids, err := t.runs().open()
	for _, id := range ids {
		r, rerr := t.runs().change(id)
		if rerr != nil {
			return rerr
		}
		r.Epoch = st.Epoch
	}
	return err
}

// repairRuns rewrites runs whose rows cannot be read, and marks runs as open that are not done.
func (t *txn) repairRuns() error {
	tb := t.runs()
	ids, err := tb.open()
	if err != nil {
		return err
	}
	err = tb.scan([]byte{pfxRun}, nil, func(k, _ []byte) (bool, error) {
		ids = append(ids, encoding.U64(k, 1))
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		var stored storedRun
		key := numKey(pfxRun, id)
		v := tb.get(key)
		_, rerr := encoding.Open(key, v, &stored)
		if rerr != nil {
			if _, err := tb.change(id); err != nil {
				return err
			}
		} else if stored.DoneAt.IsZero() && tb.get(numKey(pfxOpen, id)) == nil {
			if err := tb.put(numKey(pfxOpen, id), []byte{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// rebuilt replaces a run whose row cannot be read. Its datasets count as failed, so that it moves no watermark; what
// it has brought is delivered.
func (tb runBucket) rebuilt(id uint64) *storedRun {
	r := &storedRun{Lost: true, Run: Run{
		ID: id, Reason: ReasonSchedule, Datasets: map[Dataset]DatasetRun{}, Counters: map[string]int64{},
		Work: Work{Unsure: true, Doubt: true},
	}}
	if st, err := tb.t.meta().state(); err == nil {
		r.Epoch, r.Created, r.Start = st.Epoch, st.Created, st.Created
	}
	m, _ := tb.t.meta().marks()
	for _, d := range Datasets() {
		r.Datasets[d] = DatasetRun{From: m.of(d).Confirmed, Status: DatasetFailed, Detail: "the run's row could not be read"}
	}
	if tb.get(numKey(pfxOpen, id)) == nil {
		r.FetchedAt, r.MappedAt, r.DoneAt = r.Created, r.Created, r.Created
		return r
	}
	_ = tb.t.tab(bktTasks).scan(numKey(pfxDue, id), nil, func(_, v []byte) (bool, error) {
		if key, ok := cutTaskKey(v); ok {
			r.countOpen(key)
		}
		return true, nil
	})
	return r
}

func (r *storedRun) countOpen(key TaskKey) {
	if r.Open == nil {
		r.Open = map[Dataset]map[TaskKind]int{}
	}
	if r.Open[key.Dataset] == nil {
		r.Open[key.Dataset] = map[TaskKind]int{}
	}
	r.Open[key.Dataset][key.Kind]++
}

func (r *storedRun) unread(d Dataset) {
	if r.Unread == nil {
		r.Unread = map[Dataset]bool{}
	}
	r.Unread[d] = true
}

// failUnread marks the datasets as failed of which something could not be read.
func (r *storedRun) failUnread() {
	for d, dr := range r.Datasets {
		if r.Unread[d] || r.Lost {
			dr.Status, dr.Detail = DatasetFailed, "a task or the run itself could not be read"
			r.Datasets[d] = dr
		}
	}
}

// fromDueRow returns a task of which only the row in its run's due index is left.
func (tb taskBucket) fromDueRow(k []byte, key TaskKey) *storedTask {
	st := &storedTask{key: key, rebuilt: true, Run: encoding.U64(k, 1), Seq: encoding.U64(k, 17)}
	st.State.Due, st.Since = encoding.TimeAt(k, 9), tb.t.runs().earliest(key.Dataset)
	return st
}

// lost finds a task whose own row is gone in the run's due index; nil if it is not there.
func (tb taskBucket) lost(run uint64, key TaskKey) *storedTask {
	var st *storedTask
	enc := string(taskKey(key))
	_ = tb.scan(numKey(pfxDue, run), nil, func(k, v []byte) (bool, error) {
		if string(v) == enc {
			st = tb.fromDueRow(k, key)
		}
		return st == nil, nil
	})
	return st
}

// A damageCheck looks for damage and returns what repairs it, nil if there is none.
type damageCheck func(*txn) (fix func(*txn) error, err error)

// repair runs the check in a read transaction, which may be long, and writes only if something is wrong. Nothing else
// writes meanwhile.
func (s *Spool) repair(check damageCheck) error {
	var fix func(*txn) error
	err := s.view("look for damage", func(t *txn) (err error) {
		fix, err = check(t)
		return err
	})
	if err != nil || fix == nil {
		return err
	}
	return s.update("repair", frees(), fix)
}

// dueDamage checks that the due index of a run agrees with its count and its tasks, and that those of its items hold
// last_run back that were parked once.
func dueDamage(run uint64) damageCheck {
	return func(t *txn) (func(*txn) error, error) {
		r, err := t.runs().byID(run)
		if err != nil {
			return nil, err
		}
		want, good := 0, 0
		for _, kinds := range r.Open {
			for _, n := range kinds {
				want += n
			}
		}
		var wrong [][]byte
		var missing []*storedTask
		tb := t.tasks()
		err = tb.scan(numKey(pfxDue, run), nil, func(k, v []byte) (bool, error) {
			if _, ok := cutTaskKey(v); !ok || len(k) != 25 {
				wrong = append(wrong, encoding.Clone(k))
			} else if st, err := tb.byKey(v); errors.Is(err, ErrNotFound) || err == nil && string(k) == string(dueKey(st.Run, st.State.Due, st.Seq)) {
				good++
				if err == nil && st.Behind && !tb.holdsBack(st) {
					missing = append(missing, st)
				}
			} else {
				wrong = append(wrong, encoding.Clone(k))
			}
			return true, nil
		})
		fits := len(wrong) == 0 && good == want
		if err != nil || fits && len(missing) == 0 {
			return nil, err
		}
		return func(t *txn) error {
			if err := t.tasks().holdAllBack(missing); err != nil || fits {
				return err
			}
			return t.tasks().repairDue(run, wrong)
		}, nil
	}
}

// repairDue rebuilds the due index of a run from its tasks, without the rows that are wrong.
func (tb taskBucket) repairDue(run uint64, wrong [][]byte) error {
	r, err := tb.t.runs().change(run)
	if err != nil {
		return err
	}
	if err := tb.delAll(wrong); err != nil {
		return err
	}
	for _, d := range Datasets() {
		all, err := tb.of(d, "")
		if err != nil {
			return err
		}
		for _, st := range all {
			if st.Run != run {
				continue
			}
			if err := tb.put(dueKey(run, st.State.Due, st.Seq), taskKey(st.key)); err != nil {
				return err
			}
		}
	}
	r.Open = nil
	return tb.scan(numKey(pfxDue, run), nil, func(_, v []byte) (bool, error) {
		if key, ok := cutTaskKey(v); ok {
			r.countOpen(key)
		}
		return true, nil
	})
}
