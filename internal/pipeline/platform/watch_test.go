package platform_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestSecondWriter: two connectors with the same id are reported, even with equal
// states; a single one never is, whatever it does.
func TestSecondWriter(t *testing.T) {
	const line = "somebody else writes"
	for _, p := range pipelinetest.Profiles() {
		for _, c := range []struct {
			name    string
			period  time.Duration // of the second writer's pings; 0: there is none
			state   string        // "": an equal one
			blind   bool          // no MODULES
			resets  bool
			renewed bool
			every   int // so often something happens to us
			happens func(w *pipelinetest.World)
			want    int
		}{
			{name: "alone"},
			{name: "alone, with resets", resets: true},
			{name: "alone, reset between look and ping, again and again", every: 3, happens: func(w *pipelinetest.World) { w.OpenCTI.PressReset() }},
			{name: "alone, with a lagging index", every: 10, happens: func(w *pipelinetest.World) { w.OpenCTI.Mu.Lock(); w.OpenCTI.Lagging = 1; w.OpenCTI.Mu.Unlock() }},
			{name: "alone, with lost answers", every: 5, happens: func(w *pipelinetest.World) { w.OpenCTI.Mu.Lock(); w.OpenCTI.Lost["ping"] = 3; w.OpenCTI.Mu.Unlock() }},
			{name: "alone, registered again and again", renewed: true},
			{name: "equal states", period: 40*time.Second + 871*time.Millisecond, want: 1},
			{name: "other state", period: 40*time.Second + 871*time.Millisecond, state: `{"last_run":"2026-01-01T00:00:00+00:00"}`, want: 1},
			{name: "not allowed to look", period: 40*time.Second + 871*time.Millisecond, blind: true},
		} {
			t.Run(p.Name+"/"+c.name, func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
					w.OpenCTI.NoModules = c.blind
					w.Delivered()
					end := time.Now().Add(time.Hour)
					for i := 0; time.Now().Before(end); i++ {
						w.Wait(max(c.period, 13*time.Second))
						state := c.state
						if state == "" {
							state = w.State()
						}
						if c.period > 0 {
							_, err := w.OpenCTI.Ping(context.Background(), state, opencti.ConnectorInfo{})
							w.Must(err)
						}
						if c.resets && i%20 == 7 {
							w.OpenCTI.PressReset()
						}
						if c.every > 0 && i%c.every == 2 {
							c.happens(w)
						}
						if c.renewed && i%5 == 3 {
							w.Must(w.Live.Platform.Renew(context.Background(), "test"))
						}
						if i%11 == 5 {
							w.Run(spool.ReasonSchedule, 1)
							w.Live.Wakes.Deliver.Signal()
							w.Broker.WorkOff(100)
						}
					}
					if got := w.Logs.Count(line); got != c.want {
						t.Errorf("told %d times, want %d\n%s", got, c.want, w.Logs.Tail(20))
					}
					if s := w.Live.Status.Snapshot()["platform"]; (s.State == "waiting") != (c.want > 0) || c.want > 0 && time.Since(s.Since) < 30*time.Minute {
						t.Errorf("the status says %q %q since %s", s.State, s.Detail, s.Since)
					}
					if c.blind && w.Logs.Count("would go unnoticed") != 1 {
						t.Error("the missing right is not told once")
					}
				})
			})
		}
	}
}

// TestStateOfSomebodyElse: an echo that is none of our states is reported once for
// as long as it stays the same; an older one of ours is not.
func TestStateOfSomebodyElse(t *testing.T) {
	const line, theirs = "was written by somebody else", `{"last_run":"2025-01-01T07:11:13+00:00"}`
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Delivered()
		ours := w.State()
		w.Run(spool.ReasonSchedule, 1)
		w.Live.Wakes.Deliver.Signal()
		w.Settle()
		for i, c := range []struct {
			echo string
			want int
		}{{ours, 0}, {theirs, 1}, {theirs, 1}, {ours, 1}} {
			w.Echo(c.echo)
			w.Wait(41 * time.Second)
			if got := w.Logs.Count(line); got != c.want || w.EchoesLeft() > 0 {
				t.Errorf("after echo %d (%s): told %d times, want %d\n%s", i, c.echo, got, c.want, w.Logs.Tail(10))
			}
		}
		if got := w.Live.Status.Snapshot()["platform"].LastError; !strings.Contains(got, theirs) {
			t.Errorf("the status says %q, want the other's state in it", got)
		}
	})
}

// TestLastRunIsADeliveredOne: a run that a reset dropped does not count.
func TestLastRunIsADeliveredOne(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Delivered()
		w.Wait(time.Minute)
		done := w.Info().LastRun
		w.OpenRun(spool.ReasonSchedule)
		w.Wait(7 * time.Minute)
		w.OpenCTI.PressReset()
		w.Wait(2 * time.Minute)
		runs, err := w.Spool.Runs(0, 1)
		w.Must(err)
		if !runs[0].Dropped || done.IsZero() {
			t.Fatalf("got the run %+v and a last run at %v, want one dropped and one delivered", runs[0], done)
		}
		if got := w.Info().LastRun; !got.Equal(done) {
			t.Errorf("the last run is told to be of %v, want %v", got, done)
		}
	})
}
