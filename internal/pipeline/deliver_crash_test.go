package pipeline

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/spool"
)

// TestCrashAnywhere kills the process before and after each commit, call and
// publish of two runs, opens the spool again and lets a new process go on.
func TestCrashAnywhere(t *testing.T) {
	scenario := func(w *world) {
		w.run(spool.ReasonSchedule, 11, 3)
		w.run(spool.ReasonTrigger, 5)
	}
	for _, p := range profiles()[2:] {
		t.Run(p.name, func(t *testing.T) {
			steps := 0
			inWorld(t, p, func(w *world) {
				scenario(w)
				w.start()
				w.drive()
				w.kill.mu.Lock()
				steps = w.kill.steps
				w.kill.mu.Unlock()
			})
			for at := 1; at <= steps; at++ {
				t.Run(fmt.Sprint(at), func(t *testing.T) {
					inWorld(t, p, func(w *world) {
						scenario(w)
						w.kill.at = at
						w.start()
						<-w.live.ended
						w.reborn()
						time.Sleep(time.Minute)
						w.start()
						w.drive()
						w.checkAll()
						if n := len(w.order()); n != 19 {
							t.Errorf("%d objects", n)
						}
					})
				})
			}
		})
	}
}

// drive settles while workers work off the queue now and then.
func (w *world) drive() {
	w.t.Helper()
	w.cti.do(func() {
		w.cti.delay = func() { time.Sleep(time.Duration(w.mq.some(200)) * time.Millisecond) }
	})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
				if w.mq.workOff(w.mq.some(5)) > 0 {
					w.fail("workers dropped messages")
				}
			}
		}
	}()
	w.settle()
	close(stop)
	<-done
	synctest.Wait()
}
