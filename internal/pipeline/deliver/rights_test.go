package deliver_test

import (
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestMissingRights: whatever the users may not see, on each version and however
// the work of a run ends, the next run is delivered, and the missing right is
// logged once.
func TestMissingRights(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		for _, missing := range []string{"works and queue size", "queue depth", "both"} {
			for _, outcome := range []string{"complete", "gone", "purged"} {
				t.Run(p.Name+"/"+missing+"/"+outcome, func(t *testing.T) {
					pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
						w.OpenCTI.NoModules = missing != "queue depth"
						w.Broker.NoDepth = missing != "works and queue size"
						w.Run(spool.ReasonSchedule, 5, 3)
						w.Start()
						w.Wait(time.Minute + 871*time.Millisecond)
						switch outcome {
						case "complete":
							w.Broker.WorkOff(100)
						case "gone":
							w.OpenCTI.DeleteWorks()
							w.Broker.Purge()
						case "purged":
							w.Broker.Purge()
						}
						w.Run(spool.ReasonTrigger, 4)
						w.Live.Wakes.Deliver.Signal()
						w.Wait(5 * time.Minute)
						if got := len(w.Order()); got != 12 {
							t.Errorf("got %d messages, want 12\n%s", got, w.Logs.Tail(20))
						}
						for _, line := range []string{"may not read works", "does not tell how many"} {
							if n := w.Logs.Count(line); n > 1 {
								t.Errorf("%q is told %d times", line, n)
							}
						}
						if p.Affected && w.Logs.Count("may not read works")+w.Logs.Count("does not tell how many") == 0 && outcome == "purged" {
							t.Error("nothing is told of the missing right")
						}
					})
				})
			}
		}
	}
}
