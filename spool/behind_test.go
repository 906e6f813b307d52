package spool

import (
	"errors"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// last_run does not pass a parked item, whatever happens to the row that holds it back: the next open, or the next
// start, writes the row again.
func TestBehindRowsComeBack(t *testing.T) {
	since := t0.Add(-73 * time.Minute)
	damage := faults()
	damage["another's window"] = func(b *bolt.Bucket, k []byte) error {
		v := b.Get(k)
		earlier := behindKey(Alerts, since.Add(-9*time.Hour), 1)
		return errors.Join(b.Put(earlier, v), b.Delete(k))
	}
	for name, fault := range damage {
		for _, open := range []bool{false, true} { // whether a later run has taken it in again
			t.Run(name+map[bool]string{false: ", parked", true: ", in a run"}[open], func(t *testing.T) {
				o := Options{Dir: fastDir(t), ConnectorID: "c1", noReserve: true}
				s := must(Open(t.Context(), o))
				run := must(s.StartRun(1, t0, RunSpec{
					Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: since},
					Tasks: []NewTask{{TaskKey: item(Alerts, 7), Since: since}},
				}))
				ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 7), Run: run.ID, Keep: &TaskState{Runs: 1}, Park: true}}))
				if open {
					must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Parked: true}))
				}
				ok(t, s.Close())
				db := must(bolt.Open(s.path, 0o600, nil))
				ok(t, db.Update(func(tx *bolt.Tx) error {
					b := tx.Bucket([]byte(bktTasks))
					k, _ := b.Cursor().Seek([]byte{pfxBehind})
					if len(k) == 0 || k[0] != pfxBehind {
						return errors.New("no row holds last_run back")
					}
					return fault(b, append([]byte(nil), k...))
				}))
				ok(t, db.Close())

				s = must(Open(t.Context(), o))
				held := func() time.Time { t.Helper(); return must(s.Watermarks())[Alerts].Held }
				if got := held(); !open && (got.IsZero() || got.After(since)) {
					t.Errorf("held at %v after the opening, want %v or earlier", got, since)
				}
				ok(t, s.MarkResumed())
				if got := held(); !got.Equal(since) {
					t.Errorf("held at %v after the start, want %v", got, since)
				}
				for _, broken := range must(s.Verify(t.Context())) {
					if !strings.Contains(broken, "counter of bytes") { // it cannot know what a removed row weighed
						t.Errorf("still broken: %s", broken)
					}
				}
				ok(t, s.Close())
			})
		}
	}
}

