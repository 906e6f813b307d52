package fetch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/spool"
)

// openRun is the run being fetched.
type openRun struct {
	spool.Run
	missed []string // the first few items that were parked or given up in this process
	// front are the list and page tasks with their due times. They alternate with
	// items, of which there may be very many.
	front map[spool.TaskKey]time.Time
	lists map[spool.Dataset]*listFate
	pages int  // pages answered, in a slice of a repull
	busy  bool // it could not end, although nothing was left to request
}

// listFate is the fate of a dataset's list in this run.
type listFate struct {
	ok, refused, failed bool
	partly              bool // a crash interrupted the creation of its tasks
}

// items reports whether the dataset's items can be requested. After such a crash
// they wait until the list is requested again: an item that arrived before would
// get a second task.
func (l *listFate) items() bool { return l == nil || !l.partly || l.ok || l.failed }

// list returns the fate of the dataset's list.
func (r *openRun) list(d spool.Dataset) *listFate {
	if r.lists[d] == nil {
		r.lists[d] = &listFate{}
	}
	return r.lists[d]
}

// nextRun picks up the oldest run that is not fetched yet, if there is one.
func (f *Stage) nextRun(now time.Time) error {
	runs, err := f.Spool.OpenRuns()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(runs, func(r spool.Run) bool { return r.FetchedAt.IsZero() && !r.Dropped })
	if i < 0 {
		return nil
	}
	run := &openRun{Run: runs[i], lists: map[spool.Dataset]*listFate{}}
	for d, dr := range run.Datasets {
		run.lists[d] = &listFate{
			ok:     dr.Status == spool.DatasetListed || dr.Status == spool.DatasetOK,
			failed: dr.Status == spool.DatasetFailed || dr.Status == spool.DatasetSkipped,
		}
	}
	if err := f.loadFront(run, now); err != nil {
		return err
	}
	f.run = run
	f.Log.Info("fetch begins", "stage", stageName, "run", run.ID, "reason", run.Reason, "resumed", run.Resumed)
	return nil
}

// loadFront reads the run's list and page tasks.
func (f *Stage) loadFront(run *openRun, now time.Time) error {
	const all, ever = 1 << 20, 100 * 365 * 24 * time.Hour
	tasks, _, err := f.Spool.ReadyTasks(run.ID, now.Add(ever), all, func(k spool.TaskKey) bool {
		return k.Kind == spool.TaskItem
	})
	if err != nil {
		return err
	}
	run.front = map[spool.TaskKey]time.Time{}
	for _, t := range tasks {
		run.front[t.TaskKey] = t.Due
		if t.Kind == spool.TaskList {
			run.list(t.Dataset).refused, run.list(t.Dataset).partly = t.Refused > 0, t.Cursor != nil
		}
	}
	return nil
}

// dispatch starts as many requests as there is room for, and ends the run's fetch
// when nothing is left. It returns how long to wait before the next look.
func (f *Stage) dispatch() (time.Duration, error) {
	now := f.Now()
	if f.run == nil {
		if err := f.nextRun(now); err != nil {
			return 0, err
		}
	}
	if f.run == nil {
		f.squeezed = false
		f.Status.Set(stageName, "idle", "", f.notReady())
		return time.Minute, nil
	}
	if len(f.ready) > 0 { // a commit found no room
		return f.pause("no room in the spool for what is fetched"), nil
	}
	limit := f.opt.MaxConcurrency - len(f.flying)
	tasks, next, err := f.due(now, limit)
	if err != nil {
		return 0, err
	}
	if len(tasks)+len(f.flying) == 0 && next.IsZero() { // the run may have had no request to make
		return f.endRun(now)
	}
	if f.health.state != serverUp {
		return f.waitForServer(now)
	}
	if len(tasks) == 0 {
		f.Status.Set(stageName, f.failing.working(), f.detail(), f.notReady())
		if next.IsZero() {
			return time.Minute, nil
		}
		return max(next.Sub(now), time.Millisecond), nil // a response ends it early
	}
	tasks, wait, err := f.withinRoom(tasks)
	if err != nil {
		return 0, err
	}
	for _, t := range tasks {
		f.start(f.run, t)
	}
	return wait, nil
}

// longestWait is longer than any task ever has to wait. A task that seems to wait
// longer is due: the clock was set back.
const longestWait = 20 * time.Minute

// due returns up to limit tasks that can be requested now, and when the next other
// one is due. Lists and pages alternate with items.
func (f *Stage) due(now time.Time, limit int) ([]spool.Task, time.Time, error) {
	front, next, err := f.dueFront(now, limit, nil)
	if err != nil {
		return nil, next, err
	}
	items, nextItem, err := f.Spool.ReadyTasks(f.run.ID, now, limit, func(k spool.TaskKey) bool {
		return k.Kind != spool.TaskItem || f.flying[k] || !f.run.lists[k.Dataset].items()
	})
	if err == nil && len(items) == 0 && nextItem.Sub(now) > longestWait {
		return f.due(nextItem, limit) // the clock was set back
	}
	if next.IsZero() || !nextItem.IsZero() && nextItem.Before(next) {
		next = nextItem
	}
	return f.inTurn(front, items, limit), next, err
}

