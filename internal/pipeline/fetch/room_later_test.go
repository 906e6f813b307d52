package fetch

import (
	"context"
	"sync"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestRoomBehindALaterRun: in a full spool, the bundle of a later run, which is
// sent after the run being fetched, does not keep that one from continuing.
func TestRoomBehindALaterRun(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := &bigSource{Source: pipelinetest.NewSource(30)}
		r := newRig(t, src, rigOptions{maxSize: 2 << 20, fetch: Options{Datasets: []spool.Dataset{spool.Alerts}}})
		r.Know()
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = r.fetch.Run(ctx) })
		wg.Go(func() { _ = r.schedule.Run(ctx) })
		time.Sleep(time.Minute)
		asked := src.Total()
		r.fillWaiting()
		later, err := r.Spool.StartRun(1, time.Now(), spool.RunSpec{Reason: spool.ReasonRetry})
		if err == nil {
			err = r.Spool.CommitMap(1, time.Now(), spool.MapCommit{Run: later.ID, Bundles: []spool.NewBundle{
				{Objects: []spool.BundleObject{{STIX: "malware--00000000-0000-4000-8000-000000000001", JSON: []byte("{}")}}},
			}})
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Status.Set("deliver", "paused", "run 2 waits until run 1 is mapped", "")
		r.Status.Set("map", "idle", "", "")
		time.Sleep(time.Minute)
		if n := src.Total(); n != asked+1 {
			t.Errorf("%d requests into the gap, want one", n-asked)
		}
		cancel(fault.ErrShutdown)
		wg.Wait()
	})
}
