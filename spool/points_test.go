package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// Stopped at any point of any writing method, the file is as it was before or as it is after, entry for entry.
func TestStopAtEveryPoint(t *testing.T) {
	t.Parallel()
	for _, op := range writingMethods(t) {
		t.Run(op.name, func(t *testing.T) {
			before, after, points := stopped(t, op, "")
			if before == after {
				t.Fatal("the method changed nothing, so the test shows nothing")
			}
			if len(points) < 3 {
				t.Fatalf("points %v", points)
			}
			for _, p := range points {
				_, got, _ := stopped(t, op, p)
				if got != before && got != after && !op.steps {
					t.Errorf("stopped at %q the file is neither as before nor as after", p)
				}
				if slices.Index(points, p) == len(points)-1 && got != after {
					t.Errorf("stopped at %q, after the commit, the change is not there", p)
				}
				if p == points[0] && got != before {
					t.Errorf("stopped at %q, before anything, something changed", p)
				}
			}
		})
	}
}

type writingMethod struct {
	name  string
	do    func(s *Spool, run uint64) error
	steps bool // works in several transactions
}

var errStopped = errors.New("stopped at the point")

// stopped runs the method on a prepared spool and dies at the point. It returns the contents before and after, and
// the points that it passed.
func stopped(t *testing.T, op writingMethod, point string) (before, after contents, points []string) {
	t.Helper()
	armed := false
	o := Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true, KeepRecords: time.Hour, NoCompact: true, Now: func() time.Time { return t0 }}
	o.hook = func(p string) {
		if armed {
			points = append(points, p)
			if p == point {
				panic(errStopped)
			}
		}
	}
	s := must(Open(t.Context(), o))
	run := prepare(t, s)
	before = must(digest(t.Context(), s.db))
	armed = true
	func() {
		defer func() {
			if r := recover(); r != nil && r != errStopped {
				panic(r)
			}
		}()
		ok(t, op.do(s, run))
	}()
	armed = false
	after = must(digest(t.Context(), s.db))
	crash(t, s)
	o.ReadOnly, o.hook = true, nil
	s = must(Open(t.Context(), o))
	if again := must(digest(t.Context(), s.db)); again != after {
		t.Errorf("stopped at %q: the file on disk differs from what the process saw", point)
	}
	for _, b := range must(s.Verify(t.Context())) {
		t.Errorf("stopped at %q: %s", point, b)
	}
	ok(t, s.Close())
	return before, after, points
}

// prepare puts something for every method into the spool.
func prepare(t *testing.T, s *Spool) uint64 {
	t.Helper()
	watched := must(s.StartRun(1, t0, RunSpec{Reason: ReasonRetry}))
	ok(t, s.SaveWork(1, watched.ID, Work{ID: "w", Status: WorkProcessed}))
	ok(t, s.FinishFetch(1, watched.ID, t0))
	ok(t, s.FinishMap(1, watched.ID, t0))
	ok(t, s.FinishRun(1, watched.ID, t0))
	old := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Profiles: t0}}))
	ok(t, s.FinishFetch(1, old.ID, t0))
	ok(t, s.FinishMap(1, old.ID, t0))
	var tasks []NewTask
	for n := range 8 {
		tasks = append(tasks, NewTask{TaskKey: item(Alerts, n)})
	}
	tasks = append(tasks, NewTask{TaskKey: TaskKey{IOCs, TaskPage, "p"}, Cursor: []byte("c")}, NewTask{TaskKey: list(Reports)})
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0, IOCs: t0, Reports: t0}, Tasks: tasks}))
	var outcomes []Outcome
	for n := range 4 {
		rec := &NewRecord{Dataset: Alerts, Source: fmt.Sprint(n), Fetched: t0, Body: bodyOf(n)}
		outcomes = append(outcomes, Outcome{Task: item(Alerts, n), Run: run.ID, Record: rec})
	}
	outcomes = append(outcomes, Outcome{Task: item(Alerts, 4), Run: run.ID, Keep: &TaskState{Tries: 3}, Park: true},
		Outcome{Task: item(Alerts, 5), Run: run.ID, Dead: &DeadLetter{Class: "refused"}})
	ok(t, s.SettleTasks(1, t0, outcomes))
	object := func(n int) Object { return Object{STIX: stixOf(n), Watch: stixOf(n + 1), JSON: bodyOf(n)} }
	c := MapCommit{
		Run: run.ID, Records: []uint64{1, 2}, Wait: []Object{object(20)}, Hold: []Object{object(30), object(31)},
		Dead:  []DeadLetter{{Class: "invalid", Dataset: Alerts, Source: "6", STIX: stixOf(6), Payload: []byte(`{"a":1}`)}},
		Items: []Item{{Dataset: Alerts, Source: "1", Run: run.ID, Objects: 3, At: t0}},
	}
	for i := range 2 {
		var b NewBundle
		for n := range 6 {
			b.Objects = append(b.Objects, BundleObject{STIX: stixOf(40 + 10*i + n), JSON: bodyOf(40 + n)})
			c.IDs = append(c.IDs, IDPut{STIX: stixOf(40 + 10*i + n), ID: ID{Run: run.ID, Kind: "indicator", At: t0}})
		}
		c.Bundles = append(c.Bundles, b)
	}
	ok(t, s.CommitMap(1, t0, c))
	ok(t, s.SaveCursor(1, run.ID, 1, 6))
	return run.ID
}

