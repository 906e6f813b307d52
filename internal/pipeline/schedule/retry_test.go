package schedule

import (
	"fmt"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// letters stores n dead letters of items in the spool, in a finished run, and
// returns their keys.
func (r *rig) letters(n int) []uint64 {
	r.T.Helper()
	now := time.Now()
	run, err := r.Spool.StartRun(1, now, spool.RunSpec{Reason: spool.ReasonRepull, Datasets: map[spool.Dataset]time.Time{spool.Alerts: now}})
	var c spool.MapCommit
	for i := range n {
		c.Dead = append(c.Dead, spool.DeadLetter{
			Stage: spool.StageFetch, Run: run.ID, Class: "x", Error: "x", Dataset: spool.Alerts, Source: fmt.Sprint("lost", i),
		})
	}
	c.Run = run.ID
	for _, step := range []func() error{
		func() error { return err },
		func() error { return r.Spool.CommitMap(1, now, c) },
		func() error { return r.Spool.FinishFetch(1, run.ID, now) },
		func() error { return r.Spool.FinishMap(1, run.ID, now) },
		func() error { return r.Spool.FinishRun(1, run.ID, now) },
	} {
		if err := step(); err != nil {
			r.T.Fatal(err)
		}
	}
	dead, err := r.Spool.DeadLetters(0, n+1)
	if err != nil || len(dead) != n {
		r.T.Fatalf("got %d letters, %v; want %d", len(dead), err, n)
	}
	keys := make([]uint64, n)
	for i, d := range dead {
		keys[i] = d.Key
	}
	return keys
}

const manyLetters = 1200 // three slices of the greatest size

// allCame fails unless every letter was healed by its item.
func (r *rig) allCame() {
	r.T.Helper()
	came := 0
	for i := range manyLetters {
		came += min(r.Records(fmt.Sprint("alerts/lost", i)), 1)
	}
	s := r.Stats()
	if came != manyLetters || s.Queued != 0 || s.Dead != 0 {
		r.T.Errorf("got %d items, %d left in the queue, %d open letters; want %d, 0, 0", came, s.Queued, s.Dead, manyLetters)
	}
	r.CheckSpool()
}

// TestRetryOfManyLettersComesWhole: a retry continues slice by slice, and a run
// that falls due meanwhile comes between two of them.
func TestRetryOfManyLettersComesWhole(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(1)
		r := newRig(t, src, rigOptions{schedule: Options{Period: 61 * time.Minute}})
		r.Know()
		keys := r.letters(manyLetters)
		stop := r.Start()
		time.Sleep(time.Minute)
		src.Mu.Lock()
		src.Delay = 17 * time.Second // a slice takes half an hour
		src.Mu.Unlock()
		first, err := r.schedule.Retry(keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.allCame()
		var before, between, slices int
		for _, run := range runsOf(t, r) { // newest first
			switch {
			case run.ID < first.ID:
				before++
			case run.Reason == spool.ReasonRetry:
				slices++
			case run.Reason == spool.ReasonSchedule && slices > 0:
				between++
			}
		}
		const sized = 5 // of 500 in half an hour, then what a quarter of the period takes: 215, 215, 215 and the rest
		if slices != sized || between == 0 {
			t.Errorf("got %d slices with %d due runs before the last of them, want %d with at least 1", slices, between, sized)
		}
	})
}

// TestRetryOfAStoppedDaemonComesWhole: what was retried while nothing ran is
// fetched by the next start, even for a single run.
func TestRetryOfAStoppedDaemonComesWhole(t *testing.T) {
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprint("once ", once), func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) {
				o := rigOptions{dir: t.TempDir()}
				r := newRig(t, pipelinetest.NewSource(1), o)
				r.Know()
				if _, err := r.Spool.Retry(1, time.Now(), r.letters(manyLetters), nil); err != nil {
					t.Fatal(err)
				}
				r.Spool.Close()
				r = newRig(t, pipelinetest.NewSource(1), o)
				if once {
					if run := r.once(); run.Reason != spool.ReasonOnce || run.DoneAt.IsZero() {
						t.Errorf("the last run is %+v, want one of reason once that is done", run)
					}
				} else {
					stop := r.Start()
					time.Sleep(time.Hour)
					if err := stop(); err != nil {
						t.Error(err)
					}
				}
				r.allCame()
			})
		})
	}
}
