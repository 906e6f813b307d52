package spool

import (
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// storedTask is a task with what only the spool needs of it.
type storedTask struct {
	Task
	// Behind: the item was parked once, so its window start holds last_run back.
	Behind bool `json:"behind,omitempty"`

	rebuilt bool // it could not be read, and was rebuilt from the indices
}

// The keys of its rows in the indices.

func (st *storedTask) due() []byte    { return dueKey(st.Run, st.Due, st.Seq) }
func (st *storedTask) parked() []byte { return parkedKey(st.Dataset, st.Seq) }
func (st *storedTask) behind() []byte { return behindKey(st.Dataset, st.Since, st.Seq) }

// ReadyTasks returns up to limit tasks of the run that are due at now and not in skip, in order of due time and
// arrival, and when the next other one falls due (zero if none is backing off). skip may be nil.
func (s *Spool) ReadyTasks(run uint64, now time.Time, limit int, skip func(TaskKey) bool) (out []Task, next time.Time, err error) {
	err = s.view("read ready tasks", func(t *txn) error {
		tb := t.tasks()
		prefix := numKey(pfxDue, run)
		later := dueKey(run, now, ^uint64(0))
		for k, v := range tb.rows(prefix) {
			if len(out) >= limit || string(k) > string(later) {
				break
			}
			key, ok := cutTaskKey(v)
			if !ok || skip != nil && skip(key) {
				continue
			}
			st, err := tb.byKey(v)
			if err != nil { // it is not there
				if st = tb.ofRow(k, v); skip != nil && skip(st.TaskKey) {
					continue
				}
			}
			if string(k) == string(st.due()) && st.Run == run { // else a damaged row
				out = append(out, st.Task)
			}
		}
		if k, _ := tb.first(prefix, past(later)); k != nil {
			next = encoding.TimeAt(k, 9)
		}
		return nil
	})
	return out, next, err
}

// FailingTasks returns up to limit tasks of the run whose last try failed and that will be tried again in it, in
// order of the next try.
func (s *Spool) FailingTasks(run uint64, limit int) (out []Task, err error) {
	err = s.view("read failing tasks", func(t *txn) error {
		untried := dueKey(run, time.Time{}, ^uint64(0)) // what has no due time has not failed
		for _, v := range t.tasks().rowsFrom(numKey(pfxDue, run), past(untried)) {
			if len(out) >= limit {
				break
			}
			if st, err := t.tasks().byKey(v); err == nil && st.Tries+st.Waived > 0 { // ReadyTasks gets past the others
				out = append(out, st.Task)
			}
		}
		return nil
	})
	return out, err
}

// ParkedTasks returns up to limit parked items, by dataset and in order of arrival.
func (s *Spool) ParkedTasks(limit int) (out []Task, err error) {
	err = s.view("read parked items", func(t *txn) error {
		for _, v := range t.tasks().rows([]byte{pfxParked}) {
			if len(out) >= limit {
				break
			}
			if st, err := t.tasks().byKey(v); err == nil { // Verify reports the others
				out = append(out, st.Task)
			}
		}
		return nil
	})
	return out, err
}

// OpenTasks counts the run's tasks that are neither done nor parked, by dataset and kind.
func (s *Spool) OpenTasks(run uint64) (out map[Dataset]map[TaskKind]int, err error) {
	err = s.view("count tasks", func(t *txn) error {
		r, err := t.runs().byID(run)
		if err != nil {
			return err
		}
		if out = r.Open; out == nil {
			out = map[Dataset]map[TaskKind]int{}
		}
		return nil
	})
	return out, err
}

// Task returns one task, open or parked, or ErrNotFound.
func (s *Spool) Task(key TaskKey) (out Task, err error) {
	err = s.view("read task", func(t *txn) error {
		st, err := t.tasks().find([]byte{pfxDue}, key)
		if err == nil {
			out = st.Task
		}
		return err
	})
	return out, err
}

// byKey reads a task by its encoded key, or ErrNotFound.
func (tb taskBucket) byKey(enc []byte) (*storedTask, error) {
	key, ok := cutTaskKey(enc)
	if !ok {
		return nil, fmt.Errorf("task key %x: %w", enc, ErrCorrupt)
	}
	k := prefixed(pfxTask, enc)
	v := tb.get(k)
	if v == nil {
		return nil, fmt.Errorf("task %s: %w", key, ErrNotFound)
	}
	st := &storedTask{Task: Task{TaskKey: key}}
	if _, err := encoding.Open(k, tb.blob(k, v), st); err != nil {
		return tb.rebuild(key, enc, err), nil
	}
	return st, nil
}

// rebuild rebuilds a task that cannot be read from the indices that name it. Its tries are forgotten: asking again
// repairs it.
func (tb taskBucket) rebuild(key TaskKey, enc []byte, cause error) *storedTask {
	st := &storedTask{Task: Task{TaskKey: key, TaskState: TaskState{LastError: cause.Error()}}, rebuilt: true}
	for k, v := range tb.rows([]byte{pfxDue}) {
		if string(v) == string(enc) {
			st.Run, st.Due, st.Seq = encoding.U64(k, 1), encoding.TimeAt(k, 9), encoding.U64(k, 17)
			break
		}
	}
	prefix := parkedPrefix(key.Dataset)
	for k, v := range tb.rows(prefix) {
		if string(v) == string(enc) {
			st.Seq = encoding.U64(k, len(prefix))
			st.Parked = time.UnixMilli(0).UTC() // when is lost; that it is parked is not
		}
	}
	prefix = behindPrefix(key.Dataset)
	for k := range tb.rows(prefix) {
		if encoding.U64(k, len(prefix)+8) == st.Seq {
			st.Behind, st.Since = true, encoding.TimeAt(k, len(prefix))
		}
	}
	if st.Since.IsZero() {
		st.Since = tb.t.runs().earliest(key.Dataset)
	}
	return st
}

// String returns the key as listings show it: dataset/kind/source.
func (k TaskKey) String() string { return string(k.Dataset) + "/" + string(k.Kind) + "/" + k.Source }

// Title says for people what the request asks for: "profiles/7", "list of profiles".
func (k TaskKey) Title() string {
	switch {
	case k.Kind == TaskItem:
		return string(k.Dataset) + "/" + k.Source
	case k.Kind == TaskPage:
		return "page of " + string(k.Dataset) + " " + k.Source
	case k.Dataset == IOCs:
		return "list of IOC groups"
	}
	return "list of " + string(k.Dataset)
}

// enter stores a task that now belongs to the run.
func (tb taskBucket) enter(r *storedRun, st *storedTask) {
	tb.addDue(r, st)
	tb.save(st)
}

// addDue counts a task in its run and adds it to the run's due index.
func (tb taskBucket) addDue(r *storedRun, st *storedTask) {
	r.countOpen(st.TaskKey)
	r.dirty = true
	tb.put(st.due(), taskKey(st.TaskKey))
}

// leave removes an open task from its run's due index and count.
func (tb taskBucket) leave(r *storedRun, st *storedTask) {
	tb.del(st.due())
	kinds := r.Open[st.Dataset]
	if kinds[st.Kind]--; kinds[st.Kind] <= 0 {
		delete(kinds, st.Kind)
	}
	if len(kinds) == 0 {
		delete(r.Open, st.Dataset)
	}
	r.dirty = true
}

func (tb taskBucket) save(st *storedTask) {
	tb.sealBlob(prefixed(pfxTask, taskKey(st.TaskKey)), st, encoding.Packed{})
}

// park puts a task that left its run aside for a later one.
func (tb taskBucket) park(st *storedTask, now time.Time) {
	st.Run, st.Parked = 0, now.UTC()
	tb.put(st.parked(), taskKey(st.TaskKey))
	if !st.Behind {
		st.Behind = true
		tb.holdBack(st)
	}
	c := tb.t.counters()
	c.Tasks--
	c.Parked++
	tb.save(st)
}

func (tb taskBucket) unpark(st *storedTask) {
	tb.del(st.parked())
	st.Parked = time.Time{}
	c := tb.t.counters()
	c.Tasks++
	c.Parked--
}

// remove removes a task that is in no run's due index any more.
func (tb taskBucket) remove(st *storedTask) {
	if !st.Parked.IsZero() {
		tb.unpark(st)
	}
	if st.Behind {
		tb.del(st.behind())
	}
	tb.delBlob(prefixed(pfxTask, taskKey(st.TaskKey)))
	tb.t.counters().Tasks--
}

func checkTaskKey(k TaskKey) error {
	if k.Dataset == "" || k.Kind == "" {
		return fmt.Errorf("task %s: %w: no dataset or kind", k, ErrInvalid)
	}
	return checkLen("task", string(k.Dataset), string(k.Kind), k.Source)
}
