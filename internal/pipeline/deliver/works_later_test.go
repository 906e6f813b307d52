package deliver_test

import (
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestWorkOfALaterRunWaits: while an older run may still bring bundles, no
// work of a later one is opened: the older one's would be the newer work then,
// and on affected platforms workers drop what is left of the other.
func TestWorkOfALaterRunWaits(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				older := w.OpenRun(spool.ReasonSchedule) // its objects wait for the platform's answer
				later := w.OpenRun(spool.ReasonSchedule, 5)
				w.Start()
				time.Sleep(time.Minute)
				w.AddBundle(older.ID, 3, 100)
				w.Must(w.Spool.FinishMap(w.Epoch(), older.ID, time.Now()))
				w.AddBundle(later.ID, 4, 100)
				w.Must(w.Spool.FinishMap(w.Epoch(), later.ID, time.Now()))
				for range 10 {
					w.Live.Wakes.Deliver.Signal()
					time.Sleep(time.Minute)
					if dropped := w.Broker.WorkOff(1 << 20); dropped > 0 {
						t.Errorf("workers dropped %d messages", dropped)
					}
				}
				w.Settle()
				w.CheckAll()
			})
		})
	}
}
