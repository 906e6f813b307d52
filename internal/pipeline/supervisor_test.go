package pipeline

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/fault"
)

// diary notes in which order loops end.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, s)
}

// loopFunc is a Loop made of a function.
type loopFunc func(context.Context) error

func (f loopFunc) Run(ctx context.Context) error { return f(ctx) }

// until is a loop that runs until it is stopped and needs d to come to an end.
func (d *diary) until(name string, end time.Duration) Loop {
	return loopFunc(func(ctx context.Context) error {
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), fault.ErrShutdown) {
			d.add(name + " without cause")
		}
		time.Sleep(end)
		d.add(name)
		return nil
	})
}

func (d *diary) parts() Parts {
	return Parts{
		Platform: d.until("platform", 0), Schedule: d.until("schedule", 0), Fetch: d.until("fetch", time.Second),
		Map: d.until("map", time.Second), Deliver: d.until("deliver", time.Second),
		Keep:  d.until("housekeep", 0),
		Flush: func(context.Context) error { d.add("flush"); return nil },
	}
}

var wayOfTheData = []string{"schedule", "fetch", "map", "deliver", "housekeep", "flush", "platform"}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestSupervisorStopsInTheWayOfTheData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		if err := NewSupervisor(d.parts(), 0, quiet()).Run(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.lines, wayOfTheData) {
			t.Errorf("got %v, want %v", d.lines, wayOfTheData)
		}
	})
}

func TestSupervisorEndsWithTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		p := d.parts()
		p.Schedule = loopFunc(func(context.Context) error { return nil })
		if err := NewSupervisor(p, 0, quiet()).Run(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.lines, wayOfTheData[1:]) {
			t.Errorf("got %v", d.lines)
		}
	})
}

func TestSupervisorReturnsTheFirstFailure(t *testing.T) {
	boom := errors.New("boom")
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		p := d.parts()
		p.Map = loopFunc(func(context.Context) error { return boom })
		if err := NewSupervisor(p, 0, quiet()).Run(t.Context(), nil); !errors.Is(err, boom) {
			t.Errorf("got %v", err)
		}
		if !slices.Contains(d.lines, "flush") {
			t.Error("the state was not pushed")
		}
		p.Recover = func(context.Context) error { return boom }
		p.Fetch = loopFunc(func(context.Context) error { t.Error("fetch started"); return nil })
		if err := NewSupervisor(p, 0, quiet()).Run(t.Context(), nil); !errors.Is(err, boom) {
			t.Errorf("recover: got %v", err)
		}
	})
}

func TestSupervisorDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{}
		p := d.parts()
		p.Fetch, p.Map = d.until("fetch", time.Hour), d.until("map", 0)
		ctx, cancel := context.WithCancel(t.Context())
		hurry := make(chan struct{})
		time.AfterFunc(time.Minute, cancel)
		time.AfterFunc(time.Minute+3*time.Second, func() { close(hurry) })
		start := time.Now()
		if err := NewSupervisor(p, 8*time.Second, quiet()).Run(ctx, hurry); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != time.Minute+3*time.Second {
			t.Errorf("the second signal did not end the drain: %v", took)
		}
		time.Sleep(2 * time.Hour) // let the stuck loop end inside the bubble
	})
}
