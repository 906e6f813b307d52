package spool

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// stepped is a long operation, what it works on, and what must be the result.
type stepped struct {
	name string
	fill func(t *testing.T, s *Spool, run Run)
	do   func(s *Spool) error
	want func(st Stats) bool
	safe func(t *testing.T, s *Spool) // must hold after every stop
}

const stepItems = 2*taskStep + 300

func addItems(t *testing.T, s *Spool, run Run, park bool) {
	t.Helper()
	var add []NewTask
	var parked []Outcome
	for n := range stepItems {
		add = append(add, NewTask{TaskKey: item(Alerts, n)})
		parked = append(parked, Outcome{Task: item(Alerts, n), Run: run.ID, Keep: &TaskState{Runs: 1}, Park: true})
	}
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: list(Alerts), Run: run.ID, Add: add}}))
	if park {
		ok(t, s.SettleTasks(1, t0, parked))
		finish(t, s, run)
	}
}

func addLetters(t *testing.T, s *Spool, run Run) {
	t.Helper()
	c := MapCommit{Run: run.ID}
	for n := range stepItems {
		c.Dead = append(c.Dead, DeadLetter{Class: "invalid", Dataset: Alerts, Source: fmt.Sprint(n), STIX: stixOf(n), Payload: []byte(`{"a":1}`)})
	}
	ok(t, s.CommitMap(1, t0, c))
}

func letterKeys() []uint64 {
	keys := make([]uint64, stepItems)
	for i := range keys {
		keys[i] = uint64(stepItems - i) // in no order that helps
	}
	return keys
}

// Long operations work in steps. Killed after any of them and repeated they end with the same result as if they had
// not been killed, and no step leaves anything broken.
func TestLongOperationsGoOn(t *testing.T) {
	t.Parallel()
	parked := func(t *testing.T, s *Spool, run Run) { addItems(t, s, run, true) }
	for _, op := range []stepped{
		{
			name: "drop dataset", fill: func(t *testing.T, s *Spool, run Run) { addItems(t, s, run, false) },
			do:   func(s *Spool) error { _, err := s.DropDataset(1, Alerts); return err },
			want: func(st Stats) bool { return st.Tasks == 0 && st.Parked == 0 },
			safe: func(t *testing.T, s *Spool) { // half dropped, no run may move the watermark
				if got := must(s.Run(1)).Datasets[Alerts].Status; got != DatasetOff {
					t.Errorf("the dataset is %q in its run, want %q from the first step on", got, DatasetOff)
				}
			},
		},
		{
			name: "take in parked items", fill: parked,
			do: func(s *Spool) error {
				if runs, err := s.OpenRuns(); err != nil || len(runs) > 0 { // a kill left the rest
					if err == nil {
						err = s.FinishFetch(1, runs[0].ID, t0)
					}
					if errors.Is(err, ErrBusy) {
						err = nil
					}
					return err
				}
				_, err := s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Parked: true})
				return err
			},
			want: func(st Stats) bool { return st.Tasks == stepItems && st.Parked == 0 },
			safe: func(t *testing.T, s *Spool) {
				if got := must(s.Watermarks())[Alerts].Held; !got.Equal(t0.Add(-time.Hour)) {
					t.Errorf("held at %v, want it where the items began", got)
				}
			},
		},
		{
			name: "enqueue", fill: addLetters,
			do:   func(s *Spool) error { return s.Enqueue(1, ReasonRetry, letterKeys(), nil) },
			want: func(st Stats) bool { return st.Queued == stepItems && st.Dead == stepItems },
		},
		{
			name: "drop", fill: addLetters,
			do: func(s *Spool) error {
				var keys []uint64
				for after := uint64(0); ; after = keys[len(keys)-1] {
					page, err := s.DeadLetters(after, 1000)
					if err != nil {
						return err
					}
					for _, d := range page {
						keys = append(keys, d.Key)
					}
					if len(page) == 0 {
						break
					}
				}
				slices.Reverse(keys)
				_, err := s.Drop(keys, nil, nil)
				return err
			},
			want: func(st Stats) bool { return st.Dead == 0 },
		},
		{
			name: "open letters again", fill: func(t *testing.T, s *Spool, run Run) {
				addLetters(t, s, run)
				_, err := s.Retry(1, t0, letterKeys(), nil)
				for more := err == nil; more && err == nil; {
					_, more, err = s.StartQueued(1, t0, true, 0)
				}
				ok(t, err)
			},
			do: func(s *Spool) error {
				if must(s.Meta()).Epoch > 1 { // it was killed, and opening did the rest
					return nil
				}
				_, _, err := s.Reset(t0)
				return err
			},
			want: func(st Stats) bool { return st.Dead == stepItems && st.Healed == 0 },
		},
	} {
		t.Run(op.name, func(t *testing.T) {
			for kill := 1; ; kill++ {
				steps := 0
				o := Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true, NoCompact: true}
				o.hook = func(p string) {
					name, after := strings.CutSuffix(p, ":after")
					if !after || name != op.name {
						return
					}
					if steps++; steps == kill {
						panic(errStopped)
					}
				}
				s := must(Open(t.Context(), o))
				run := must(s.StartRun(1, t0, RunSpec{
					Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0.Add(-time.Hour)}, Tasks: []NewTask{{TaskKey: list(Alerts)}},
				}))
				op.fill(t, s, run)
				killed := diesOfPanic(t, func() error { return op.do(s) })
				if killed {
					crash(t, s)
					o.hook = nil
					s = must(Open(t.Context(), o))
					if op.safe != nil {
						op.safe(t, s)
					}
					for _, b := range must(s.Verify(t.Context())) {
						t.Errorf("after step %d: %s", kill, b)
					}
					ok(t, op.do(s))
				}
				if st := must(s.Stats()); !op.want(st) {
					t.Errorf("killed after step %d: %+v", kill, st)
				}
				closeVerified(t, s)
				if !killed {
					if kill < 3 {
						t.Errorf("it took %d steps, so this shows nothing", kill-1)
					}
					return
				}
			}
		})
	}
}

