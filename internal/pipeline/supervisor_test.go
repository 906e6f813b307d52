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

// diary records the order in which loops end.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, s)
}

// loopFunc is a function as a Part.
type loopFunc func(context.Context) error

func (f loopFunc) Run(ctx context.Context) error { return f(ctx) }

// until is a loop that runs until it is stopped and takes d to end.
func (d *diary) until(name string, end time.Duration) Part {
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

// TestSupervisorStopIsBounded makes each part slow to stop, and checks how long the
// whole stop then takes, with a limit of 8 s.
func TestSupervisorStopIsBounded(t *testing.T) {
	settled := func(d *diary) Part { // as the publisher with a silent broker: waits as long as it may
		return loopFunc(func(ctx context.Context) error {
			<-ctx.Done()
			by, ok := fault.StopBy(ctx)
			if !ok {
				t.Error("deliver is not told by when")
			}
			time.Sleep(time.Until(by))
			d.add("deliver")
			return nil
		})
	}
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	tests := []struct {
		name  string
		slow  func(*diary, *Parts)
		hurry time.Duration // after the stop began; 0: never
		want  time.Duration
		err   error
		last  string // what the diary ends with, where that is sure
	}{
		{name: "broker silent", slow: func(d *diary, p *Parts) { p.Deliver = settled(d) }, want: 5 * time.Second, last: "platform"},
		{name: "broker and platform silent", slow: func(d *diary, p *Parts) { p.Deliver, p.Flush = settled(d), hangs },
			want: 7 * time.Second, last: "platform"},
		{name: "everything slow", slow: func(d *diary, p *Parts) {
			p.Fetch, p.Map, p.Deliver, p.Flush = d.until("fetch", 5*time.Second), d.until("map", 900*time.Millisecond), settled(d), hangs
		}, want: 7 * time.Second, last: "platform"},
		{name: "fetch slower than its part", slow: func(d *diary, p *Parts) { p.Fetch = d.until("fetch", 7900*time.Millisecond) },
			want: 7900 * time.Millisecond, last: "fetch"},
		{name: "fetch stuck", slow: func(d *diary, p *Parts) { p.Fetch = d.until("fetch", time.Hour) },
			want: 8 * time.Second, err: ErrUndrained},
		{name: "second signal", slow: func(d *diary, p *Parts) { p.Fetch = d.until("fetch", time.Hour) },
			hurry: 3 * time.Second, want: 3 * time.Second, err: ErrUndrained},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &diary{}
				p := d.parts()
				tt.slow(d, &p)
				ctx, cancel := context.WithCancel(t.Context())
				hurry := make(chan struct{})
				time.AfterFunc(time.Minute, cancel)
				if tt.hurry > 0 {
					time.AfterFunc(time.Minute+tt.hurry, func() { close(hurry) })
				}
				start := time.Now()
				err := NewSupervisor(p, 8*time.Second, quiet()).Run(ctx, hurry)
				if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
					t.Errorf("got %v, want %v", err, tt.err)
				}
				if took := time.Since(start) - time.Minute; took != tt.want {
					t.Errorf("took %v, want %v", took, tt.want)
				}
				d.mu.Lock()
				if got := d.lines[len(d.lines)-1]; tt.last != "" && got != tt.last {
					t.Errorf("got %v, want %s at the end", d.lines, tt.last)
				}
				d.mu.Unlock()
				time.Sleep(2 * time.Hour) // let the stuck loop end inside the bubble
			})
		})
	}
}
