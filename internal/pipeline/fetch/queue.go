package fetch

import (
	"slices"

	"threatmatch-connector/spool"
)

// tasksStep bounds a transaction, whatever a list names.
const tasksStep = 5000

// slicePages is how many pages a slice of a repull asks for before the rest of
// its group and type goes back into the queue.
const slicePages = 20

// addItems makes tasks of what a list named, step by step while the list's own
// task stays open; the last step goes with it. A crash between, and the list is
// asked again, before any of its items: what has a task joins it.
func (f *Stage) addItems(v *verdict) error {
	for len(v.items) > 0 {
		n := min(len(v.items), f.stepTasks)
		tasks := make([]spool.NewTask, n)
		for i, id := range v.items[:n] {
			tasks[i].TaskKey = spool.TaskKey{Dataset: v.Task.Dataset, Kind: spool.TaskItem, Source: id}
			tasks[i].Since = f.run.Datasets[v.Task.Dataset].From
		}
		var err error
		switch {
		case n == len(v.items):
			v.Add = tasks
		case f.run.Reason == spool.ReasonRepull:
			err = f.Spool.Enqueue(f.epoch, spool.ReasonRepull, nil, tasks)
		default:
			err = f.Spool.SettleTasks(f.epoch, f.Now(), []spool.Outcome{{Task: v.Task, Run: v.Run, Add: tasks, Keep: &v.open}})
		}
		if err != nil {
			return err
		}
		v.items = v.items[n:]
	}
	return nil
}

// enqueue puts what the lists of a repull name into the queue, which comes in
// slices, each a run of its own: so what is new never waits for all of it. A
// crash before the list's own task goes only names the same once more.
func (f *Stage) enqueue(v *verdict) error {
	if f.run == nil || f.run.Reason != spool.ReasonRepull {
		return nil
	}
	tasks := v.Add
	if v.Keep != nil && v.end == nil && v.Task.Kind == spool.TaskPage && v.Count["fetch.pages"] > 0 {
		if f.run.pages++; f.run.pages >= slicePages {
			tasks = append(tasks, spool.NewTask{TaskKey: v.Task, Since: f.run.Datasets[v.Task.Dataset].From, Cursor: v.Keep.Cursor})
		}
	}
	for step := range slices.Chunk(tasks, f.stepTasks) {
		if err := f.Spool.Enqueue(f.epoch, spool.ReasonRepull, nil, step); err != nil {
			return err
		}
	}
	v.Add = nil
	if len(tasks) > 0 && v.Task.Kind == spool.TaskPage {
		v.Keep = nil
	}
	return nil
}
