package deliver_test

import (
	"fmt"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestRaisedLimit: a message that was too large is sent without a restart once the
// operator has raised the broker's limit: at once by a retry, else within the hour.
func TestRaisedLimit(t *testing.T) {
	for _, c := range []struct {
		reason spool.Reason
		after  time.Duration
		sent   bool
	}{
		{spool.ReasonRetry, time.Minute, true},
		{spool.ReasonSchedule, time.Minute, false},
		{spool.ReasonSchedule, time.Hour + time.Minute, true},
	} {
		t.Run(fmt.Sprint(c.reason, c.after), func(t *testing.T) {
			pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
				w.ReportsOK = true
				w.Broker.Limit = 2000
				r := w.OpenRun(spool.ReasonSchedule, 2)
				w.AddBundle(r.ID, 1, 5000)
				w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
				w.Start()
				w.Drive()
				w.Broker.Mu.Lock()
				w.Broker.Limit = 0
				w.Broker.Mu.Unlock()
				w.Wait(c.after)
				r = w.OpenRun(c.reason, 1)
				w.AddBundle(r.ID, 1, 6000)
				w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
				w.Live.Wakes.Deliver.Signal()
				w.Drive()
				want, limit := 3, int64(2000)
				if c.sent {
					want, limit = 4, 0
				}
				if got := len(w.Order()); got != want {
					t.Errorf("got %d messages, want %d", got, want)
				}
				if m, err := w.Spool.Meta(); err != nil || m.Limit.With(0, time.Now()) != limit {
					t.Errorf("the limit %+v is stored, %v; want %d bytes", m.Limit, err, limit)
				}
			})
		})
	}
}

// TestDeadElsewhere: an object that refers to a dead letter is sent if OpenCTI has
// that object from an earlier run or from someone else.
func TestDeadElsewhere(t *testing.T) {
	large, rel := "malware--00000000-0000-4000-8000-900000000002", "relationship--00000000-0000-4000-8000-900000000004"
	small := "malware--00000000-0000-4000-8000-900000000001"
	for _, how := range []string{"earlier version", "on the platform", "later on the platform", "nowhere"} {
		t.Run(how, func(t *testing.T) {
			pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
				w.ReportsOK = true
				w.Broker.Limit = 2000
				w.OpenCTI.Has = map[string]bool{large: how == "on the platform"}
				w.Start()
				want := 2
				if how == "earlier version" {
					w.BundleOf(dependent(large, 10))
					w.Drive()
					want++
				}
				w.BundleOf(dependent(small, 10), dependent(large, 5000), dependent(rel, 10, large, small))
				w.Drive()
				if how == "nowhere" || how == "later on the platform" {
					want--
				}
				if got := len(w.Order()); got != want {
					t.Fatalf("got %d messages, want %d: %v", got, want, w.DeadOf())
				}
				w.OpenCTI.Mu.Lock()
				w.OpenCTI.Has[large] = how == "later on the platform"
				w.OpenCTI.Mu.Unlock()
				w.Wait(11 * time.Minute)
				w.BundleOf(dependent("report--00000000-0000-4000-8000-900000000005", 10, large))
				w.Drive()
				if how != "nowhere" {
					want++
				}
				if got := len(w.Order()); got != want {
					t.Errorf("got %d messages at last, want %d: %v", got, want, w.DeadOf())
				}
			})
		})
	}
}
