package pipeline

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
	"threatmatch-connector/spool"
)

const pythonState = `{"last_run": "1999-12-01T00:00:00+00:00"}`

var pythonTime = time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC)

// soon lets the loops do what they do at once.
func (w *world) soon() {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

func (w *world) state() string {
	w.cti.mu.Lock()
	defer w.cti.mu.Unlock()
	return w.cti.state
}

// give makes the platform hold a state of before.
func (w *world) give(state string) {
	w.cti.known, w.cti.state, w.cti.resetAt = true, state, time.Now().Add(-time.Hour)
}

func (w *world) notReady(stage string) string { return w.live.status.Snapshot()[stage].NotReady }

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
			inWorld(t, newest(), func(w *world) {
				w.give(c.state)
				w.refuse("register", errors.New("down"))
				w.start()
				time.Sleep(10 * time.Minute)
				if m, _ := w.sp.Meta(); m.StateKnown {
					t.Error("the state is known before the platform answered")
				}
				if !strings.Contains(w.notReady(stagePlatform), "not registered") {
					t.Errorf("not ready: %q", w.notReady(stagePlatform))
				}
				w.refuse("register", nil)
				time.Sleep(41 * time.Second)
				marks, err := w.sp.Watermarks()
				w.must(err)
				if !marks[spool.Profiles].Fetched.Equal(c.profiles) || !marks[spool.IOCs].Confirmed.Equal(c.iocs) {
					t.Errorf("watermarks %+v", marks)
				}
				if m, _ := w.sp.Meta(); !m.StateKnown || m.Epoch != 1 {
					t.Errorf("meta %+v", m)
				}
				select {
				case <-w.live.wakes.Schedule:
				default:
					t.Error("the schedule was not woken")
				}
				want, _ := parseState(c.state)
				if got, _ := parseState(w.state()); !got.at(spool.IOCs).Equal(want.at(spool.IOCs)) {
					t.Errorf("state %s became %s", c.state, w.state())
				}
				if w.notReady(stagePlatform) != "" {
					t.Errorf("not ready: %s", w.notReady(stagePlatform))
				}
			})
		})
	}
}

func TestPlatformPings(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.start()
		w.soon()
		if n := w.cti.count("ping"); n != 1 {
			t.Fatalf("%d pings at once after the registration", n)
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if n := w.cti.count("ping"); n != 2 {
			t.Fatalf("%d pings after 40 s", n)
		}
		w.live.wakes.Platform.Signal()
		w.soon()
		if n := w.cti.count("ping"); n != 3 {
			t.Fatalf("%d pings after a checkpoint", n)
		}
		time.Sleep(39 * time.Second)
		if n := w.cti.count("ping"); n != 3 {
			t.Fatalf("%d pings: the wait does not start at the latest one", n)
		}
		w.refuse("ping", errors.New("down"))
		time.Sleep(5 * time.Minute)
		if n := w.cti.count("ping"); n < 8 || n > 60 {
			t.Errorf("%d pings while the platform is down", n)
		}
		if got := w.notReady(stagePlatform); !strings.Contains(got, "down") {
			t.Errorf("while the platform is down: not ready: %q", got)
		}
		w.refuse("ping", nil)
		time.Sleep(time.Minute)
		w.refuse("ping", errors.New("hiccup"))
		w.live.wakes.Platform.Signal()
		synctest.Wait()
		if got := w.notReady(stagePlatform); got != "" {
			t.Errorf("after a single hiccup: not ready: %q", got)
		}
		w.refuse("ping", fault.Hint(fault.Mark(fault.Systemic, errors.New("AUTH_REQUIRED")), "check the token"))
		time.Sleep(time.Minute)
		if got := w.notReady(stagePlatform); !strings.Contains(got, "AUTH_REQUIRED (check the token)") {
			t.Errorf("not ready: %q", got)
		}
		w.refuse("ping", nil)
		time.Sleep(time.Minute)
		if w.notReady(stagePlatform) != "" {
			t.Error("not ready though the platform is back")
		}
	})
}

func (w *world) errOf(_ bool, err error) error { return err }

// delivered brings one run to its end and lets the platform echo its state.
func (w *world) delivered() {
	w.t.Helper()
	w.start()
	w.soon()
	w.run(spool.ReasonSchedule, 5)
	w.live.wakes.Deliver.Signal()
	w.settle()
	if w.state() == "null" {
		w.t.Fatal("no state after a run")
	}
}

func TestPlatformSpoolWins(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.delivered()
		ours := w.state()
		_ = w.halt()
		w.cti.state = `{"last_run": "2031-01-01T00:00:00+00:00"}`
		w.start()
		w.soon()
		if w.state() != ours {
			t.Errorf("state %s, want %s", w.state(), ours)
		}
		if n := w.logs.count("written by somebody else"); n != 1 {
			t.Errorf("%d errors about a second writer", n)
		}
		if e := w.live.status.Snapshot()[stagePlatform].LastError; !strings.Contains(e, "second writer") {
			t.Errorf("status shows %q", e)
		}
		w.echo(`{"last_run": "2032-01-01T00:00:00+00:00"}`, `{"last_run": "2032-01-01T00:00:00+00:00"}`)
		time.Sleep(5 * time.Minute)
		if n := w.logs.count("written by somebody else"); n != 1 {
			t.Errorf("%d errors about a second writer", n)
		}
		if w.epoch() != 1 {
			t.Error("the spool was reset")
		}
	})
}

func TestPlatformRolledBack(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.give(pythonState)
		w.delivered()
		_ = w.halt()
		w.cti.state = pythonState
		w.start()
		w.soon()
		if w.logs.count("repull --from 1999-12-01T00:00:00Z") != 1 || w.logs.count("somebody else") != 0 {
			t.Errorf("log:\n%s", w.logs.tail(20))
		}
		if w.epoch() != 1 {
			t.Error("the spool was reset")
		}
	})
}