func writingMethods(t *testing.T) []writingMethod {
	later := t0.Add(time.Minute)
	file := oneRecordAside(t)
	return []writingMethod{
		{name: "SavePlatform", do: func(s *Spool, _ uint64) error { return s.SavePlatform(1, []byte("n")) }},
		{name: "StartRun", do: func(s *Spool, _ uint64) error {
			_, err := s.StartRun(1, later, RunSpec{Reason: ReasonTrigger, Parked: true, Datasets: map[Dataset]time.Time{Alerts: t0}, Tasks: []NewTask{{TaskKey: list(Alerts)}}})
			return err
		}, steps: true},
		{name: "MarkResumed", do: func(s *Spool, _ uint64) error { return s.MarkResumed() }},
		{name: "SettleTasks", do: func(s *Spool, run uint64) error {
			rec := &NewRecord{Dataset: Alerts, Source: "6", Fetched: t0, Body: bodyOf(29)}
			return s.SettleTasks(1, later, []Outcome{{Task: item(Alerts, 6), Run: run, Record: rec, Add: []NewTask{{TaskKey: item(Alerts, 4)}}}})
		}},
		{name: "FailDataset", do: func(s *Spool, run uint64) error { return s.FailDataset(1, run, IOCs, DatasetFailed, "x") }},
		{name: "DropDataset", do: func(s *Spool, _ uint64) error { _, err := s.DropDataset(1, Alerts); return err }, steps: true},
		{name: "Skip", do: func(s *Spool, _ uint64) error {
			spec := RunSpec{Reason: ReasonSchedule, Start: later, Datasets: map[Dataset]time.Time{IOCs: t0}}
			if _, err := s.StartRun(1, later, spec); err != nil {
				return err
			}
			_, err := s.Skip(1, later, IOCs, later)
			return err
		}, steps: true},
		{name: "CommitMap", do: func(s *Spool, run uint64) error {
			b := NewBundle{Objects: []BundleObject{{STIX: stixOf(60), JSON: bodyOf(58)}}}
			return s.CommitMap(1, later, MapCommit{Run: run, Records: []uint64{3}, Bundles: []NewBundle{b}, Unwait: []string{stixOf(20)}, Unhold: []string{stixOf(30)}})
		}},
		{name: "FinishFetch", do: func(s *Spool, run uint64) error {
			if err := s.FailDataset(1, run, IOCs, DatasetFailed, "x"); err != nil {
				return err
			}
			if _, err := s.DropDataset(1, Alerts); err != nil {
				return err
			}
			if err := s.FailDataset(1, run, Reports, DatasetFailed, "x"); err != nil {
				return err
			}
			return s.FinishFetch(1, run, later)
		}, steps: true},
		{name: "FinishRun", do: func(s *Spool, run uint64) error { return s.FinishRun(1, run-1, later) }},
		{name: "SaveCursor", do: func(s *Spool, run uint64) error { return s.SaveCursor(1, run, 2, 3) }},
		{name: "SkipMessage", do: func(s *Spool, run uint64) error {
			return s.SkipMessage(1, run, 2, 0, DeadLetter{Class: "too_large"})
		}},
		{name: "EndBundle", do: func(s *Spool, run uint64) error {
			return s.EndBundle(1, run, 1, Work{ID: "w"}, map[string]int64{"a": 1})
		}},
		{name: "SaveWork", do: func(s *Spool, run uint64) error { return s.SaveWork(1, run, Work{ID: "w"}) }},
		{name: "Count", do: func(s *Spool, run uint64) error { return s.Count(1, run, map[string]int64{"a": 1}) }},
		{name: "MarkCrash", do: func(s *Spool, _ uint64) error { return s.MarkCrash(&CrashMark{Run: 1, Seq: 2}) }},
		{name: "ForgetRun", do: func(s *Spool, run uint64) error { return s.ForgetRun(1, run) }},
		{name: "Retry", do: func(s *Spool, _ uint64) error {
			_, err := s.Retry(1, later, []uint64{1, 2}, []TaskKey{item(Alerts, 4)})
			return err
		}, steps: true},
		{name: "Drop", do: func(s *Spool, _ uint64) error {
			_, err := s.Drop([]uint64{2}, []TaskKey{item(Alerts, 4)}, []string{stixOf(31)})
			return err
		}},
		{name: "Prune", do: func(s *Spool, _ uint64) error {
			_, err := s.Prune(t0.Add(2*time.Hour), t0)
			return err
		}},
		{name: "Enqueue", do: func(s *Spool, _ uint64) error {
			return s.Enqueue(1, ReasonRepull, []uint64{1}, []NewTask{{TaskKey: item(Alerts, 9)}})
		}},
		{name: "StartQueued", do: func(s *Spool, _ uint64) error {
			if err := s.Enqueue(1, ReasonRepull, []uint64{1}, []NewTask{{TaskKey: item(Alerts, 9)}}); err != nil {
				return err
			}
			_, _, err := s.StartQueued(1, later, false, 0)
			return err
		}, steps: true},
		{name: "SaveVerdict", do: func(s *Spool, _ uint64) error {
			due, _, _, err := s.WatchedWorks(later, 1)
			if err != nil || len(due) == 0 {
				return fmt.Errorf("watched works %v: %w", due, err)
			}
			return s.SaveVerdict(later, due[0], []DeadLetter{{Class: "rejected", STIX: stixOf(40), Payload: []byte(`{}`)}}, true)
		}},
		{name: "Salvage", do: func(s *Spool, _ uint64) error {
			got, err := s.Salvage(context.Background(), file, later, SalvageOptions{})
			if err == nil && got.Rows["records"] != 1 {
				err = fmt.Errorf("brought %v", got.Rows)
			}
			return err
		}},
		{name: "Reset", do: func(s *Spool, _ uint64) error { _, _, err := s.Reset(later); return err }},
	}
}
