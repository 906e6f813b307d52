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

// What an operator asks for is sent again also if another run has its task already, which stays there.
func TestRetryOfAnOpenItemIsSentAgain(t *testing.T) {
	s := newSpool(t)
	key := item(Alerts, 7)
	first := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: key}}}, t0, Alerts)
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: key, Run: first.ID, Dead: &DeadLetter{Class: "refused"}}}))
	run := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: key}}}, t0, Alerts)
	must(s.Retry(1, t0, []uint64{1}, nil))
	if got := must(s.Task(key)); got.Run != run.ID || !got.Anew {
		t.Errorf("in run %d, anew %v; want it in run %d, anew", got.Run, got.Anew, run.ID)
	}
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: key, Run: run.ID, Record: &NewRecord{Dataset: Alerts, Source: "7", Body: bodyOf(7)}}}))
	if recs := must(s.Records(run.ID, 0, 10, 1<<20)); len(recs) != 1 || !recs[0].Anew {
		t.Errorf("it brought %+v, want one record that is anew", recs)
	}
}

// What waits in the queue is sent again when a list names it first.
func TestQueuedItemOfAListIsSentAgain(t *testing.T) {
	s := newSpool(t)
	key := item(Alerts, 7)
	ok(t, s.Enqueue(1, ReasonRepull, nil, []NewTask{{TaskKey: key}}))
	begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: key}}}, t0, Alerts)
	if got := must(s.Task(key)); !got.Anew || must(s.Stats()).Queued != 0 {
		t.Errorf("anew %v with %d in the queue, want it anew and none", got.Anew, must(s.Stats()).Queued)
	}
}
