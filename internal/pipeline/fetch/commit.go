package fetch

import (
	"errors"
	"maps"
	"time"

	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// verdict is what to do with a task.
type verdict struct {
	spool.Outcome
	// end ends the task's dataset in the run, after the outcome is committed if the
	// outcome keeps the task; otherwise only its task and run are used.
	end *spool.DatasetRun
	// items are the entries of a list that have no task yet, step the entries of
	// the next step, and open the state of the list's own task until then.
	items *threatmatch.Names
	step  []string
	open  spool.TaskState
	// pieces are the parts of the response that are still to become records. The
	// task stays open until the last one.
	pieces *threatmatch.Pieces
	record spool.NewRecord
	// release frees the response once nothing reads from it any more.
	release func()
}

// drop releases verdicts that are committed, or will not be.
func drop(all []verdict) {
	for _, v := range all {
		if v.release != nil {
			v.release()
		}
	}
}

// commit stores all verdicts in one transaction and frees the slots of their
// requests. If there is no room, it leaves everything as it is.
func (f *Stage) commit() error {
	if len(f.ready) == 0 {
		return nil
	}
	var outcomes []spool.Outcome
	for i := range f.ready {
		for _, step := range []func(*verdict) error{f.addItems, f.addPieces, f.enqueue} {
			if err := step(&f.ready[i]); err != nil {
				return f.uncommitted(err)
			}
		}
	}
	for _, v := range f.ready {
		if v.end == nil || v.Keep != nil {
			outcomes = append(outcomes, byDataset(v.Outcome))
		}
	}
	if len(outcomes) > 0 {
		if err := f.Spool.SettleTasks(f.epoch, f.Now(), outcomes); err != nil {
			return f.uncommitted(err)
		}
	}
	f.committed(outcomes)
	drop(f.ready)
	var ends []verdict
	for _, v := range f.ready {
		if v.end != nil { // its outcome is committed
			ends = append(ends, verdict{Outcome: spool.Outcome{Task: v.Task, Run: v.Run}, end: v.end})
		}
	}
	for f.ready = ends; len(f.ready) > 0; f.ready = f.ready[1:] {
		if err := f.commitEnd(f.ready[0]); err != nil {
			return f.uncommitted(err)
		}
	}
	f.ready = nil
	return nil
}

// byDataset also counts the progress counters under the dataset's name.
func byDataset(o spool.Outcome) spool.Outcome {
	o.Count = maps.Clone(o.Count)
	for _, name := range []string{"fetch.listed", "fetch.items", "fetch.objects", "fetch.parked", "fetch.dead"} {
		if n := o.Count[name]; n != 0 {
			o.Count[name+"_"+string(o.Task.Dataset)] = n
		}
	}
	return o
}

// uncommitted handles the error of a failed commit.
func (f *Stage) uncommitted(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, spool.ErrFull):
		f.Status.Error(stageName, err)
		return nil // the responses stay, and are committed when there is room
	case errors.Is(err, spool.ErrEpoch):
		return nil // follow drops them
	}
	return err
}

func (f *Stage) committed(outcomes []spool.Outcome) {
	for _, o := range outcomes {
		delete(f.flying, o.Task)
		if o.Task.Kind != spool.TaskItem {
			if delete(f.run.front, o.Task); o.Keep != nil {
				f.run.front[o.Task] = o.Keep.Due
			}
		}
		for _, n := range o.Add {
			if n.Kind != spool.TaskItem {
				f.run.front[n.TaskKey] = f.Now()
			}
		}
		if o.Record != nil {
			f.recorded(o.Record)
			f.Metrics.objects.Add(float64(o.Count["fetch.objects"]))
		}
	}
	if len(outcomes) > 0 {
		f.Metrics.commits.Inc()
	}
}

// recorded counts a spooled record and wakes map.
func (f *Stage) recorded(r *spool.NewRecord) {
	f.Metrics.bytes.Add(float64(len(r.Body)))
	f.Wakes.Map.Signal()
}

// commitEnd ends a dataset in the run.
func (f *Stage) commitEnd(v verdict) error {
	d := v.Task.Dataset
	if err := f.Spool.FailDataset(f.epoch, f.run.ID, d, v.end.Status, v.end.Detail); err != nil {
		return err
	}
	delete(f.flying, v.Task)
	f.run.list(d).failed = true
	if v.end.Status == spool.DatasetSkipped {
		f.Log.Warn("dataset is skipped", "stage", stageName, "run", f.run.ID, "dataset", d, "reason", v.end.Detail)
	} else {
		f.Log.Error("dataset failed for this run; the next one goes on from here", "stage", stageName, "run", f.run.ID, "dataset", d, "error", v.end.Detail)
	}
	maps.DeleteFunc(f.run.front, func(k spool.TaskKey, _ time.Time) bool { return k.Dataset == d })
	return nil
}
