package platform_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/pipeline/platform"
	"threatmatch-connector/spool"
)

const pythonState = `{"last_run": "1999-12-01T00:00:00+00:00"}`

var pythonTime = time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC)

func TestPlatformAdoptsState(t *testing.T) {
	for _, c := range []struct {
		name, state    string
		profiles, iocs time.Time
	}{
		{"none", "null", time.Time{}, time.Time{}},
		{"Python's", pythonState, pythonTime, pythonTime},
		{"old Python's", `{"last_run": 944006400}`, pythonTime, pythonTime},
		{"ours", `{"last_run":"1999-12-01T00:00:00+00:00","datasets":{"iocs":"1999-12-02T00:00:00+00:00"}}`, pythonTime, pythonTime.AddDate(0, 0, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
				w.Hold(c.state)
				w.Refuse("register", errors.New("down"))
				w.Start()
				w.Wait(10 * time.Minute)
				if m, _ := w.Spool.Meta(); m.StateKnown {
					t.Error("the state is known before the platform answered")
				}
				if !strings.Contains(w.NotReady("platform"), "not registered") {
					t.Errorf("not ready: %q", w.NotReady("platform"))
				}
				w.Refuse("register", nil)
				w.Wait(41 * time.Second)
				marks, err := w.Spool.Watermarks()
				w.Must(err)
				if !marks[spool.Profiles].Fetched.Equal(c.profiles) || !marks[spool.IOCs].Confirmed.Equal(c.iocs) {
					t.Errorf("watermarks %+v", marks)
				}
				if m, _ := w.Spool.Meta(); !m.StateKnown || m.Epoch != 1 {
					t.Errorf("meta %+v", m)
				}
				select {
				case <-w.Live.Wakes.Schedule:
				default:
					t.Error("the schedule was not woken")
				}
				if want, got := platform.StateAt(c.state, spool.IOCs), platform.StateAt(w.State(), spool.IOCs); !got.Equal(want) {
					t.Errorf("state %s became %s", c.state, w.State())
				}
				if w.NotReady("platform") != "" {
					t.Errorf("not ready: %s", w.NotReady("platform"))
				}
				for _, line := range []string{"trouble with OpenCTI", "OpenCTI answers again"} {
					if n := w.Logs.Count(line); n != 1 {
						t.Errorf("%q is told %d times, want once", line, n)
					}
				}
			})
		})
	}
}

func TestPlatformPings(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Start()
		w.Soon()
		if n := w.OpenCTI.Count("ping"); n != 1 {
			t.Fatalf("%d pings at once after the registration", n)
		}
		w.Wait(40 * time.Second)
		synctest.Wait()
		if n := w.OpenCTI.Count("ping"); n != 2 {
			t.Fatalf("%d pings after 40 s", n)
		}
		w.Live.Wakes.Platform.Signal()
		w.Soon()
		if n := w.OpenCTI.Count("ping"); n != 3 {
			t.Fatalf("%d pings after a checkpoint", n)
		}
		w.Wait(39 * time.Second)
		if n := w.OpenCTI.Count("ping"); n != 3 {
			t.Fatalf("%d pings: the wait does not start at the latest one", n)
		}
		w.Refuse("ping", errors.New("down"))
		w.Wait(5 * time.Minute)
		if n := w.OpenCTI.Count("ping"); n < 8 || n > 60 {
			t.Errorf("%d pings while the platform is down", n)
		}
		if got := w.NotReady("platform"); !strings.Contains(got, "down") {
			t.Errorf("while the platform is down: not ready: %q", got)
		}
		w.Refuse("ping", nil)
		w.Wait(time.Minute)
		w.Refuse("ping", errors.New("hiccup"))
		w.Live.Wakes.Platform.Signal()
		synctest.Wait()
		if got := w.NotReady("platform"); got != "" {
			t.Errorf("after a single hiccup: not ready: %q", got)
		}
		w.Refuse("ping", fault.Hint(fault.Mark(fault.Systemic, errors.New("AUTH_REQUIRED")), "check the token"))
		w.Wait(time.Minute)
		if got := w.NotReady("platform"); !strings.Contains(got, "AUTH_REQUIRED: check the token") {
			t.Errorf("not ready: %q", got)
		}
		w.Refuse("ping", nil)
		w.Wait(time.Minute)
		if w.NotReady("platform") != "" {
			t.Error("not ready though the platform is back")
		}
	})
}

func TestPlatformSpoolWins(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Delivered()
		ours := w.State()
		_ = w.Halt()
		w.OpenCTI.State = `{"last_run": "2031-01-01T00:00:00+00:00"}`
		w.Start()
		w.Soon()
		if w.State() != ours {
			t.Errorf("state %s, want %s", w.State(), ours)
		}
		if n := w.Logs.Count("written by somebody else"); n != 1 {
			t.Errorf("%d errors about a second writer", n)
		}
		if e := w.Live.Status.Snapshot()["platform"].LastError; !strings.Contains(e, "second writer") {
			t.Errorf("status shows %q", e)
		}
		w.Echo(`{"last_run": "2032-01-01T00:00:00+00:00"}`, `{"last_run": "2032-01-01T00:00:00+00:00"}`)
		w.Wait(5 * time.Minute)
		if n := w.Logs.Count("written by somebody else"); n != 1 {
			t.Errorf("%d errors about a second writer", n)
		}
		if w.Epoch() != 1 {
			t.Error("the spool was reset")
		}
	})
}

func TestPlatformRolledBack(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Hold(pythonState)
		w.Delivered()
		_ = w.Halt()
		w.OpenCTI.State = pythonState
		w.Start()
		w.Soon()
		if w.Logs.Count("repull --from 1999-12-01T00:00:00Z") != 1 || w.Logs.Count("somebody else") != 0 {
			t.Errorf("log:\n%s", w.Logs.Tail(20))
		}
		if w.Epoch() != 1 {
			t.Error("the spool was reset")
		}
	})
}

