package fetch

import (
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// isDetails reports whether a task requests what the portal shows of an item.
func isDetails(k spool.TaskKey) bool {
	_, details := spool.CutDetails(k.Source)
	return details && k.Kind == spool.TaskItem
}

// detailsTask returns the task for the details of an item that has arrived. It is a
// separate task: whatever happens to it, the item is spooled.
func (f *Stage) detailsTask(t spool.Task) []spool.NewTask {
	if !f.opt.Details || !threatmatch.HasDetails(string(t.Dataset)) {
		return nil
	}
	return []spool.NewTask{{
		TaskKey: spool.TaskKey{Dataset: t.Dataset, Kind: spool.TaskItem, Source: spool.DetailsOf(t.Source)},
		Since:   t.Since, Anew: t.Anew,
	}}
}

// dropDetails gives up on the details in this run. They are never parked and never
// become a dead letter: last_run would wait for them, and an account that may not
// read the portal would fill the dead letters. They are requested again when the
// item changes.
func (f *Stage) dropDetails(r result, st spool.TaskState) verdict {
	f.Log.Warn("details of an item could not be fetched; the item is imported without them", "stage", stageName, "run", r.run.ID,
		"dataset", r.task.Dataset, "item", r.task.Source, "error", st.LastError)
	return verdict{Outcome: spool.Outcome{Task: r.task.TaskKey, Run: r.run.ID, Count: map[string]int64{"fetch.details_failed": 1}}}
}
