package fetch

import (
	"slices"

	"threatmatch-connector/spool"
)

// enqueueStep is how many tasks one transaction puts into the queue.
const enqueueStep = 5000

// slicePages is how many pages a slice of a repull asks for before the rest of
// its group and type goes back into the queue.
const slicePages = 20

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
	for step := range slices.Chunk(tasks, enqueueStep) {
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