// An item that was parked and one of whose rows is damaged holds last_run back until it was asked for once more: by the
// next run or, if it was taken in already, in that.
func TestDamagedParkedItemIsTriedAgain(t *testing.T) {
	since := t0.Add(-73 * time.Minute)
	damage := faults()
	for _, key := range []string{"a bit of its key", "a bit near its beginning", "no longer UTF-8", "its key cut", "its key cut to a byte", "some of its value in its key"} {
		delete(damage, key) // of the index, it is another's row
	}
	for _, row := range []struct {
		name  string
		pfx   byte
		taken bool
	}{{"task", pfxTask, false}, {"row of the parked", pfxParked, false}, {"task in a run", pfxTask, true}, {"row of the queue", pfxDue, true}} {
		for name, fault := range damage {
			if name == "removed" && row.pfx != pfxTask || name == "its value cut" && row.pfx == pfxDue {
				continue // after a restart
			}
			t.Run(row.name+" "+name, func(t *testing.T) {
				s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c1", noReserve: true}))
				defer func() { ok(t, s.Close()) }()
				run := must(s.StartRun(1, t0, RunSpec{
					Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: since},
					Tasks: []NewTask{{TaskKey: item(Alerts, 6), Since: since}, {TaskKey: item(Alerts, 7), Since: since}},
				}))
				for n := 6; n <= 7; n++ {
					ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, n), Run: run.ID, Keep: &TaskState{Runs: 1}, Park: true}}))
				}
				spec := RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Parked: true}
				if row.taken {
					run = must(s.StartRun(1, t0, spec))
				}
				ok(t, s.db.Update(func(tx *bolt.Tx) error {
					b := tx.Bucket([]byte(bktTasks))
					k, _ := b.Cursor().Seek([]byte{row.pfx})
					return fault(b, append([]byte(nil), k...))
				}))
				if !row.taken {
					run = must(s.StartRun(1, t0, spec))
				}
				ready, _, err := s.ReadyTasks(run.ID, t0, 10, nil)
				ok(t, err)
				if len(ready) != 2 || ready[0].TaskKey != item(Alerts, 6) || ready[1].TaskKey != item(Alerts, 7) {
					t.Fatalf("the run asks for %+v, want both items", ready)
				}
				if st := must(s.Stats()); st.Parked != 0 || st.Tasks != 2 {
					t.Errorf("got %d parked and %d open, want 0 and 2", st.Parked, st.Tasks)
				}
				if got := must(s.Watermarks())[Alerts].Held; !got.Equal(since) {
					t.Errorf("held at %v, want %v", got, since)
				}
				for _, task := range ready {
					ok(t, s.SettleTasks(1, t0, []Outcome{{Task: task.TaskKey, Run: run.ID, Dead: &DeadLetter{Class: "x", Error: "x"}}}))
				}
				if got := must(s.Watermarks())[Alerts].Held; !got.IsZero() {
					t.Errorf("held at %v though both were given up", got)
				}
			})
		}
	}
}

// A damaged row of one task does not keep readers from those of the others that fail: the fetch stage asks for them
// before anything else.
func TestFailingTasksDespiteDamage(t *testing.T) {
	for _, pfx := range []byte{pfxTask, pfxDue} {
		for name, fault := range faults() {
			t.Run(string(pfx)+" "+name, func(t *testing.T) {
				o := Options{Dir: fastDir(t), ConnectorID: "c1", noReserve: true}
				s := must(Open(t.Context(), o))
				run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Start: t0, Tasks: []NewTask{{TaskKey: item(Alerts, 7)}, {TaskKey: item(Alerts, 8)}}}))
				failed := TaskState{Tries: 1, Due: t0.Add(time.Minute), LastError: "down"}
				ok(t, s.SettleTasks(1, t0, []Outcome{
					{Task: item(Alerts, 7), Run: run.ID, Keep: &failed}, {Task: item(Alerts, 8), Run: run.ID, Keep: &failed},
				}))
				ok(t, s.Close())
				db := must(bolt.Open(s.path, 0o600, nil))
				ok(t, db.Update(func(tx *bolt.Tx) error {
					b := tx.Bucket([]byte(bktTasks))
					k, _ := b.Cursor().Seek([]byte{pfx})
					return fault(b, append([]byte(nil), k...))
				}))
				ok(t, db.Close())

				s = must(Open(t.Context(), o))
				t.Cleanup(func() { ok(t, s.Close()) })
				ok(t, s.MarkResumed())
				tasks, err := s.FailingTasks(run.ID, 10)
				if err != nil || len(tasks) == 0 || tasks[len(tasks)-1].Source != item(Alerts, 8).Source {
					t.Errorf("failing: %+v %v, want alerts/8 at least", tasks, err)
				}
			})
		}
	}
}

