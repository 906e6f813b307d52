package deliver_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestABundleCountsOnce: wherever the process dies, the work is told the actual
// number of objects.
func TestABundleCountsOnce(t *testing.T) {
	const objects = 5
	for at := 1; ; at++ {
		killed := false
		pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
			r := w.Run(spool.ReasonSchedule, objects)
			w.Kill.At = at
			w.Start()
			for range 30 {
				w.Wait(time.Second)
				if run, _ := w.Spool.Run(r.ID); !run.DoneAt.IsZero() {
					break
				}
			}
			select {
			case <-w.Live.Ended:
				killed = true
				w.Restart()
				w.Start()
			default:
			}
			w.Settle()
			if got := w.LastWork().Message; got != fmt.Sprintf("%d objects sent", objects) {
				t.Errorf("killed at step %d: the work is told %q, want %d objects", at, got, objects)
			}
		})
		if !killed {
			if at < 10 {
				t.Errorf("the run needed %d steps only: this shows nothing", at)
			}
			return
		}
	}
}

// TestRetryPassesOnlyWhole: a retry that is not fully mapped may have to wait
// itself, and its work would make the older run wait too.
func TestRetryPassesOnlyWhole(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.OpenRun(spool.ReasonSchedule) // ThreatMatch does not answer it
		w.OpenRun(spool.ReasonRetry, 3)
		w.Start()
		w.Wait(2 * time.Minute)
		if n := len(w.Works()); n != 0 {
			t.Errorf("%d works were opened, want none before the retry is mapped", n)
		}
	})
}

// TestGateLooksAtTheWorkBefore: the previous work is not always that of the
// previous run.
func TestGateLooksAtTheWorkBefore(t *testing.T) {
	for _, p := range pipelinetest.Profiles()[2:4] {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				older := w.OpenRun(spool.ReasonSchedule)
				w.Run(spool.ReasonRetry, 2)
				w.Start()
				w.Wait(time.Minute)
				w.Broker.WorkOff(100)
				w.AddBundle(older.ID, 3, 100)
				w.Must(w.Spool.FinishMap(w.Epoch(), older.ID, time.Now()))
				w.Live.Wakes.Deliver.Signal()
				w.Wait(time.Minute)
				if r, _ := w.Spool.Run(older.ID); r.DoneAt.IsZero() {
					t.Fatalf("the older run is not delivered: %+v", r.Work)
				}
				w.Run(spool.ReasonSchedule, 4)
				w.Live.Wakes.Deliver.Signal()
				w.Wait(time.Minute)
				if n := len(w.Works()); n != 2 {
					t.Errorf("%d works, want the third not before the older run's is worked off", n)
				}
				w.Broker.WorkOff(100)
				w.Wait(time.Minute)
				if n := len(w.Works()); n != 3 {
					t.Errorf("%d works, want a third one", n)
				}
			})
		})
	}
}

// TestRepeatsAreNotTheEnd: if an affected platform were told that everything is
// sent, it could consider a work complete while its last messages are queued, and
// drop those.
func TestRepeatsAreNotTheEnd(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Profiles()[2], func(w *pipelinetest.World) {
		w.Happens(append(make([]pipelinetest.SendEvent, 3), pipelinetest.SendEvent{Kind: delivery.Nacked, Trouble: true, Behind: 2})...)
		r := w.Run(spool.ReasonSchedule, 10)
		w.Start()
		w.Settle()
		if r, _ := w.Spool.Run(r.ID); r.Work.Repeats != 2 || r.Work.Unsure {
			t.Fatalf("got the work %+v, want two messages that surely came twice", r.Work)
		}
		if slices.Contains(w.Calls(), "processed") {
			t.Error("the work is told to be processed")
		}
		if dropped := w.Broker.WorkOff(100); dropped > 0 || !w.LastWork().Complete {
			t.Errorf("workers dropped %d messages, complete %v; want none, and complete", dropped, w.LastWork().Complete)
		}
	})
}

// TestUnknownFateIsKept: it is remembered that messages may be in the queue twice,
// even if the spool could not store that at first.
func TestUnknownFateIsKept(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Profiles()[2], func(w *pipelinetest.World) {
		const began = 4 * time.Second
		start := time.Now()
		w.Full = func(op string) error {
			if d := time.Since(start); op == "work" && d > began && d < 30*time.Second {
				return spool.ErrFull
			}
			return nil
		}
		w.Broker.Slow = time.Second
		w.Happens(append(make([]pipelinetest.SendEvent, 5), pipelinetest.SendEvent{Kind: delivery.ConnectionLost, Trouble: true, Open: 3})...)
		r := w.Run(spool.ReasonSchedule, 10)
		w.Start()
		w.Settle()
		if r, _ := w.Spool.Run(r.ID); !r.Work.Unsure {
			t.Errorf("got the work %+v, want it unsure", r.Work)
		}
	})
}

// TestDeadLettersAfterAReset: an object that refers to a dead letter from before a
// reset is still not sent before it, and is sent at once after it.
func TestDeadLettersAfterAReset(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		const large, report, again = "malware--00000000-0000-4000-8000-900000000001", "report--00000000-0000-4000-8000-900000000002", "report--00000000-0000-4000-8000-900000000003"
		w.ReportsOK, w.Broker.Limit = true, 2000
		w.BundleOf(dependent(large, 5000))
		w.Start()
		w.Settle()
		w.Wait(time.Minute)
		w.OpenCTI.PressReset()
		w.Wait(2 * time.Minute)
		w.Broker.Limit = 0
		w.BundleOf(dependent(report, 10, large))
		w.Live.Wakes.Deliver.Signal()
		w.Settle()
		w.Wait(time.Hour) // for so long the broker's limit is remembered
		for _, bundle := range [][]spool.BundleObject{{dependent(report, 11, large)}, {dependent(large, 5000), dependent(again, 10, large)}} {
			w.BundleOf(bundle...)
			w.Live.Wakes.Deliver.Signal()
			w.Settle()
		}
		if got, want := w.Order(), []string{large, again}; !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
	})
}
