package fetch

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
)

// TestStuckDatasetIsNotReady: a dataset that fails in three runs in a row,
// whichever of its requests fails, makes the stage not ready, before and after a
// restart, until a run completes it or the state is reset. Two failures do not, nor
// do three that are not in a row.
func TestStuckDatasetIsNotReady(t *testing.T) {
	const period = 61 * time.Minute
	for _, tt := range []struct{ call, dataset string }{
		{"list profiles", "profiles"},
		{"groups", "iocs"},
		{"page", "iocs"},
	} {
		t.Run(tt.call, func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) {
				dir := t.TempDir()
				src := pipelinetest.NewSource(10)
				begin := func() (*rig, func() error) {
					o := rigOptions{dir: dir}
					o.schedule.Period = period
					r := newRig(t, src, o)
					r.Know()
					return r, r.Start()
				}
				refuse := pipelinetest.FailWith(403, tt.call)
				r, stop := begin()
				after := func(run uint64, want string) {
					t.Helper()
					time.Sleep(time.Second)
					synctest.Wait()
					for range 100 {
						if last := r.LastRun(); last.ID > run || last.ID == run && !last.FetchedAt.IsZero() {
							break
						}
						time.Sleep(period / 10)
						synctest.Wait()
					}
					time.Sleep(time.Second)
					synctest.Wait()
					last, got := r.LastRun(), r.Status.Snapshot()[stageName].NotReady
					if last.ID != run || (got == "") != (want == "") || !strings.Contains(got, want) {
						t.Fatalf("after run %d: not ready for %q, want %q after run %d", last.ID, got, want, run)
					}
				}
				stuck := tt.dataset + " failed in the last 3 runs"
				src.SetFail(refuse)
				after(1, "")
				after(2, "")
				src.SetFail(nil)
				after(3, "") // ends the row
				src.SetFail(refuse)
				after(4, "")
				after(5, "")
				after(6, stuck)
				slow := func(d time.Duration) {
					src.Mu.Lock()
					src.Delay = d
					src.Mu.Unlock()
				}
				slow(time.Minute)
				if _, _, err := r.schedule.Trigger(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if err := stop(); err != nil { // in the middle of run 7
					t.Fatal(err)
				}
				if err := r.Spool.Close(); err != nil {
					t.Fatal(err)
				}
				r, stop = begin()
				time.Sleep(time.Second)
				synctest.Wait()
				if got := r.Status.Snapshot()[stageName].NotReady; !strings.Contains(got, stuck) {
					t.Errorf("not ready for %q after a restart, want %q", got, stuck)
				}
				slow(0)
				src.SetFail(nil)
				after(7, "")
				src.SetFail(refuse)
				after(8, "")
				after(9, "")
				after(10, stuck)
				if _, _, err := r.Spool.Reset(time.Now()); err != nil {
					t.Fatal(err)
				}
				r.Know()
				r.Wakes.Fetch.Signal()
				time.Sleep(time.Second)
				synctest.Wait()
				if got := r.Status.Snapshot()[stageName].NotReady; got != "" {
					t.Errorf("not ready after a reset: %q", got)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
