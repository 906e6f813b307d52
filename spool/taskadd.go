package spool

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// addAll adds tasks to the run, or joins them to the tasks of their keys. A parked or left-behind one is taken in;
// one that another run works on stays there, and holds the dataset back, since this run ends without it. A
// left-behind page whose window began later than the new one's starts over, since its cursor does not cover what lies
// before; so does one that a repull asks for, which wants its whole window again.
//
// Rows that go into one page of a transaction out of order cost time in the square of their number, so they are
// written in the order of their keys.
func (tb taskBucket) addAll(r *storedRun, list []NewTask) error {
	var fresh []*storedTask
	seen := make(map[TaskKey]bool, len(list))
	for _, n := range list {
		if err := checkTaskKey(n.TaskKey); err != nil {
			return err
		}
		if seen[n.TaskKey] {
			continue
		}
		seen[n.TaskKey] = true
		if n.Kind == TaskItem { // a queued page has a window of its own
			wanted, err := tb.dequeue(queuedTask(n.TaskKey))
			if err != nil {
				return err
			}
			n.Anew = n.Anew || wanted
		}
		n.Since = cmp.Or(n.Since, r.Datasets[n.Dataset].From, r.Start).UTC()
		st, err := tb.byKey(taskKey(n.TaskKey))
		switch {
		case errors.Is(err, ErrNotFound):
			seq, err := tb.next()
			if err != nil {
				return err
			}
			fresh = append(fresh, &storedTask{key: n.TaskKey, Run: r.ID, Seq: seq, Since: n.Since, Anew: n.Anew, State: TaskState{Cursor: n.Cursor}})
		case err != nil:
			return err
		default:
			if err := tb.join(r, st, n); err != nil {
				return err
			}
		}
	}
	return tb.addFresh(r, fresh)
}

// join joins a new task to the existing one of its key.
func (tb taskBucket) join(r *storedRun, st *storedTask, n NewTask) error {
	if st.Run != 0 {
		if st.Run != r.ID && n.Kind == TaskItem && r.Reason.MovesWatermarks() {
			return tb.leaveBehind(st, n.Since)
		}
		return nil
	}
	st.Anew = st.Anew || n.Anew
	if n.Kind == TaskPage && (n.Since.Before(st.Since) || !r.Reason.MovesWatermarks()) {
		st.Since, st.State.Cursor = n.Since, n.Cursor
	}
	return tb.takeIn(r, st)
}

// addFresh writes new tasks: first the due index of the run, in order of arrival, then the tasks, in order of their
// keys.
func (tb taskBucket) addFresh(r *storedRun, fresh []*storedTask) error {
	for _, st := range fresh {
		if err := tb.addDue(r, st); err != nil {
			return err
		}
	}
	slices.SortFunc(fresh, func(a, b *storedTask) int { return bytes.Compare(taskKey(a.key), taskKey(b.key)) })
	for _, st := range fresh {
		if err := tb.save(st); err != nil {
			return err
		}
	}
	return tb.t.meta().count(func(c *counters) { c.Tasks += int64(len(fresh)) })
}

// takeIn moves a task that is in no run into the run and resets its tries.
func (tb taskBucket) takeIn(r *storedRun, st *storedTask) error {
	if !st.Parked.IsZero() {
		if err := tb.unpark(st); err != nil {
			return err
		}
	}
	st.Run, st.State.Tries, st.State.Refused, st.State.Waived = r.ID, 0, 0, 0
	st.State.Due, st.State.FirstTry = time.Time{}, time.Time{}
	return tb.enter(r, st)
}

// leaveBehind makes an open item hold its dataset's last_run back to since, as if a run that began there had parked
// it.
func (tb taskBucket) leaveBehind(st *storedTask, since time.Time) error {
	if st.Behind && !since.Before(st.Since) {
		return nil
	}
	if st.Behind {
		if _, err := tb.del(behindKey(st.key.Dataset, st.Since, st.Seq)); err != nil {
			return err
		}
	}
	if since.Before(st.Since) {
		st.Since = since
	}
	st.Behind = true
	if err := tb.holdBack(st); err != nil {
		return err
	}
	return tb.save(st)
}

// taskStep is how many tasks one step of a long operation works on.
const taskStep = 500

// takeParked moves a step of the parked items that belong to the run into it, in order of arrival, and reports
// whether there may be more.
func (tb taskBucket) takeParked(r *storedRun) (more bool, err error) {
	for _, d := range slices.Sorted(maps.Keys(r.TakeIn)) {
		todo, last, err := tb.parkedIn(d, r.TakeIn[d])
		if err != nil {
			return false, err
		}
		for _, st := range todo {
			if err := tb.takeIn(r, st); err != nil {
				return false, err
			}
		}
		if tb.t.runDirty[r.ID] = true; last > 0 {
			r.TakeIn[d] = seqs{last, r.TakeIn[d].Through}
			return true, nil
		}
		delete(r.TakeIn, d)
	}
	return false, nil
}

// parkedIn returns the next parked items of a dataset, and the last seq that it looked at, 0 at the end.
func (tb taskBucket) parkedIn(d Dataset, in seqs) (todo []*storedTask, last uint64, err error) {
	prefix := encoding.PutString([]byte{pfxParked}, string(d))
	looked := 0
	err = tb.scan(prefix, encoding.PutU64(encoding.Clone(prefix), in.After+1), func(k, v []byte) (bool, error) {
		seq := encoding.U64(k, len(prefix))
		if seq > in.Through || looked == taskStep {
			return false, nil
		}
		looked, last = looked+1, seq
		st, err := tb.byKey(v)
		switch {
		case errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) || err == nil && st.Parked.IsZero():
			return true, nil // a damaged row of the index names nothing; Verify reports it
		case err != nil:
			return false, err
		}
		todo = append(todo, st)
		return true, nil
	})
	if looked < taskStep {
		last = 0
	}
	return todo, last, err
}
