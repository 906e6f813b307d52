package fetch

import (
	"slices"

	"threatmatch-connector/spool"
)

// tasksStep bounds a transaction, whatever a list names.
const tasksStep = 1000

// slicePages is how many pages a slice of a repull asks for before the rest of
// its group and type goes back into the queue.
const slicePages = 20

// addItems makes tasks of what a list named, step by step while the list's own
// task stays open; the last step goes with it. A crash between, and the list is
// asked again, before any of its items: what has a task joins it.
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

// addPieces makes records of an answer, one a commit, while its task stays open;
// the last goes with it. A crash between, and the answer is asked for again: what
// comes twice is merged.
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

// enqueue puts what the lists of a repull name into the queue, which comes in
// slices, each a run of its own: so what is new never waits for all of it. A
// crash before the list's own task goes only names the same once more.
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
