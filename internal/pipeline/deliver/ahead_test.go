package deliver_test

import (
	"fmt"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestToldAhead: one announcement covers all bundles that are in the spool, and what
// comes later has its own. The work does not look complete in between, although its
// workers are slow.
func TestToldAhead(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				r := w.OpenRun(spool.ReasonSchedule, 10, 10, 10)
				w.Broker.Slow = 100 * time.Millisecond
				w.Start()
				stop := w.WorkersRun()
				w.Wait(time.Second)
				if k := w.LastWork(); k.Expected != 30 || k.Complete {
					t.Errorf("%d messages are expected, complete %v; want 30 before the second bundle begins", k.Expected, k.Complete)
				}
				w.AddBundle(r.ID, 5, 100)
				w.AddBundle(r.ID, 5, 100)
				w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
				w.Live.Wakes.Deliver.Signal()
				w.Settle()
				stop()
				w.CheckAll()
				if told, read := w.OpenCTI.Count("expect"), w.OpenCTI.Count("work"); told != 2 || read > 4 {
					t.Errorf("told in %d calls, and read %d times; want two, and at most four", told, read)
				}
				if run, _ := w.Spool.Run(r.ID); run.Work.Ahead != 0 || len(run.Work.ToldIn) != 0 || run.Work.Unsure {
					t.Errorf("the run ends with the work %+v", run.Work)
				}
			})
		})
	}
}

// TestSameIndexSkippedTwice: messages of the same index become dead letters in two
// bundles that were announced together. Each is settled, once unless the process
// dies at that moment, and the work completes with its last report.
func TestSameIndexSkippedTwice(t *testing.T) {
	steps, twice := 0, 0
	for at := 0; at <= steps; at += pipelinetest.Stride() {
		pipelinetest.InWorld(t, pipelinetest.Profiles()[2], func(w *pipelinetest.World) {
			w.ReportsOK, w.Broker.Limit = true, 2000
			r := w.OpenRun(spool.ReasonSchedule)
			for range 3 {
				w.Add(r.ID, 100, 5000, 100)
			}
			w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
			w.Kill.At = at
			w.Start()
			if at > 0 {
				<-w.Live.Ended
				w.Restart()
				w.Start()
			}
			w.Drive()
			if at == 0 {
				steps = w.Kill.Steps
			}
			if dropped := w.Broker.WorkOff(100); dropped > 0 {
				t.Errorf("killed at step %d: workers dropped %d messages", at, dropped)
			}
			k := w.LastWork()
			again := len(k.Reports) - 3
			twice += again
			if again < 0 || again > 1 || at == 0 && again > 0 || k.Expected < 9 || k.Processed < k.Expected || !k.Complete {
				t.Errorf("killed at step %d: %d settled, work %+v", at, len(k.Reports), k.Work)
			}
		})
	}
	if steps < 40 {
		t.Errorf("the run needed %d steps only: this shows nothing", steps)
	}
	if twice > 3*2 { // it dies before it learns of the report, or before that is stored
		t.Errorf("%d of %d kills settled a message twice, want two for each dead letter", twice, steps)
	}
}

// TestStoppedInOrderAnywhere: a clean stop in a range that was announced, also
// between its bundles, leaves nothing in doubt and repeats nothing.
func TestStoppedInOrderAnywhere(t *testing.T) {
	for at := 1; ; at += pipelinetest.Stride() {
		over := false
		pipelinetest.InWorld(t, pipelinetest.Profiles()[2], func(w *pipelinetest.World) {
			w.Start()
			w.Soon()
			w.Kill.Disturb(at, func(bool) error { w.Live.Stop(); return nil })
			r := w.Run(spool.ReasonSchedule, 4, 3, 4)
			w.Live.Wakes.Deliver.Signal()
			w.Wait(5 * time.Minute)
			over = !w.Kill.Disturbed()
			w.Must(w.Halt())
			w.Start()
			w.Drive()
			w.CheckAll()
			for id, n := range w.Broker.All {
				if n != 1 {
					t.Errorf("stopped at step %d: %s went out %d times", at, id, n)
				}
			}
			if run, _ := w.Spool.Run(r.ID); run.Work.Unsure {
				t.Errorf("stopped at step %d: the work is unsure: %+v", at, run.Work)
			}
		})
		if over {
			if at < 30 {
				t.Errorf("the run needed %d steps only: this shows nothing", at)
			}
			return
		}
	}
}

// TestToldButNeverSent: a bundle that was announced is lost to damage. What it would
// have brought is settled, otherwise the work would stay in progress forever.
func TestToldButNeverSent(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.ReportsOK = true
				w.Broker.Slow = time.Second
				r := w.Run(spool.ReasonSchedule, 6, 5)
				w.Start()
				w.Wait(3 * time.Second)
				run, err := w.Spool.Run(r.ID)
				w.Must(err)
				last := run.Work.ToldIn[0].Through
				w.Must(w.Spool.SaveCursor(w.Epoch(), r.ID, last.Bundle, last.Index))
				w.Must(w.Spool.EndBundle(w.Epoch(), r.ID, last.Bundle, run.Work, nil))
				w.Settle()
				w.Broker.WorkOff(100)
				w.CheckWorks()
				if k := w.LastWork(); k.Expected != 11 || len(k.Reports) != 5 || k.Closed == p.Affected {
					t.Errorf("%d expected, %d of them settled, closed %v; want 11 and 5, closed where that drops nothing", k.Expected, len(k.Reports), k.Closed)
				}
			})
		})
	}
}

// TestTellOfUnknownFate: the answer to an announcement of three bundles is lost, with
// or without its effect, and the process dies.
func TestTellOfUnknownFate(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		for _, took := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/took effect %v", p.Name, took), func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
					r := w.Run(spool.ReasonSchedule, 5, 5, 5)
					if took {
						w.OpenCTI.Lost["expect"] = 1
					} else {
						w.Refuse("expect", fmt.Errorf("502"))
					}
					w.Start()
					w.Wait(time.Second)
					if run, _ := w.Spool.Run(r.ID); run.Work.Intent == nil || run.Work.Intent.N != 15 {
						t.Fatalf("the intention is not stored: %+v", run.Work)
					}
					w.Restart()
					w.Refuse("expect", nil)
					w.Start()
					w.Drive()
					w.CheckAll()
					if k := w.LastWork(); k.Expected != 15 {
						t.Errorf("%d messages are expected, want 15", k.Expected)
					}
				})
			})
		}
	}
}