func TestPlatformIgnoresStaleEchoes(t *testing.T) {
	const adopted = `{"last_run":944006400}`
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.Hold(adopted)
				w.Delivered()
				w.Echo(adopted, pythonState)
				w.Wait(5 * time.Minute)
				if w.EchoesLeft() > 0 || w.Epoch() != 1 || w.Logs.Count("somebody else") > 0 {
					t.Errorf("epoch %d, log:\n%s", w.Epoch(), w.Logs.Tail(20))
				}
			})
		})
	}
}

func TestPlatformLaggingEmptyEcho(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.Delivered()
				for range 3 { // each time an empty echo alone, then the right one
					w.Echo("")
					w.Wait(3 * time.Minute)
				}
				if w.EchoesLeft() > 0 || w.Epoch() != 1 {
					t.Errorf("epoch %d, log:\n%s", w.Epoch(), w.Logs.Tail(20))
				}
			})
		})
	}
}

// TestPlatformFirstEmptyEcho: before a state was once echoed, an empty one means nothing.
func TestPlatformFirstEmptyEcho(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Profiles()[0], func(w *pipelinetest.World) {
		w.Start()
		w.Soon()
		w.Run(spool.ReasonSchedule, 5)
		w.Echo("", "", "", "")
		w.Live.Wakes.Deliver.Signal()
		w.Settle()
		w.Wait(5 * time.Minute)
		if w.EchoesLeft() > 0 || w.Epoch() != 1 {
			t.Errorf("epoch %d, log:\n%s", w.Epoch(), w.Logs.Tail(20))
		}
	})
}

func TestPlatformForgetsConnectorForAMoment(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
			w.Delivered()
			w.Refuse("ping", fmt.Errorf("%w: index behind", opencti.ErrUnknownConnector))
			w.Wait(50 * time.Second)
			w.Refuse("ping", nil)
			w.Wait(2 * time.Minute)
			if w.Epoch() != 1 || w.OpenCTI.Count("register") < 2 {
				t.Errorf("%s: epoch %d, %d registrations", p.Name, w.Epoch(), w.OpenCTI.Count("register"))
			}
		})
	}
}

func TestPlatformFlush(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Start()
		w.Soon()
		w.Live.Deliver.Wakes.Platform = nil // no ping at the checkpoint
		w.Run(spool.ReasonSchedule, 5)
		w.Live.Wakes.Deliver.Signal()
		w.Settle()
		if w.State() != "null" {
			t.Fatalf("state %s", w.State())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		w.Must(w.Live.Platform.Flush(ctx))
		if !strings.Contains(w.State(), "last_run") {
			t.Errorf("state %s after the flush", w.State())
		}
		w.Refuse("ping", errors.New("down"))
		if err := w.Live.Platform.Flush(ctx); err == nil {
			t.Error("no error from a flush that failed")
		}
	})
}

func TestPlatformInfo(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Platform.RunAndTerminate, w.Platform.QueueThreshold = true, 500
		w.OpenCTI.QueueNow = func() opencti.QueueSize { return opencti.QueueSize{Messages: 3, Bytes: 12_500_000} }
		w.Start()
		w.Soon()
		w.Live.Platform.NextRun = func() time.Time { return time.Unix(2, 0) }
		w.Run(spool.ReasonSchedule)
		w.Live.Wakes.Deliver.Signal()
		w.Soon()
		done := time.Now()
		w.Live.Platform.Hold("test", true)
		w.Wait(41 * time.Second)
		want := opencti.ConnectorInfo{RunAndTerminate: true, Buffering: true, QueueThreshold: 500, QueueSize: 12.5, NextRun: time.Unix(2, 0)}
		if w.Info().LastRun.IsZero() || w.Info().LastRun.After(done) {
			t.Errorf("last run %s", w.Info().LastRun)
		}
		want.LastRun = w.Info().LastRun
		if w.Info() != want {
			t.Errorf("info %+v", w.Info())
		}
		w.Refuse("queue", fault.Mark(fault.Systemic, errors.New("FORBIDDEN_ACCESS")))
		before := w.OpenCTI.Count("queue")
		w.Wait(10 * time.Minute)
		if n := w.OpenCTI.Count("queue") - before; n != 1 {
			t.Errorf("asked %d times for what is refused", n)
		}
	})
}

func TestPlatformOffline(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Archive = &pipelinetest.Archive{}
		w.Offline = true
		w.Start()
		w.Soon()
		if m, _ := w.Spool.Meta(); !m.StateKnown {
			t.Error("the state is not known")
		}
		w.Run(spool.ReasonOnce, 5, 6)
		w.Live.Wakes.Deliver.Signal()
		w.Settle()
		if len(w.Archive.Files) != 2 || len(w.OpenCTI.Calls) > 0 {
			t.Errorf("%d files, calls %v", len(w.Archive.Files), w.OpenCTI.Calls)
		}
		w.Must(w.Live.Platform.Flush(context.Background()))
	})
}

// TestPlatformOnlyHarmlessCalls: nothing but these is ever asked of OpenCTI.
func TestPlatformOnlyHarmlessCalls(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Delivered()
		w.OpenCTI.PressReset()
		w.Wait(2 * time.Minute)
		for _, c := range w.Calls() {
			if !slices.Contains([]string{"register", "ping", "queue", "stored", "add", "work", "search", "alive", "expect", "report", "processed", "delete"}, c) {
				t.Errorf("call %s", c)
			}
		}
	})
}