// A task of which only the row in its run's queue is left is requested, whatever its kind, and then gone. After a
// restart it is gone, too, however its dataset ends.
func TestTaskOfItsQueueRow(t *testing.T) {
	settle := func(s *Spool, run uint64) error {
		return s.SettleTasks(1, t0, []Outcome{{Task: list(Alerts), Run: run}})
	}
	for name, end := range map[string]func(s *Spool, run uint64) error{
		"at once": nil,
		"done":    settle,
		"failed": func(s *Spool, run uint64) error {
			return s.FailDataset(1, run, Alerts, DatasetFailed, "down")
		},
		"switched off": func(s *Spool, _ uint64) error {
			_, err := s.DropDataset(1, Alerts)
			return err
		},
		"skipped": func(s *Spool, _ uint64) error {
			_, err := s.Skip(1, t0, Alerts, t0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c1", noReserve: true}))
			defer func() { ok(t, s.Close()) }()
			run := must(s.StartRun(1, t0, RunSpec{
				Reason: ReasonSchedule, Start: t0, Datasets: map[Dataset]time.Time{Alerts: t0.Add(-time.Hour)}, Tasks: []NewTask{{TaskKey: list(Alerts)}},
			}))
			ok(t, s.db.Update(func(tx *bolt.Tx) error {
				return tx.Bucket([]byte(bktTasks)).Delete(prefixed(pfxTask, taskKey(list(Alerts))))
			}))
			if got, err := s.Task(list(Alerts)); err != nil || got.Run != run.ID || got.TaskKey != list(Alerts) {
				t.Errorf("got %+v %v, want the list in run %d", got, err, run.ID)
			}
			if end == nil {
				ok(t, settle(s, run.ID))
			} else {
				ok(t, s.MarkResumed())
				ok(t, end(s, run.ID))
			}
			if got, err := s.Task(list(Alerts)); !errors.Is(err, ErrNotFound) {
				t.Errorf("got %+v %v at the end", got, err)
			}
			ok(t, s.FinishFetch(1, run.ID, t0))
			if r := must(s.Run(run.ID)); r.Datasets[Alerts].Status == DatasetOK {
				t.Errorf("ended as %+v, although what it was is lost", r.Datasets[Alerts])
			}
		})
	}
}

// A row of a run's queue that names something else than its task, whichever byte of it is damaged, is written again
// at the next start. One that could be another's is no other task until then, either: the one that belongs there is
// requested.
func TestQueueRowOfAnotherTask(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		for at := range len(taskKey(item(Alerts, 7))) {
			s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c1", noReserve: true}))
			t.Cleanup(func() { ok(t, s.Close()) })
			run := must(s.StartRun(1, t0, RunSpec{
				Reason: ReasonSchedule, Start: t0, Datasets: map[Dataset]time.Time{Alerts: t0},
				Tasks: []NewTask{{TaskKey: item(Alerts, 7)}, {TaskKey: item(Alerts, 8)}},
			}))
			var named TaskKey
			var readable bool
			ok(t, s.db.Update(func(tx *bolt.Tx) error {
				b := tx.Bucket([]byte(bktTasks))
				k, v := b.Cursor().Seek([]byte{pfxDue})
				v = append([]byte(nil), v...)
				v[at] ^= 0x02
				named, readable = cutTaskKey(v)
				return b.Put(append([]byte(nil), k...), v)
			}))
			if restarted {
				ok(t, s.MarkResumed())
			} else if !readable {
				continue // it is asked for after a restart
			}
			tasks, _, err := s.ReadyTasks(run.ID, t0, 10, nil)
			ok(t, err)
			if len(tasks) != 2 || tasks[0].TaskKey != item(Alerts, 7) {
				t.Errorf("byte %d, which made it %q, restarted %v: got %+v, want both items", at, named, restarted, tasks)
				continue
			}
			for _, key := range []TaskKey{named, tasks[0].TaskKey, tasks[1].TaskKey} { // who may have read the row before
				ok(t, s.SettleTasks(1, t0, []Outcome{{Task: key, Run: run.ID, Count: map[string]int64{"settled": 1}}}))
			}
			if err := s.FinishFetch(1, run.ID, t0); err != nil {
				t.Errorf("byte %d, which made it %q, restarted %v: %v", at, named, restarted, err)
			}
			if r := must(s.Run(run.ID)); r.Counters["settled"] != 2 || r.Datasets[Alerts].Status != DatasetOK {
				t.Errorf("byte %d, which made it %q, restarted %v: got %+v, want two outcomes", at, named, restarted, r)
			}
		}
	}
}
