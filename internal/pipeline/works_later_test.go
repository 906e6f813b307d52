package pipeline

import (
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// TestWorkOfALaterRunWaits: while an older run may still bring bundles, no
// work of a later one is opened: the older one's would be the newer work then,
// and on affected platforms workers drop what is left of the other.
func TestWorkOfALaterRunWaits(t *testing.T) {
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				older := w.openRun(spool.ReasonSchedule) // its objects wait for the platform's answer
				later := w.openRun(spool.ReasonSchedule, 5)
				w.start()
				time.Sleep(time.Minute)
				w.addBundle(older.ID, 3, 100)
				w.must(w.sp.FinishMap(w.epoch(), older.ID, time.Now()))
				w.addBundle(later.ID, 4, 100)
				w.must(w.sp.FinishMap(w.epoch(), later.ID, time.Now()))
				for range 10 {
					w.live.wakes.Deliver.Signal()
					time.Sleep(time.Minute)
					if dropped := w.mq.workOff(1 << 20); dropped > 0 {
						t.Errorf("workers dropped %d messages", dropped)
					}
				}
				w.settle()
				w.checkAll()
			})
		})
	}
}