// diesOfPanic reports whether the function was stopped at a point.
func diesOfPanic(t *testing.T, fn func() error) (died bool) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			if died = r == errStopped; !died {
				panic(r)
			}
		}
	}()
	ok(t, fn())
	return false
}

// If one of many names is refused, all of them stay.
func TestOneWrongNameOfMany(t *testing.T) {
	s := newSpool(t)
	run := begin(t, s, RunSpec{}, t0, Alerts)
	addLetters(t, s, run)
	before := must(digest(t.Context(), s.db))
	keys := append(letterKeys(), stepItems+1)
	if err := s.Enqueue(1, ReasonRetry, keys, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("enqueue: %v, want ErrNotFound", err)
	}
	if _, err := s.Retry(1, t0, keys, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("retry: %v, want ErrNotFound", err)
	}
	if n, err := s.Drop(keys, nil, nil); !errors.Is(err, ErrNotFound) || n != 0 {
		t.Errorf("drop: %d, %v, want 0 and ErrNotFound", n, err)
	}
	if err := s.Enqueue(2, ReasonRetry, letterKeys(), nil); !errors.Is(err, ErrEpoch) {
		t.Errorf("after a reset: %v, want ErrEpoch", err)
	}
	if after := must(digest(t.Context(), s.db)); after != before {
		t.Error("something was changed")
	}
}

