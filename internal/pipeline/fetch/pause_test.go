package fetch

import (
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestPausedStageAsksNothing: while an operator's pause holds, not even the control
// request is made; what was under way is kept, and the rest follows afterwards.
func TestPausedStageAsksNothing(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		const items = 23
		src := pipelinetest.NewSource(items)
		r := newRig(t, src, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.Alerts}}})
		var paused atomic.Bool
		paused.Store(true)
		r.fetch.Paused = func() string {
			if paused.Load() {
				return "paused by an operator"
			}
			return ""
		}
		r.Know()
		stop := r.Start()
		time.Sleep(17 * time.Minute)
		if n := src.Total(); n != 0 {
			t.Errorf("got %d requests while paused, want none", n)
		}
		if s := r.Status.Snapshot()[stageName]; s.State != "paused" || s.Detail != "paused by an operator" {
			t.Errorf("got %+v, want paused by an operator", s)
		}
		paused.Store(false)
		time.Sleep(time.Hour)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := r.Arrived(); n != items {
			t.Errorf("got %d items after the pause, want %d", n, items)
		}
	})
}