func TestPlatformIgnoresStaleEchoes(t *testing.T) {
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				w.give(pythonState)
				w.delivered()
				w.echo(pythonState, `{"last_run":"1999-12-01T00:00:00+00:00"}`)
				time.Sleep(5 * time.Minute)
				if w.echoesLeft() > 0 || w.epoch() != 1 || w.logs.count("somebody else") > 0 {
					t.Errorf("epoch %d, log:\n%s", w.epoch(), w.logs.tail(20))
				}
			})
		})
	}
}

func TestPlatformLaggingEmptyEcho(t *testing.T) {
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				w.delivered()
				for range 3 { // each time an empty echo alone, then the right one
					w.echo("")
					time.Sleep(3 * time.Minute)
				}
				if w.echoesLeft() > 0 || w.epoch() != 1 {
					t.Errorf("epoch %d, log:\n%s", w.epoch(), w.logs.tail(20))
				}
			})
		})
	}
}

// TestPlatformFirstEmptyEcho: before a state was once echoed, an empty one means nothing.
func TestPlatformFirstEmptyEcho(t *testing.T) {
	inWorld(t, profiles()[0], func(w *world) {
		w.start()
		w.soon()
		w.run(spool.ReasonSchedule, 5)
		w.echo("", "", "", "")
		w.live.wakes.Deliver.Signal()
		w.settle()
		time.Sleep(5 * time.Minute)
		if w.echoesLeft() > 0 || w.epoch() != 1 {
			t.Errorf("epoch %d, log:\n%s", w.epoch(), w.logs.tail(20))
		}
	})
}

func TestPlatformForgetsConnectorForAMoment(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.delivered()
		w.refuse("ping", fmt.Errorf("%w: index behind", opencti.ErrUnknownConnector))
		time.Sleep(50 * time.Second)
		w.refuse("ping", nil)
		time.Sleep(2 * time.Minute)
		if w.epoch() != 1 || w.cti.count("register") < 2 {
			t.Errorf("epoch %d, %d registrations", w.epoch(), w.cti.count("register"))
		}
	})
}

func TestPlatformFlush(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.popt.Period = time.Hour
		w.start()
		w.soon()
		w.live.deliver.Wakes.Platform = nil // no ping at the checkpoint
		w.run(spool.ReasonSchedule, 5)
		w.live.wakes.Deliver.Signal()
		w.settle()
		if w.state() != "null" {
			t.Fatalf("state %s", w.state())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		w.must(w.live.platform.Flush(ctx))
		if !strings.Contains(w.state(), "last_run") {
			t.Errorf("state %s after the flush", w.state())
		}
		w.refuse("ping", errors.New("down"))
		if err := w.live.platform.Flush(ctx); err == nil {
			t.Error("no error from a flush that failed")
		}
	})
}

func TestPlatformInfo(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.popt.RunAndTerminate, w.popt.QueueThreshold = true, 500
		w.cti.queue = func() opencti.QueueSize { return opencti.QueueSize{Messages: 3, Bytes: 12_500_000} }
		w.start()
		w.soon()
		w.live.platform.NextRun = func() time.Time { return time.Unix(2, 0) }
		w.run(spool.ReasonSchedule)
		w.live.wakes.Deliver.Signal()
		w.soon()
		done := time.Now()
		w.live.platform.HoldBlocked(true)
		time.Sleep(41 * time.Second)
		want := opencti.ConnectorInfo{RunAndTerminate: true, Buffering: true, QueueThreshold: 500, QueueSize: 12.5, NextRun: time.Unix(2, 0)}
		if w.info().LastRun.IsZero() || w.info().LastRun.After(done) {
			t.Errorf("last run %s", w.info().LastRun)
		}
		want.LastRun = w.info().LastRun
		if w.info() != want {
			t.Errorf("info %+v", w.info())
		}
		w.refuse("queue", fault.Mark(fault.Systemic, errors.New("FORBIDDEN_ACCESS")))
		before := w.cti.count("queue")
		time.Sleep(10 * time.Minute)
		if n := w.cti.count("queue") - before; n != 1 {
			t.Errorf("asked %d times for what is refused", n)
		}
	})
}

func TestPlatformOffline(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.dirs = &fakeArchive{}
		w.offline = true
		w.start()
		w.soon()
		if m, _ := w.sp.Meta(); !m.StateKnown {
			t.Error("the state is not known")
		}
		w.run(spool.ReasonOnce, 5, 6)
		w.live.wakes.Deliver.Signal()
		w.settle()
		if len(w.dirs.files) != 2 || len(w.cti.calls) > 0 {
			t.Errorf("%d files, calls %v", len(w.dirs.files), w.cti.calls)
		}
		w.must(w.live.platform.Flush(context.Background()))
	})
}

func TestPlatformNeedsItsParts(t *testing.T) {
	if _, err := NewPlatform(PlatformDeps{}, PlatformOptions{}); !fault.Is(err, fault.Fatal) {
		t.Errorf("error %v", err)
	}
	if _, err := NewDeliver(DeliverDeps{}, DeliverOptions{}); !fault.Is(err, fault.Fatal) {
		t.Errorf("error %v", err)
	}
}

// TestPlatformOnlyHarmlessCalls: nothing but these is ever asked of OpenCTI.
func TestPlatformOnlyHarmlessCalls(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.delivered()
		w.cti.pressReset()
		time.Sleep(2 * time.Minute)
		for _, c := range w.calls() {
			if !slices.Contains([]string{"register", "ping", "queue", "add", "work", "search", "alive", "expect", "report", "processed", "delete"}, c) {
				t.Errorf("call %s", c)
			}
		}
	})
}
