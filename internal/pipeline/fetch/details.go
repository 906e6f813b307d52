package fetch

import (
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// isDetails tells the task that asks for what the portal shows of an item.
func isDetails(k spool.TaskKey) bool {
	_, details := spool.CutDetails(k.Source)
	return details && k.Kind == spool.TaskItem
}

// detailsTask asks for the details of an item that has come. It is a task of
// its own: whatever becomes of it, the item is spooled.
func (f *Stage) detailsTask(t spool.Task) []spool.NewTask {
	if !f.opt.Details || !threatmatch.HasDetails(string(t.Dataset)) {
		return nil
	}
	return []spool.NewTask{{
		TaskKey: spool.TaskKey{Dataset: t.Dataset, Kind: spool.TaskItem, Source: spool.DetailsOf(t.Source)},
		Since:   t.Since, Anew: t.Anew,
	}}
}

// dropDetails gives details up for this run. They are never parked and never a
// dead letter: last_run would wait for them, and an account that may not read
// the portal would fill the dead letters. The item's next change asks again.
func (f *Stage) dropDetails(r result, st spool.TaskState) verdict {
	f.Log.Warn("details of an item could not be fetched; the item is imported without them", "stage", stageName, "run", r.run.ID,
		"dataset", r.task.Dataset, "item", r.task.Source, "error", st.LastError)
	return verdict{Outcome: spool.Outcome{Task: r.task.TaskKey, Run: r.run.ID, Count: map[string]int64{"fetch.details_failed": 1}}}
}
