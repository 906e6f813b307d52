package spool

import (
	"testing"
	"time"
)

// A page of IOCs brings other objects than the page before it under the same
// source id: it says nothing about what became of those.
func TestPageHealsNoDeadLetter(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	page := TaskKey{Dataset: IOCs, Kind: TaskPage, Source: "1/indicator"}
	run := must(s.StartRun(1, t0, RunSpec{
		Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{IOCs: t0}, Tasks: []NewTask{{TaskKey: page}},
	}))(t)
	settle := func() {
		t.Helper()
		ok(t, s.SettleTasks(1, t0, []Outcome{{
			Task: page, Run: run.ID, Keep: &TaskState{},
			Record: &NewRecord{Dataset: IOCs, Source: page.Source, Fetched: t0, Body: []byte(`{"objects":[]}`)},
		}}))
	}
	settle()
	recs := must(s.Records(run.ID, 0, 10, 1<<20))(t)
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Records: []uint64{recs[0].Seq}, Dead: []DeadLetter{{
		Class: "element", Error: "no id", Dataset: IOCs, Source: page.Source, Payload: []byte(`{"type":"indicator"}`),
	}}}))
	settle()
	if d := must(s.DeadLetters(0, 10))(t); len(d) != 1 || !d[0].Healed.IsZero() {
		t.Errorf("dead letters %+v: the next page healed it", d)
	}
}
