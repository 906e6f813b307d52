package pipeline

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestHoldUpOfASingleRun: with less patience a stall is logged earlier.
func TestHoldUpOfASingleRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		status := NewStatus(time.Now)
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
		defer cancel()
		status.Set("platform", "retrying", "", "nothing listens")
		(&StallReporter{Status: status, Log: slog.New(slog.NewTextHandler(&out, nil)), Now: time.Now, Patience: 5 * time.Second}).Run(ctx)
		if !strings.Contains(out.String(), "a stage is held up") {
			t.Errorf("got %q, want the stall", out.String())
		}
	})
}

// TestHoldUpsAreToldOnce: a stall of a minute is logged as an error once, and its
// end in one line; a shorter one is not logged.
func TestHoldUpsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		status := NewStatus(time.Now)
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			(&StallReporter{Status: status, Log: log, Now: time.Now, Patience: time.Minute}).Run(ctx)
		}()
		said := func(want ...string) {
			t.Helper()
			synctest.Wait()
			got := strings.Split(strings.TrimSpace(out.String()), "\n")
			if len(want) == 0 && out.Len() > 0 || len(want) > 0 && len(got) != len(want) {
				t.Fatalf("got %q, want %q", out.String(), want)
			}
			for i, w := range want {
				if !strings.Contains(got[i], w) {
					t.Errorf("no %q in %q", w, got[i])
				}
			}
			out.Reset()
		}
		hold := func(why string) { status.Set("deliver", "waiting", "", why) }

		hold("broker away")
		time.Sleep(45 * time.Second)
		hold("")
		time.Sleep(time.Minute)
		said()

		hold("broker away")
		time.Sleep(50 * time.Second)
		hold("broker still away") // another text is the same hold-up
		time.Sleep(time.Hour)
		said(`level=ERROR msg="a stage is held up" stage=deliver reason="broker still away"`)
		hold("")
		time.Sleep(time.Minute)
		said(`msg="a stage is no longer held up" stage=deliver after=1h0m`)

		status.Set("fetch", "paused", "", "refused") // the stage told itself
		status.Told("fetch")
		time.Sleep(time.Hour)
		said()
		status.Set("fetch", "working", "", "")
		time.Sleep(time.Minute)
		said(`msg="a stage is no longer held up" stage=fetch`)

		hold("broker away")
		time.Sleep(2 * time.Minute)
		said("is held up")
		status.Set("deliver", "stopped", "", "")
		time.Sleep(time.Minute)
		said() // a stop is no end of it
		cancel()
		<-done
	})
}
