package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// mustOpen opens a spool whose invariants are checked when the test ends.
func mustOpen(t *testing.T, o Options) *Spool {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.noReserve = true
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeVerified(t, s) })
	return s
}

// fastDir is a directory in memory if there is one, for tests that make thousands of commits and do not test
// durability.
func fastDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "spool-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func closeVerified(t *testing.T, s *Spool) {
	t.Helper()
	if s.closed {
		return
	}
	broken, err := s.Verify(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Error(err)
	}
	for _, b := range broken {
		t.Error(b)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// must returns v. It panics on an error, which ends all tests of the package.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func item(d Dataset, n int) TaskKey {
	return TaskKey{Dataset: d, Kind: TaskItem, Source: fmt.Sprint(n)}
}

func list(d Dataset) TaskKey { return TaskKey{Dataset: d, Kind: TaskList} }

// A run goes from its list to done, and its watermarks follow.
func TestRunThroughAllStages(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	from := map[Dataset]time.Time{Alerts: t0}
	run := must(s.StartRun(1, t0.Add(time.Hour), RunSpec{Reason: ReasonSchedule, Datasets: from, Tasks: []NewTask{{TaskKey: list(Alerts)}}}))
	tasks, next, err := s.ReadyTasks(run.ID, t0, 10, nil)
	ok(t, err)
	if len(tasks) != 1 || tasks[0].TaskKey != list(Alerts) || !next.IsZero() || !tasks[0].Since.Equal(t0) {
		t.Fatalf("ready %+v next %v", tasks, next)
	}
	ok(t, s.SettleTasks(1, t0, []Outcome{{
		Task: list(Alerts), Run: run.ID, Add: []NewTask{{TaskKey: item(Alerts, 1)}, {TaskKey: item(Alerts, 2)}},
		Status: &DatasetRun{Status: DatasetListed}, Count: map[string]int64{"fetch.listed": 2},
	}}))
	if err := s.FinishFetch(1, run.ID, t0); !errors.Is(err, ErrBusy) {
		t.Fatalf("finish with open tasks: %v", err)
	}
	for n := 1; n <= 2; n++ {
		rec := &NewRecord{Dataset: Alerts, Source: fmt.Sprint(n), Fetched: t0, Body: []byte(`{"objects":[]}`)}
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, n), Run: run.ID, Record: rec}}))
	}
	ok(t, s.FinishFetch(1, run.ID, t0))
	recs := must(s.Records(run.ID, 0, 10, 1<<20))
	if len(recs) != 2 || recs[0].Source != "1" || recs[1].Source != "2" {
		t.Fatalf("records %+v", recs)
	}
	obj := BundleObject{STIX: "indicator--00000000-0000-4000-8000-000000000001", JSON: []byte(`{"a":1}`)}
	ok(t, s.CommitMap(1, t0, MapCommit{
		Run: run.ID, Records: []uint64{recs[0].Seq, recs[1].Seq}, Bundles: []NewBundle{{Objects: []BundleObject{obj}}},
		IDs: []IDPut{{STIX: obj.STIX, ID: ID{Hash: [16]byte{1}, Modified: t0, Properties: 3, Kind: "indicator", Run: run.ID, At: t0}}},
	}))
	ok(t, s.FinishMap(1, run.ID, t0))
	if err := s.FinishRun(1, run.ID, t0); !errors.Is(err, ErrBusy) {
		t.Fatalf("finish with bundles: %v", err)
	}
	b := must(s.NextBundle())
	got := must(s.BundleObjects(b.Run, b.Seq, 0, 1<<20))
	if len(got) != 1 || got[0].STIX != obj.STIX || string(got[0].JSON) != `{"a":1}` {
		t.Fatalf("objects %+v", got)
	}
	ok(t, s.SaveCursor(1, b.Run, b.Seq, 1))
	ok(t, s.EndBundle(1, b.Run, b.Seq, Work{}, nil))
	ok(t, s.FinishRun(1, run.ID, t0))
	w := must(s.Watermarks())
	if !w[Alerts].Confirmed.Equal(run.Start) || !w[Alerts].Fetched.Equal(run.Start) {
		t.Fatalf("watermarks %+v", w)
	}
	if open := must(s.OpenRuns()); len(open) != 0 {
		t.Fatalf("open runs %+v", open)
	}
	st := must(s.Stats())
	if st.Tasks+st.Records+st.Bundles+st.Messages != 0 || st.IDs != 1 || st.Runs != 1 {
		t.Fatalf("stats %+v", st)
	}
}
