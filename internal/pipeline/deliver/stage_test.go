package deliver_test

import (
	"testing"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

func TestDeliverRun(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.Run(spool.ReasonSchedule, 30, 12)
				w.Start()
				w.Settle()
				w.CheckAll()
				k := w.LastWork()
				if k.Expected != 42 || !k.Closed || k.InError || k.Message != "42 objects sent" {
					t.Errorf("work %+v", k)
				}
				if n := len(w.Order()); n != 42 {
					t.Errorf("%d messages", n)
				}
			})
		})
	}
}
