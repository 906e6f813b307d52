package deliver_test

import (
	"fmt"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestCrashAnywhere kills the process before and after each commit, call and
// publish of two runs, reopens the spool and lets a new process continue. A kill
// repeats at most a window of messages. A work is unsure afterwards if, and only if,
// something was announced under it and not finished.
func TestCrashAnywhere(t *testing.T) {
	scenario := func(w *pipelinetest.World) {
		w.Run(spool.ReasonSchedule, 7, 3, 4)
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
						stop := w.WorkersRun()
						<-w.Live.Ended
						stop()
						w.Restart()
						killed, err := w.Spool.Runs(0, 2)
						w.Must(err)
						w.Wait(time.Minute)
						w.Start()
						w.Drive()
						w.CheckAll()
						if n := len(w.Order()); n != 19 {
							t.Errorf("%d objects", n)
						}
						sent := 0
						for _, n := range w.Broker.All {
							sent += n
						}
						if sent > 19+8 {
							t.Errorf("%d messages were sent again, want at most a window of 8", sent-19)
						}
						for _, r := range killed {
							if run, _ := w.Spool.Run(r.ID); run.Work.Unsure != (len(r.Work.ToldIn) > 0) {
								t.Errorf("killed with the work %+v: unsure %v", r.Work, run.Work.Unsure)
							}
						}
					})
				})
			}
		})
	}
}
