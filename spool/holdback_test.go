package spool

import (
	"testing"
	"time"
)

// An item that a list names while a run of retries has it holds its dataset's last_run back until it arrives.
func TestItemOfAnotherRunHoldsBack(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		s := mustOpen(t, Options{ConnectorID: "c1"})
		first := must(s.StartRun(1, t0, RunSpec{
			Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0.Add(-time.Hour)}, Tasks: []NewTask{{TaskKey: list(Alerts)}},
		}))
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: list(Alerts), Run: first.ID, Add: []NewTask{{TaskKey: item(Alerts, 7)}}}}))
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 7), Run: first.ID, Dead: &DeadLetter{Class: "x", Error: "x"}}}))
		ok(t, s.FinishFetch(1, first.ID, t0))
		ok(t, s.FinishMap(1, first.ID, t0))
		ok(t, s.FinishRun(1, first.ID, t0))

		from := t0.Add(-10 * time.Minute)
		run := must(s.StartRun(1, t0.Add(time.Hour), RunSpec{
			Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: from}, Tasks: []NewTask{{TaskKey: list(Alerts)}},
		}))
		retry := must(s.Retry(1, t0.Add(2*time.Hour), []uint64{1}, nil))
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: list(Alerts), Run: run.ID, Add: []NewTask{{TaskKey: item(Alerts, 7), Since: from}}}}))
		ok(t, s.FinishFetch(1, run.ID, t0))
		ok(t, s.FinishMap(1, run.ID, t0))
		ok(t, s.FinishRun(1, run.ID, t0))
		held := func() time.Time { t.Helper(); return must(s.Watermarks())[Alerts].Held }
		if !held().Equal(from) {
			t.Fatalf("held at %v while the item is asked for, want %v", held(), from)
		}
		if !arrives {
			ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 7), Run: retry.ID, Keep: &TaskState{Runs: 1}, Park: true}}))
			if !held().Equal(from) {
				t.Errorf("held at %v while it is parked, want %v", held(), from)
			}
			continue
		}
		ok(t, s.SettleTasks(1, t0, []Outcome{{
			Task: item(Alerts, 7), Run: retry.ID, Record: &NewRecord{Dataset: Alerts, Source: "7", Fetched: t0, Body: []byte(`{"objects":[]}`)},
		}}))
		ok(t, s.FinishFetch(1, retry.ID, t0))
		if !held().Equal(from) {
			t.Errorf("held at %v before it is delivered, want %v", held(), from)
		}
		recs := must(s.Records(retry.ID, 0, 10, 1<<20))
		ok(t, s.CommitMap(1, t0, MapCommit{Run: retry.ID, Records: []uint64{recs[0].Seq}}))
		ok(t, s.FinishMap(1, retry.ID, t0))
		ok(t, s.FinishRun(1, retry.ID, t0))
		if !held().IsZero() {
			t.Errorf("held at %v though it was delivered", held())
		}
	}
}
