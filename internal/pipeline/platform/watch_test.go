package platform_test

import (
	"context"
	"testing"
	"time"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestSecondWriter: two connectors under one id are told, also with equal
// states; one alone never is, whatever it does.
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
			want    int
		}{
			{name: "alone"},
			{name: "alone, with resets", resets: true},
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
					if c.blind && w.Logs.Count("would go unnoticed") != 1 {
						t.Error("the missing right is not told once")
					}
				})
			})
		}
	}
}
