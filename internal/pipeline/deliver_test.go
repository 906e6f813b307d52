package pipeline

import (
	"testing"

	"threatmatch-connector/spool"
)

func TestDeliverRun(t *testing.T) {
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				w.run(spool.ReasonSchedule, 30, 12)
				w.start()
				w.settle()
				w.checkAll()
				k := w.lastWork()
				if k.Expected != 42 || !k.Closed || k.inError || k.message != "42 objects sent" {
					t.Errorf("work %+v", k)
				}
				if n := len(w.order()); n != 42 {
					t.Errorf("%d messages", n)
				}
			})
		})
	}
}
