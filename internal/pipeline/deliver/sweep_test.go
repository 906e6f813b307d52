package deliver_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// disturbance is something that happens during a call of a loop.
type disturbance struct {
	name string
	do   func(w *pipelinetest.World, slow bool) error // an error is the call's answer; not slow: a commit, during which no other loop goes on
}

func disturbances() []disturbance {
	look := func(w *pipelinetest.World, slow bool) {
		w.Live.Wakes.Platform.Signal()
		if slow {
			time.Sleep(7 * time.Second) // the platform loop pings, and resets the spool
		}
	}
	reset := func(w *pipelinetest.World, slow bool) { w.OpenCTI.PressReset(); look(w, slow) }
	return []disturbance{
		{"reset", func(w *pipelinetest.World, slow bool) error { reset(w, slow); return nil }},
		{"two resets", func(w *pipelinetest.World, slow bool) error { reset(w, slow); reset(w, slow); return nil }},
		{"connector deleted", func(w *pipelinetest.World, slow bool) error {
			w.OpenCTI.DeleteConnector()
			look(w, slow)
			return nil
		}},
		{"work deleted", func(w *pipelinetest.World, slow bool) error { w.OpenCTI.DeleteWorks(); return nil }},
		{"error", func(*pipelinetest.World, bool) error { return fault.Mark(fault.Transient, errors.New("broken off")) }},
		{"cancel", func(w *pipelinetest.World, slow bool) error { w.Live.Stop(); return nil }},
	}
}

// TestDisturbedAtEachCall disturbs each call of deliver and the platform loop to
// OpenCTI, the broker and the spool, one at a time. Afterwards a new import arrives
// completely, no loop runs without waiting, and no work stays open. It tests one
// call in three, or all with SWEEP=all.
func TestDisturbedAtEachCall(t *testing.T) {
	for _, p := range []pipelinetest.Profile{pipelinetest.Profiles()[2], pipelinetest.Newest()} {
		for j, what := range disturbances() {
			first, step := 1+j%3, 3*pipelinetest.Stride()
			if os.Getenv("SWEEP") == "all" {
				first, step = 1, 1
			}
			t.Run(p.Name+"/"+what.name, func(t *testing.T) {
				for at := first; ; at += step {
					over := false
					t.Run(fmt.Sprint(at), func(t *testing.T) {
						pipelinetest.InWorld(t, p, func(w *pipelinetest.World) { over = disturbed(w, what, at) })
					})
					if over || t.Failed() {
						break
					}
				}
			})
		}
	}
}

// disturbed disturbs call number at of an import, and reports whether there were
// fewer calls.
func disturbed(w *pipelinetest.World, what disturbance, at int) bool {
	w.Deliver.QueueThreshold = 1 // the size of the queue is asked, too
	w.Delivered()
	workers := make(chan struct{})
	defer close(workers)
	go func() { // they drop what belongs to deleted works
		for {
			select {
			case <-workers:
				return
			case <-time.After(time.Second):
				w.Broker.WorkOff(3)
			}
		}
	}()
	w.ReportsOK = true
	w.Kill.Disturb(at, func(slow bool) error { return what.do(w, slow) })
	w.Run(spool.ReasonSchedule, 11, 3)
	w.Live.Wakes.Deliver.Signal()
	w.Live.Wakes.Platform.Signal()
	w.Wait(2 * time.Minute)
	happened := w.Kill.Disturbed()
	if what.name == "cancel" && happened {
		<-w.Live.Ended
		_ = w.Halt()
		w.Start()
	}
	turns := w.Kill.Turns()
	w.Wait(5 * time.Minute)
	if n := w.Kill.Turns() - turns; n > 200 {
		w.Fail("%d turns in five minutes", n)
	}
	before := len(w.Order())
	w.Run(spool.ReasonSchedule, 4)
	w.Live.Wakes.Deliver.Signal()
	w.Settle()
	if n := len(w.Order()) - before; n < 4 {
		w.Fail("%d of 4 messages of the next import arrived\n%s", n, w.Logs.Tail(40))
	}
	w.Wait(15 * time.Minute)
	synctest.Wait()
	for _, k := range w.Works() {
		if !k.Deleted && !k.Complete {
			w.Fail("work %q is left: %+v\n%s", k.Name, k.Work, w.Logs.Tail(60))
		}
	}
	return !happened
}
