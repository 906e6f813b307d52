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
// one that another run works on stays there, and holds the dataset back, since this run ends without it. Each of them
// is anew if the new one is. A left-behind page whose window began later than the new one's starts over, since its
// cursor does not cover what lies before; so does one that a repull asks for, which wants its whole window again.
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
			wanted := tb.dequeue(queuedTask(n.TaskKey))
			n.Anew = n.Anew || wanted
		}
		n.Since = cmp.Or(n.Since, r.Datasets[n.Dataset].From, r.Start).UTC()
		st, err := tb.byKey(taskKey(n.TaskKey))
		switch {
		case errors.Is(err, ErrNotFound):
			fresh = append(fresh, &storedTask{Task: Task{
				TaskKey: n.TaskKey, Run: r.ID, Seq: tb.next(), Since: n.Since, Anew: n.Anew, TaskState: TaskState{Cursor: n.Cursor},
			}})
		case err != nil:
			return err
		default:
			tb.join(r, st, n)
		}
	}
	tb.addFresh(r, fresh)
	return nil
}

// join joins a new task to the existing one of its key.
func (tb taskBucket) join(r *storedRun, st *storedTask, n NewTask) {
	if n.Anew && !st.Anew {
		st.Anew = true
		tb.save(st)
	}
	if st.Run != 0 {
		if st.Run != r.ID && n.Kind == TaskItem && r.Reason.MovesWatermarks() {
			tb.leaveBehind(st, n.Since)
		}
		return
	}
	if n.Kind == TaskPage && (n.Since.Before(st.Since) || !r.Reason.MovesWatermarks()) {
		st.Since, st.Cursor = n.Since, n.Cursor
	}
	tb.takeIn(r, st)
}

// addFresh writes new tasks: first the due index of the run, in order of arrival, then the tasks, in order of their
// keys.
func (tb taskBucket) addFresh(r *storedRun, fresh []*storedTask) {
	for _, st := range fresh {
		tb.addDue(r, st)
	}
	slices.SortFunc(fresh, func(a, b *storedTask) int { return bytes.Compare(taskKey(a.TaskKey), taskKey(b.TaskKey)) })
	for _, st := range fresh {
		tb.save(st)
	}
	tb.t.counters().Tasks += int64(len(fresh))
}

// takeIn moves a task that is in no run into the run and resets its tries.
func (tb taskBucket) takeIn(r *storedRun, st *storedTask) {
	if !st.Parked.IsZero() {
		tb.unpark(st)
	}
	st.Run, st.Tries, st.Refused, st.Waived = r.ID, 0, 0, 0
	st.Due, st.FirstTry = time.Time{}, time.Time{}
	tb.enter(r, st)
}

// leaveBehind makes an open item hold its dataset's last_run back to since, as if a run that began there had parked
// it.
func (tb taskBucket) leaveBehind(st *storedTask, since time.Time) {
	if st.Behind && !since.Before(st.Since) {
		return
	}
	if st.Behind {
		tb.del(st.behind())
	}
	if since.Before(st.Since) {
		st.Since = since
	}
	st.Behind = true
	tb.holdBack(st)
	tb.save(st)
}

// taskStep is how many tasks one step of a long operation works on.
const taskStep = 500

// takeParked moves a step of the parked items that belong to the run into it, in order of arrival, and reports
// whether there may be more.
func (tb taskBucket) takeParked(r *storedRun) (more bool) {
	for _, d := range slices.Sorted(maps.Keys(r.TakeIn)) {
		todo, last := tb.parkedIn(d, r.TakeIn[d])
		for _, st := range todo {
			tb.takeIn(r, st)
		}
		if r.dirty = true; last > 0 {
			r.TakeIn[d] = seqs{last, r.TakeIn[d].Through}
			return true
		}
		delete(r.TakeIn, d)
	}
	return false
}

// parkedIn returns the next parked items of a dataset, and the last seq that it looked at, 0 at the end.
func (tb taskBucket) parkedIn(d Dataset, in seqs) (todo []*storedTask, last uint64) {
	prefix := parkedPrefix(d)
	looked := 0
	for k, v := range tb.rowsFrom(prefix, parkedKey(d, in.After+1)) {
		seq := encoding.U64(k, len(prefix))
		if seq > in.Through {
			break
		}
		if looked++; looked > taskStep {
			return todo, last
		}
		last = seq
		st, err := tb.byKey(v)
		if err != nil {
			st = tb.ofRow(k, v)
		}
		if st != nil && !st.Parked.IsZero() { // else a damaged row of the index; Verify reports it
			todo = append(todo, st)
		}
	}
	return todo, 0
}
