package deliver_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestEveryWaitBeats delays each call out of deliver or the platform loop for
// hours: neither may fall silent, or the probe would have a healthy process killed.
func TestEveryWaitBeats(t *testing.T) {
	const hours = 3 * time.Hour
	for _, call := range []string{"register", "ping", "queue", "add", "search", "work", "alive", "expect", "processed", "report", "delete", "send", "archive"} {
		t.Run(call, func(t *testing.T) {
			pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
				w.Deliver.QueueThreshold = 1
				w.Platform.QueueThreshold = 1
				w.Run(spool.ReasonSchedule, 5)
				switch call {
				case "search":
					w.OpenCTI.Lost["add"] = 1
				case "report": // no message fits
					w.Deliver.MaxMessageSize = 1
					w.ReportsOK = true
				case "send":
					w.Broker.Slow = hours
				case "archive":
					w.Archive = &pipelinetest.Archive{Slow: hours}
				}
				w.OpenCTI.Slow[call] = hours
				w.Start()
				if call == "delete" { // the work of before a reset
					w.Wait(time.Minute)
					w.OpenCTI.PressReset()
				}
				for range 4 * 60 {
					w.Wait(time.Minute)
					for name, s := range w.Live.Status.Snapshot() {
						if silent := time.Since(s.Beat); silent > 2*time.Minute {
							t.Fatalf("%s is silent for %v: %s %s", name, silent, s.State, s.Detail)
						}
					}
				}
				if call != "send" && call != "archive" && !slices.Contains(w.Calls(), call) {
					t.Errorf("got no call %s of OpenCTI", call)
				}
				_ = w.Halt()
			})
		})
	}
}

// TestRegistrationThatNeverComes: deliver waits for it, and beats.
func TestRegistrationThatNeverComes(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Refuse("register", errors.New("down"))
		w.Run(spool.ReasonSchedule, 5)
		w.Start()
		w.Wait(12 * time.Hour)
		for name, s := range w.Live.Status.Snapshot() {
			if silent := time.Since(s.Beat); silent > 2*time.Minute {
				t.Errorf("%s is silent for %v: %s %s", name, silent, s.State, s.Detail)
			}
		}
	})
}
