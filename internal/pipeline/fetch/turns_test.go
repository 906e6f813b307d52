package fetch

import (
	"slices"
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// TestListsAndItemsTakeTurns: also where places come free one by one, so that neither
// waits until the other is through.
func TestListsAndItemsTakeTurns(t *testing.T) {
	tasks := func(kind spool.TaskKind, n int) []spool.Task {
		return slices.Repeat([]spool.Task{{TaskKey: spool.TaskKey{Kind: kind}}}, n)
	}
	for _, limit := range []int{1, 2, 3} {
		f := &Stage{}
		front, items := tasks(spool.TaskPage, 9), tasks(spool.TaskItem, 6)
		text := ""
		for len(front)+len(items) > 0 {
			for _, task := range f.inTurn(front, items, limit) {
				if text += string(task.Kind[:1]); task.Kind == spool.TaskPage {
					front = front[1:]
				} else {
					items = items[1:]
				}
			}
		}
		if want := "pipipipipipippp"; text != want {
			t.Errorf("%d at a time: asked in the order %s, want %s", limit, text, want)
		}
	}
}

type queueOnly struct {
	Spool
	tasks []spool.NewTask
	next  spool.Bundle
}

func (q *queueOnly) NextBundle() (spool.Bundle, error) { return q.next, nil }

// TestNobodyMoves: what deliver can still send makes room, and nobody fetches into the gap.
func TestNobodyMoves(t *testing.T) {
	for run, want := range map[uint64]bool{4: false, 5: false, 6: true} {
		f := &Stage{Deps: Deps{Spool: &queueOnly{next: spool.Bundle{Run: run}}}, run: &openRun{Run: spool.Run{ID: 5}}}
		if got, err := f.nobodyMoves(spool.Stats{Counts: spool.Counts{Bundles: 1}}); got != want || err != nil {
			t.Errorf("with a bundle of run %d beside run 5: %v (%v), want %v", run, got, err, want)
		}
	}
}

func (q *queueOnly) Enqueue(_ uint64, _ spool.Reason, _ []uint64, tasks []spool.NewTask) error {
	q.tasks = append(q.tasks, tasks...)
	return nil
}

// TestPagesOfASliceGoBack: the rest of a group and type waits for the next slice after so
// many pages or a quarter of the period; not where its dataset has failed.
func TestPagesOfASliceGoBack(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		pages  int
		age    time.Duration
		failed bool
		back   int
	}{
		{slicePages - 2, 59 * time.Minute, false, 0}, {slicePages - 1, 0, false, 1}, {0, 61 * time.Minute, false, 1}, {slicePages - 1, 0, true, 0},
	} {
		q := &queueOnly{}
		f := &Stage{Deps: Deps{Spool: q, Now: func() time.Time { return now }}, opt: Options{MaxWait: 4 * time.Hour}, stepTasks: tasksStep}
		f.run = &openRun{Run: spool.Run{Reason: spool.ReasonRepull, Created: now.Add(-c.age)}, pages: c.pages}
		v := &verdict{Outcome: spool.Outcome{
			Task: spool.TaskKey{Dataset: spool.IOCs, Kind: spool.TaskPage}, Keep: &spool.TaskState{Cursor: []byte("here")}, Count: map[string]int64{"fetch.pages": 1},
		}}
		if c.failed {
			v.end = &spool.DatasetRun{Status: spool.DatasetFailed}
		}
		if err := f.enqueue(v); err != nil || len(q.tasks) != c.back || (v.Keep == nil) != (c.back > 0) || c.back > 0 && string(q.tasks[0].Cursor) != "here" {
			t.Errorf("%+v: queued %+v, kept %v, error %v", c, q.tasks, v.Keep, err)
		}
	}
}