// What a kill left of the parked items is taken in later, but not what was parked since the run began.
func TestTakesInNothingParkedSince(t *testing.T) {
	s := newSpool(t)
	first := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: list(Alerts)}}}, t0, Alerts)
	addItems(t, s, first, true)
	s.hook = func(p string) {
		if p == "take in parked items:before" {
			panic(errStopped)
		}
	}
	second := RunSpec{Reason: ReasonSchedule, Parked: true, Datasets: map[Dataset]time.Time{Alerts: t0}, Tasks: []NewTask{{TaskKey: list(Alerts)}}}
	if !diesOfPanic(t, func() error { _, err := s.StartRun(1, t0, second); return err }) {
		t.Fatal("it took one step, so this shows nothing")
	}
	s.hook = nil
	run := must(s.OpenRuns())[0]
	fresh := item(Alerts, stepItems)
	ok(t, s.SettleTasks(1, t0, []Outcome{
		{Task: list(Alerts), Run: run.ID, Add: []NewTask{{TaskKey: fresh}}},
		{Task: fresh, Run: run.ID, Keep: &TaskState{Runs: 1}, Park: true},
	}))
	if err := s.FinishFetch(1, run.ID, t0); !errors.Is(err, ErrBusy) {
		t.Errorf("with items taken in now: %v, want ErrBusy", err)
	}
	if st := must(s.Stats()); st.Parked != 1 || st.Tasks != stepItems || must(s.Task(fresh)).Parked.IsZero() {
		t.Errorf("%d parked and %d open, want what was parked since, and %d", st.Parked, st.Tasks, stepItems)
	}
}

// A run takes in what was parked when it started, once each, and not what it parks itself.
func TestTakesInWhatWasParked(t *testing.T) {
	s := newSpool(t)
	first := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: list(Alerts)}}}, t0, Alerts)
	addItems(t, s, first, true)
	at := 0
	s.hook = func(p string) {
		if p == "take in parked items:before" {
			at++
		}
	}
	second := begin(t, s, RunSpec{Parked: true, Tasks: []NewTask{{TaskKey: list(Alerts)}}}, t0, Alerts)
	if at < 2 {
		t.Fatalf("%d steps after the first, so this shows nothing", at)
	}
	ok(t, s.SettleTasks(1, t0, []Outcome{
		{Task: list(Alerts), Run: second.ID, Add: []NewTask{{TaskKey: item(Alerts, stepItems)}}},
		{Task: item(Alerts, 0), Run: second.ID, Keep: &TaskState{Runs: 2}, Park: true},
		{Task: item(Alerts, stepItems), Run: second.ID, Keep: &TaskState{Runs: 1}, Park: true},
	}))
	if err := s.FinishFetch(1, second.ID, t0); !errors.Is(err, ErrBusy) {
		t.Errorf("with open tasks: %v, want ErrBusy", err)
	}
	if st := must(s.Stats()); st.Parked != 2 || st.Tasks != stepItems-1 {
		t.Errorf("%d parked and %d open, want 2 and %d", st.Parked, st.Tasks, stepItems-1)
	}
}

// What a repull or a retry left in the queue goes with its dataset, also after a kill between two steps; what is parked
// stays.
func TestSwitchedOffInTheQueue(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Tasks: []NewTask{{TaskKey: list(Alerts)}}}))
	addItems(t, s, run, true)
	var tasks []NewTask
	for n := range stepItems {
		tasks = append(tasks, NewTask{TaskKey: item(Alerts, n), Since: t0})
	}
	ok(t, s.Enqueue(1, ReasonRetry, nil, tasks))
	ok(t, s.Enqueue(1, ReasonRepull, nil, []NewTask{{TaskKey: item(Alerts, stepItems), Since: t0}, {TaskKey: item(Profiles, 1), Since: t0},
		{TaskKey: TaskKey{Dataset: IOCs, Kind: TaskPage, Source: "g/indicator"}, Since: t0, Cursor: []byte("{}")}}))
	if n := must(s.DropDataset(1, Alerts)); n != stepItems+1 {
		t.Errorf("dropped %d of the queue, want %d", n, stepItems+1)
	}
	if st := must(s.Stats()); st.Queued != 2 || st.Parked != stepItems {
		t.Errorf("%d are queued and %d parked, want 2 and %d", st.Queued, st.Parked, stepItems)
	}
	next, found, err := s.StartQueued(1, t0, false, 0)
	if _, off := next.Datasets[Alerts]; err != nil || !found || off || len(next.Datasets) != 2 {
		t.Errorf("the next slice is %+v (%v, %v), want one of profiles and IOCs", next.Datasets, found, err)
	}
}
