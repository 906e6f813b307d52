package spool

import (
	"testing"
	"time"
)

// A repull asks for its whole window, wherever an earlier run's paging stopped.
func TestRepullPagesItsWholeWindow(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	page := TaskKey{Dataset: IOCs, Kind: TaskPage, Source: "1/indicator"}
	run := must(s.StartRun(1, t0, RunSpec{
		Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{IOCs: t0.Add(-48 * time.Hour)},
		Tasks: []NewTask{{TaskKey: page, Cursor: []byte("begin")}},
	}))
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: page, Run: run.ID, Keep: &TaskState{Cursor: []byte("far")}}}))
	ok(t, s.FailDataset(1, run.ID, IOCs, DatasetFailed, "x"))
	from := t0.Add(-24 * time.Hour)
	must(s.StartRun(1, t0, RunSpec{
		Reason: ReasonRepull, Datasets: map[Dataset]time.Time{IOCs: from}, Tasks: []NewTask{{TaskKey: page, Cursor: []byte("from")}},
	}))
	if got := must(s.Task(page)); string(got.Cursor) != "from" || !got.Since.Equal(from) {
		t.Errorf("goes on at %q of a window from %v, want its own", got.Cursor, got.Since)
	}
}
