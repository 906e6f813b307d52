package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

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
	for k, v := range tb.t.runs().rows([]byte{pfxRun}) {
		var r storedRun
		if _, err := encoding.Open(k, v, &r); err == nil {
			st.Epoch = max(st.Epoch, r.Epoch+1)
			if st.Created.IsZero() || r.Created.Before(st.Created) {
				st.Created = r.Created
			}
		}
	}
	m := marks{}
	st.StateKnown = tb.read(keyWatermarks, &m) == nil && len(m) > 0
	return st, nil
}

// recount counts all rows, to replace the row of counters.
func (t *txn) recount() *counters {
	v := &verifier{ctx: context.Background(), t: newTxn(t.tx, t.keep)}
	v.contents()
	return &v.n
}

// repairMeta repairs, at open, the rows of meta and runs that everything else needs.
func (t *txn) repairMeta() error {
	if err := t.repairState(); err != nil {
		return err
	}
	for _, key := range []string{keyPlatform, keyCrash, keyPaused, keyLimit} {
		if t.meta().read(key, nil) != nil {
			t.meta().unset(key)
		}
	}
	t.counters() // flush writes them
	t.repairRuns()
	return nil
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
		t.meta().unset(keyWatermarks)
	}
	if !lost {
		t.meta().save(keyConnector, connectorRow{st.ConnectorID})
		return nil
	}
	for _, r := range t.runs().open() {
		r.Epoch, r.dirty = st.Epoch, true
	}
	return nil
}

// repairRuns rewrites runs whose rows cannot be read, and marks runs as open that are not done.
func (t *txn) repairRuns() {
	tb := t.runs()
	var ids []uint64
	for _, pfx := range []byte{pfxOpen, pfxRun} {
		for k := range tb.rows([]byte{pfx}) {
			ids = append(ids, encoding.U64(k, 1))
		}
	}
	for _, id := range ids {
		var stored storedRun
		key := numKey(pfxRun, id)
		if _, err := encoding.Open(key, tb.get(key), &stored); err != nil {
			_, _ = tb.change(id)
		} else if stored.DoneAt.IsZero() {
			tb.put(numKey(pfxOpen, id), []byte{})
		}
	}
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
	m := tb.t.meta().marks()
	for _, d := range Datasets() {
		r.Datasets[d] = DatasetRun{From: m.of(d).Confirmed, Status: DatasetFailed, Detail: "the run's row could not be read"}
	}
	if tb.get(numKey(pfxOpen, id)) == nil {
		r.FetchedAt, r.MappedAt, r.DoneAt = r.Created, r.Created, r.Created
		return r
	}
	tb.t.tasks().countDue(r)
	return r
}

// countDue counts the rows of the run's due index.
func (tb taskBucket) countDue(r *storedRun) {
	r.Open = nil
	for _, v := range tb.rows(numKey(pfxDue, r.ID)) {
		if key, ok := cutTaskKey(v); ok {
			r.countOpen(key)
		}
	}
}

// countOpen counts an open task.
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
	for d := range r.Datasets {
		if r.Unread[d] || r.Lost {
			r.setStatus(d, DatasetFailed, "a task or the run itself could not be read")
		}
	}
}

// ofRow returns the task of a row of the due index or that of parked items which names none: the one that belongs
// there, if the row is damaged, or else one of which only its rows in the indices are left; nil if the row does not say
// which.
func (tb taskBucket) ofRow(k, enc []byte) *storedTask {
	for st := range tb.tasksFrom([]byte{pfxTask}, []byte{pfxTask}) {
		if bytes.Equal(k, st.due()) || bytes.Equal(k, st.parked()) && !st.Parked.IsZero() {
			return st
		}
	}
	if key, ok := cutTaskKey(enc); ok {
		return tb.rebuild(key, enc, ErrNotFound)
	}
	return nil
}

// find reads a task, or ErrNotFound. If its own row is gone, that in the due index is left, which has the prefix.
func (tb taskBucket) find(prefix []byte, key TaskKey) (*storedTask, error) {
	enc := taskKey(key)
	st, err := tb.byKey(enc)
	if !errors.Is(err, ErrNotFound) {
		return st, err
	}
	for k, v := range tb.rows(prefix) {
		if bytes.Equal(v, enc) {
			if lost := tb.ofRow(k, v); lost.TaskKey == key {
				return lost, nil
			}
		}
	}
	return nil, err
}

// A damageCheck looks for damage and returns what repairs it, nil if there is none.
type (
	damageCheck func(*txn) repairing
	repairing   func(*txn) error
)

// repair runs the check in a read transaction, which may be long, and writes only if something is wrong. Nothing else
// writes meanwhile.
func (s *Spool) repair(check damageCheck) error {
	var fix repairing
	err := s.view("look for damage", func(t *txn) error { fix = check(t); return nil })
	if err != nil || fix == nil {
		return err
	}
	return s.update("repair", frees(), fix)
}

// dueDamage checks that the due index of a run agrees with its count and its tasks, that none of these is lost, and
// that those of its items hold last_run back that were parked once.
func dueDamage(run uint64) damageCheck {
	return func(t *txn) repairing {
		r, err := t.runs().byID(run)
		if err != nil {
			return nil
		}
		good := 0
		var wrong [][]byte
		var lost, missing []*storedTask
		tb := t.tasks()
		for k, v := range tb.rows(numKey(pfxDue, run)) {
			st, err := tb.byKey(v)
			if errors.Is(err, ErrNotFound) {
				if st = tb.ofRow(k, v); st.rebuilt {
					lost, err = append(lost, st), nil
				}
			}
			switch {
			case len(k) != 25 || err != nil || string(k) != string(st.due()):
				wrong = append(wrong, encoding.Clone(k))
			default:
				good++
				if st.Behind && !tb.holdsBack(st) {
					missing = append(missing, st)
				}
			}
		}
		fits := len(wrong) == 0 && good == r.openTasks()
		if fits && len(missing)+len(lost) == 0 {
			return nil
		}
		return func(t *txn) error {
			r, err := t.runs().change(run)
			if err != nil {
				return err
			}
			for _, st := range lost {
				t.tasks().save(st)
				r.unread(st.Dataset)
			}
			if t.tasks().holdAllBack(missing); !fits {
				t.tasks().repairDue(r, wrong)
			}
			return nil
		}
	}
}

// openTasks returns how many open tasks the run counts.
func (r *storedRun) openTasks() (n int) {
	for _, kinds := range r.Open {
		for _, one := range kinds {
			n += one
		}
	}
	return n
}

// repairDue rebuilds the due index of a run from its tasks, without the rows that are wrong.
func (tb taskBucket) repairDue(r *storedRun, wrong [][]byte) {
	tb.delAll(wrong)
	for _, d := range Datasets() {
		for _, st := range slices.Collect(tb.of(d, "")) {
			if st.Run == r.ID {
				tb.put(st.due(), taskKey(st.TaskKey))
			}
		}
	}
	tb.countDue(r)
}
