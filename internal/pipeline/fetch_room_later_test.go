package pipeline

import (
	"context"
	"sync"
	"testing"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/spool"
	"time"
)

// TestRoomBehindALaterRun: in a full spool the bundle of a later run, which
// goes out behind the one that is fetched, does not keep that one from going on.
func TestRoomBehindALaterRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := &bigSource{fakeSource: newFake(30)}
		r := newRig(t, src, rigOptions{maxSize: 2 << 20, fetch: FetchOptions{Datasets: []spool.Dataset{spool.Alerts}}})
		r.know()
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = r.fetch.Run(ctx) })
		wg.Go(func() { _ = r.schedule.Run(ctx) })
		time.Sleep(time.Minute)
		asked := src.total()
		r.fillWaiting()
		later, err := r.spool.StartRun(1, time.Now(), spool.RunSpec{Reason: spool.ReasonRetry})
		if err == nil {
			err = r.spool.CommitMap(1, time.Now(), spool.MapCommit{Run: later.ID, Bundles: []spool.NewBundle{
				{Objects: []spool.BundleObject{{STIX: "malware--00000000-0000-4000-8000-000000000001", JSON: []byte("{}")}}},
			}})
		}
		if err != nil {
			t.Fatal(err)
		}
		r.status.Set("deliver", "paused", "run 2 waits until run 1 is mapped", "")
		r.status.Set("map", "idle", "", "")
		time.Sleep(time.Minute)
		if n := src.total(); n != asked+1 {
			t.Errorf("%d requests into the gap, want one", n-asked)
		}
		cancel(fault.ErrShutdown)
		wg.Wait()
	})
}