// inTurn takes from both lists alternately, starting where the last round stopped.
func (f *Stage) inTurn(front, items []spool.Task, limit int) []spool.Task {
	var tasks []spool.Task
	for len(tasks) < limit && len(front)+len(items) > 0 {
		from := &front
		if f.itemsDue && len(items) > 0 || len(front) == 0 {
			from = &items
		}
		tasks, *from = append(tasks, (*from)[0]), (*from)[1:]
		f.itemsDue = from == &front
	}
	return tasks
}

// dueFront is due for lists and pages; only narrows it.
func (f *Stage) dueFront(now time.Time, limit int, only func(spool.TaskKey) bool) ([]spool.Task, time.Time, error) {
	var keys []spool.TaskKey
	var next time.Time
	for key, at := range f.run.front {
		switch {
		case f.flying[key] || only != nil && !only(key):
		case at.After(now) && at.Sub(now) <= longestWait:
			if next.IsZero() || at.Before(next) {
				next = at
			}
		default:
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b spool.TaskKey) int {
		return cmp.Or(f.run.front[a].Compare(f.run.front[b]), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Source, b.Source))
	})
	var tasks []spool.Task
	for _, key := range keys[:min(len(keys), limit)] {
		task, err := f.Spool.Task(key)
		if errors.Is(err, spool.ErrNotFound) || err == nil && task.Run != f.run.ID {
			delete(f.run.front, key)
			continue
		}
		if err != nil {
			return nil, next, err
		}
		tasks = append(tasks, task)
	}
	return tasks, next, nil
}

// waitForServer makes no requests while the server is down or refuses us, except
// for a list if every list was refused.
func (f *Stage) waitForServer(now time.Time) (time.Duration, error) {
	h := &f.health
	f.Status.Set(stageName, "paused", f.detail(), h.notReady())
	if !h.byLists || len(f.flying) > 0 {
		return time.Minute, nil
	}
	if wait := h.probeAt.Sub(now); wait > 0 && wait <= longestWait {
		return wait, nil
	}
	far := now.Add(time.Hour)
	tasks, _, err := f.dueFront(far, 1, func(k spool.TaskKey) bool { return k.Kind == spool.TaskList })
	if err != nil {
		return 0, err
	}
	if len(tasks) == 0 {
		f.succeeded() // no list is left that could be refused
		return 0, nil
	}
	f.start(f.run, tasks[0])
	f.run.front[tasks[0].TaskKey] = now // so that another list is next
	return time.Minute, nil
}

// endRun ends the run's fetch.
func (f *Stage) endRun(now time.Time) (time.Duration, error) {
	id := f.run.ID
	if err := f.Spool.FinishFetch(f.epoch, id, now); err != nil {
		if errors.Is(err, spool.ErrFull) {
			return f.pause("no room in the spool to end the run's fetch"), nil
		}
		if errors.Is(err, spool.ErrBusy) && !f.run.busy { // it took in parked items that the start of the run had left
			f.run.busy = true
			return 0, nil
		}
		if errors.Is(err, spool.ErrBusy) {
			const why = "the spool's queue of requests is damaged, so that the run cannot end: restart the connector, which repairs it"
			f.Status.Set(stageName, "waiting", f.detail(), why)
			return time.Minute, nil
		}
		return 0, err
	}
	run, err := f.Spool.Run(id)
	if err != nil {
		return 0, err
	}
	missed := f.run.missed
	f.run = nil
	f.squeezed = false
	f.summary(run, missed)
	if err := f.lookForStuck(); err != nil {
		return 0, err
	}
	f.Wakes.Schedule.Signal()
	f.Wakes.Map.Signal()
	f.Wakes.Deliver.Signal()
	f.Wakes.Platform.Signal()
	return 0, nil // another run may be waiting
}

// summary logs how the run's fetch went. What was parked or given up is an error,
// in one line that names the first few.
func (f *Stage) summary(run spool.Run, missed []string) {
	count := func(kind string) int64 { return run.Counters["fetch."+kind] }
	f.Log.Info("fetch ended", "stage", stageName, "run", run.ID,
		"lists", count("lists"), "listed", count("listed"), "items", count("items"),
		"pages", count("pages"), "objects", count("objects"), "retries", count("retries"))
	if parked, dead := count("parked"), count("dead"); parked+dead > 0 {
		f.Log.Error("items could not be fetched", "stage", stageName, "run", run.ID,
			"parked", parked, "dead", dead, "items", strings.Join(missed, ", "), "hint", "parked ones are tried again in later runs; see spool dead")
	}
}

func (f *Stage) detail() string {
	if f.run == nil {
		return ""
	}
	return fmt.Sprintf("run %d", f.run.ID)
}
