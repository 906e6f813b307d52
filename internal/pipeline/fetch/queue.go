package fetch

import (
	"slices"

	"threatmatch-connector/spool"
)

// tasksStep bounds the tasks in one transaction, however long a list is.
const tasksStep = 1000

// slicePages is how many pages a slice of a repull requests before the rest of its
// group and type goes back into the queue.
const slicePages = 20

// addItems makes tasks of a list's entries, step by step, while the list's own task
// stays open; the last step removes it. After a crash in between, the list is
// requested again before any of its items; entries that have a task already are
// merged with it.
func (f *Stage) addItems(v *verdict) error {
	for v.items != nil {
		if v.step == nil {
			v.step = v.items.Next(f.stepTasks)
		}
		tasks := make([]spool.NewTask, len(v.step))
		for i, id := range v.step {
			tasks[i].TaskKey = spool.TaskKey{Dataset: v.Task.Dataset, Kind: spool.TaskItem, Source: id}
			tasks[i].Since = f.run.Datasets[v.Task.Dataset].From
		}
		if !v.items.More() {
			v.Add, v.items = tasks, nil
			break
		}
		var err error
		if f.run.Reason == spool.ReasonRepull {
			err = f.Spool.Enqueue(f.epoch, spool.ReasonRepull, nil, tasks)
		} else {
			err = f.Spool.SettleTasks(f.epoch, f.Now(), []spool.Outcome{{Task: v.Task, Run: v.Run, Add: tasks, Keep: &v.open}})
		}
		if err != nil {
			return err
		}
		v.step = nil
	}
	return nil
}

// addPieces makes records of a response, one per commit, while its task stays open;
// the last one removes it. After a crash in between, the response is requested
// again; what arrives twice is merged.
func (f *Stage) addPieces(v *verdict) error {
	for v.pieces != nil {
		if v.Record == nil {
			body, last := v.pieces.Next()
			record := v.record
			record.Body = body
			v.Record = &record
			if last {
				v.pieces = nil
				break
			}
		}
		if err := f.Spool.SettleTasks(f.epoch, f.Now(), []spool.Outcome{{Task: v.Task, Run: v.Run, Record: v.Record, Keep: &v.open}}); err != nil {
			return err
		}
		f.recorded(v.Record)
		v.Record = nil
	}
	return nil
}

// enqueue puts what the lists of a repull name into the queue. The queue is worked
// off in slices, each its own run, so that new data never waits for all of it. A
// crash before the list's own task is removed only queues the same entries again.
func (f *Stage) enqueue(v *verdict) error {
	if f.run == nil || f.run.Reason != spool.ReasonRepull {
		return nil
	}
	tasks := v.Add
	if v.Keep != nil && v.end == nil && v.Task.Kind == spool.TaskPage && v.Count["fetch.pages"] > 0 {
		late := f.opt.MaxWait > 0 && f.Now().Sub(f.run.Created) > f.opt.MaxWait/4 // MaxWait is the period
		if f.run.pages++; f.run.pages >= slicePages || late {
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
