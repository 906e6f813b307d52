package deliver_test

import (
	"fmt"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestCrashAnywhere kills the process before and after each commit, call and
// publish of two runs, reopens the spool and lets a new process continue.
func TestCrashAnywhere(t *testing.T) {
	scenario := func(w *pipelinetest.World) {
		w.Run(spool.ReasonSchedule, 11, 3)
		w.Run(spool.ReasonTrigger, 5)
	}
	for _, p := range pipelinetest.Profiles()[2:] {
		t.Run(p.Name, func(t *testing.T) {
			steps := 0
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				scenario(w)
				w.Start()
				w.Drive()
				w.Kill.Mu.Lock()
				steps = w.Kill.Steps
				w.Kill.Mu.Unlock()
			})
			for at := 1; at <= steps; at += pipelinetest.Stride() {
				t.Run(fmt.Sprint(at), func(t *testing.T) {
					pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
						scenario(w)
						w.Kill.At = at
						w.Start()
						<-w.Live.Ended
						w.Restart()
						w.Wait(time.Minute)
						w.Start()
						w.Drive()
						w.CheckAll()
						if n := len(w.Order()); n != 19 {
							t.Errorf("%d objects", n)
						}
					})
				})
			}
		})
	}
}
