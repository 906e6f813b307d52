package schedule

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/fetch"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

func runsOf(t *testing.T, r *rig) []spool.Run {
	t.Helper()
	runs, err := r.Spool.Runs(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// TestPeriod: the next run is due one period after the end of the fetch, and a
// restart waits for the rest of it.
func TestPeriod(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		src := pipelinetest.NewSource(3)
		src.Delay = time.Minute
		o := rigOptions{dir: dir, schedule: Options{Period: 6 * time.Hour, Overlap: 10 * time.Minute}}
		r := newRig(t, src, o)
		r.Know()
		stop := r.Start()
		time.Sleep(time.Hour)
		first := r.LastRun()
		due := first.FetchedAt.Add(6 * time.Hour)
		if first.Reason != spool.ReasonSchedule || first.FetchedAt.IsZero() || !r.schedule.Next().Equal(due) {
			t.Fatalf("run %+v, next %v, want %v", first, r.schedule.Next(), due)
		}
		time.Sleep(time.Hour)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		r.Spool.Close()
		time.Sleep(time.Hour)
		r = newRig(t, src, o)
		stop = r.Start()
		time.Sleep(time.Until(due) - time.Second)
		if n := len(runsOf(t, r)); n != 1 {
			t.Errorf("%d runs before the period was over", n)
		}
		time.Sleep(2 * time.Second)
		second := r.LastRun()
		if second.ID == first.ID || second.Created.Sub(due).Abs() > time.Second {
			t.Errorf("second run at %v, due %v", second.Created, due)
		}
		if from := second.Datasets[spool.Alerts].From; !from.Equal(first.Start.Add(-10 * time.Minute)) {
			t.Errorf("window from %v, watermark %v", from, first.Start)
		}
		// An unfinished run goes on at once, and nothing falls due meanwhile.
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		r.Spool.Close()
		time.Sleep(48 * time.Hour)
		r = newRig(t, src, o)
		stop = r.Start()
		time.Sleep(time.Hour)
		if last := r.LastRun(); last.ID != second.ID || !last.Resumed || last.DoneAt.IsZero() {
			t.Errorf("run %+v", last)
		}
		if from := r.LastRun().Datasets[spool.Alerts].From; !from.Equal(second.Datasets[spool.Alerts].From) {
			t.Errorf("the window slid to %v", from)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStateComesFirst(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(1)
		r := newRig(t, src, rigOptions{schedule: Options{Overlap: time.Minute}})
		stop := r.Start()
		time.Sleep(24 * time.Hour)
		if n := src.Total(); n != 0 {
			t.Errorf("%d requests before the state was known", n)
		}
		if _, _, err := r.schedule.Trigger(); err == nil {
			t.Error("a run was triggered before the state was known")
		}
		last := time.Now().Add(-72 * time.Hour)
		if _, err := r.Spool.AdoptState(1, map[spool.Dataset]time.Time{spool.Alerts: last, spool.Profiles: last.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		r.Wakes.Schedule.Signal()
		time.Sleep(time.Minute)
		run := r.LastRun()
		for d, want := range map[spool.Dataset]time.Time{
			spool.Alerts: last.Add(-time.Minute), spool.Profiles: last.Add(59 * time.Minute), spool.Reports: last.Add(-time.Minute),
		} {
			if got := run.Datasets[d].From; !got.Equal(want) {
				t.Errorf("%s from %v, want %v", d, got, want)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestTrigger(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(10)
		src.Delay = time.Minute
		r := newRig(t, src, rigOptions{})
		r.Know()
		stop := r.Start()
		time.Sleep(time.Minute)
		run, merged, err := r.schedule.Trigger()
		if err != nil || !merged || run.ID != 1 {
			t.Errorf("during a fetch: run %d, merged %v, %v", run.ID, merged, err)
		}
		time.Sleep(time.Hour)
		run, merged, err = r.schedule.Trigger()
		if err != nil || merged || run.ID != 2 || run.Reason != spool.ReasonTrigger {
			t.Errorf("between runs: %+v, merged %v, %v", run, merged, err)
		}
		time.Sleep(time.Hour)
		if last := r.LastRun(); last.ID != 2 || last.DoneAt.IsZero() || !r.schedule.Next().Equal(last.FetchedAt.Add(24*time.Hour)) {
			t.Errorf("run %+v, next %v", last, r.schedule.Next())
		}
		if _, err := r.schedule.Repull(time.Now().AddDate(0, 0, -3)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if run, merged, err = r.schedule.Trigger(); err != nil || merged || run.ID != 4 {
			t.Errorf("during a repull: run %d, merged %v, %v", run.ID, merged, err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestRepull: a repull queues after the run being fetched and moves no watermark.
func TestRepull(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(10)
		src.Delay = time.Minute
		r := newRig(t, src, rigOptions{fetch: fetch.Options{Datasets: []spool.Dataset{spool.Profiles, spool.Alerts, spool.IOCs}}})
		r.Know()
		stop := r.Start()
		time.Sleep(time.Minute)
		from := time.Now().AddDate(0, 0, -3)
		run, err := r.schedule.Repull(from, spool.Alerts)
		if err != nil || run.Reason != spool.ReasonRepull || len(run.Datasets) != 1 {
			t.Fatalf("got run %+v and error %v, want a repull of one dataset", run, err)
		}
		if _, err := r.schedule.Repull(from); err != nil { // a second one behind it
			t.Fatal(err)
		}
		for _, bad := range []func() error{
			func() error { _, err := r.schedule.Repull(time.Now().Add(time.Hour)); return err },
			func() error { _, err := r.schedule.Repull(time.Time{}); return err },
			func() error { _, err := r.schedule.Repull(from, spool.Reports); return err },
		} {
			if bad() == nil {
				t.Error("a senseless repull was taken")
			}
		}
		time.Sleep(5 * time.Hour)
		if since := src.Asked("alerts"); len(since) != 3 || !since[1].Equal(from) || !since[2].Equal(from) {
			t.Errorf("lists asked since %v, want the last two since %v", since, from)
		}
		if a, p := r.Records("alerts/4"), r.Records("profiles/4"); a != 2 || p != 2 { // what both repulls name comes once for both
			t.Errorf("got alert %d times, profile %d times; want 2, 2", a, p)
		}
		first, err := r.Spool.Run(1)
		if err != nil {
			t.Fatal(err)
		}
		m := r.Marks()
		if !m[spool.Alerts].Fetched.Equal(first.Start) || !m[spool.Profiles].Confirmed.Equal(first.Start) {
			t.Errorf("watermarks %+v, first run %v", m, first.Start)
		}
		if runs := runsOf(t, r); len(runs) != 4 || runs[0].DoneAt.IsZero() || runs[0].Counters["fetch.items"] != 20 || runs[0].Counters["fetch.pages"] != 1 {
			t.Errorf("runs %+v", runs)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.CheckSpool()
	})
}

func TestOnceFinishesWhatThereIs(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		src := pipelinetest.NewSource(20)
		src.Delay = time.Minute
		r := newRig(t, src, rigOptions{dir: dir})
		r.Know()
		stop := r.Start()
		time.Sleep(5 * time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		r.Spool.Close()
		r = newRig(t, src, rigOptions{dir: dir})
		last := r.once()
		runs := runsOf(t, r)
		if len(runs) != 2 || last.Reason != spool.ReasonOnce || last.DoneAt.IsZero() || !runs[1].Resumed || last.Created.Before(runs[1].DoneAt) {
			t.Errorf("runs %+v", runs)
		}
	})
}

// TestOnceAfterAReset: a reset drops the single run, so that another one takes its place.
func TestOnceAfterAReset(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(5)
		src.Delay = time.Minute
		r := newRig(t, src, rigOptions{})
		time.AfterFunc(90*time.Second, func() {
			if _, _, err := r.Spool.Reset(time.Now()); err != nil {
				t.Error(err)
			}
			r.Know()
		})
		if last, runs := r.once(), runsOf(t, r); len(runs) != 2 || !runs[1].Dropped || last.Counters["fetch.items"] != 15 {
			t.Errorf("the runs are %+v, want one that was dropped and one with 15 items", runs)
		}
	})
}

// staleSpool has been reset since its meta was read.
type staleSpool struct {
	Spool
	meta spool.Meta
}

func (s staleSpool) Meta() (spool.Meta, error) { return s.meta, nil }

// TestResetBetweenReads: a run dropped by a reset that came after the schedule had read
// the epoch is not the end of the single run.
func TestResetBetweenReads(t *testing.T) {
	r := newRig(t, pipelinetest.NewSource(1), rigOptions{})
	r.Know()
	s, err := r.single()
	if err != nil {
		t.Fatal(err)
	}
	if _, done, err := s.step(); done || err != nil || s.once == 0 {
		t.Fatalf("done %v, error %v, run %d; want a run started", done, err, s.once)
	}
	before, err := r.Spool.Meta()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Spool.Reset(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, done, err := s.stepOnce(before, nil); done || err != nil {
		t.Errorf("done %v, error %v; want to go on with a new run", done, err)
	}
	s.Spool = staleSpool{s.Spool, before}
	if _, done, err := s.Delivered(); done || err != nil {
		t.Errorf("delivered %v, error %v; want false", done, err)
	}
}

// TestParkedItemsJoin: an item that could not be fetched comes with the next run, though no list names it.
func TestParkedItemsJoin(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(1)
		src.SetFail(pipelinetest.FailWith(403, "item alerts/1"))
		r := newRig(t, src, rigOptions{})
		r.once()
		src.SetFail(nil)
		src.Lists["alerts"] = nil
		if r.once(); r.Records("alerts/1") != 1 {
			t.Errorf("the item came %d times, want once", r.Records("alerts/1"))
		}
	})
}

// TestFirstRunThatFails: a dataset that never completed keeps its first window,
// even after others have moved on or it was switched off, and however long it takes.
func TestFirstRunThatFails(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(1)
		src.SetFail(pipelinetest.FailWith(403, "list alerts"))
		r := newRig(t, src, rigOptions{})
		first := r.once()
		single := r.single
		r.single = func() (*Schedule, error) {
			o := r.schedule.opt
			o.Datasets = []spool.Dataset{spool.Profiles}
			return New(r.schedule.Deps, o)
		}
		r.once()
		r.single = single
		for range 3 {
			time.Sleep(24 * time.Hour)
			run := r.once()
			if got := run.Datasets[spool.Alerts].From; !got.Equal(first.Datasets[spool.Alerts].From) {
				t.Errorf("window from %v, want %v", got, first.Datasets[spool.Alerts].From)
			}
			if got := run.Datasets[spool.Profiles].From; !got.After(first.Datasets[spool.Profiles].From) {
				t.Errorf("the other's window stays at %v", got)
			}
		}
	})
}

// TestStartInTheFuture: a run whose windows begin after it moves no watermark, so
// the past is imported once the date is corrected.
func TestStartInTheFuture(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		from := time.Now().Add(6 * time.Hour)
		r := newRig(t, pipelinetest.NewSource(1), rigOptions{schedule: Options{
			Overlap: time.Minute, ImportFrom: func(time.Time) time.Time { return from },
		}})
		if run := r.once(); !run.Datasets[spool.Alerts].From.Equal(from) {
			t.Errorf("window from %v, want %v", run.Datasets[spool.Alerts].From, from)
		}
		marks, err := r.Spool.Watermarks()
		if err != nil || len(marks) > 0 {
			t.Errorf("watermarks %v, %v", marks, err)
		}
		time.Sleep(time.Hour)
		from = time.Now().Add(-1000 * time.Hour)
		if run := r.once(); !run.Datasets[spool.Alerts].From.Equal(from) {
			t.Errorf("after the correction the window is from %v, want %v", run.Datasets[spool.Alerts].From, from)
		}
		if marks, err = r.Spool.Watermarks(); err != nil || marks[spool.Alerts].Fetched.IsZero() {
			t.Errorf("watermarks %v, %v", marks, err)
		}
	})
}

func TestWindowStart(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	configured := now.AddDate(-1, 0, 0)
	tests := []struct {
		name  string
		marks map[spool.Dataset]spool.Watermark
		open  map[spool.Dataset]time.Time
		want  time.Time
	}{
		{"first run", nil, nil, configured},
		{"watermark", map[spool.Dataset]spool.Watermark{spool.Alerts: {Fetched: now.Add(-day)}}, nil, now.Add(-day - time.Minute)},
		{"watermark in the future", map[spool.Dataset]spool.Watermark{spool.Alerts: {Fetched: now.Add(day), Previous: now.Add(-day)}}, nil, now.Add(-day - time.Minute)},
		{"both in the future", map[spool.Dataset]spool.Watermark{spool.Alerts: {Fetched: now.Add(2 * day), Previous: now.Add(day)}}, nil, configured.Add(-time.Minute)},
		{"future, no previous", map[spool.Dataset]spool.Watermark{spool.Alerts: {Fetched: now.Add(day)}}, nil, configured.Add(-time.Minute)},
		{"never came through", map[spool.Dataset]spool.Watermark{spool.Profiles: {Fetched: now}},
			map[spool.Dataset]time.Time{spool.Alerts: now.Add(-30 * day)}, now.Add(-30 * day)},
		{"new to a spool that ran", map[spool.Dataset]spool.Watermark{
			spool.Profiles: {Fetched: now, Confirmed: now.Add(-2 * day)}, spool.Reports: {Fetched: now.Add(-day), Confirmed: now.Add(-day)}}, nil,
			now.Add(-2*day - time.Minute)},
		{"new beside one that is not confirmed", map[spool.Dataset]spool.Watermark{spool.Profiles: {Fetched: now.Add(-day)}}, nil, now.Add(-day - time.Minute)},
		{"new beside one in the future", map[spool.Dataset]spool.Watermark{spool.Profiles: {Fetched: now.Add(day), Confirmed: now.Add(day)}}, nil, now.Add(-time.Minute)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, pipelinetest.NewSource(0), rigOptions{schedule: Options{
				Overlap: time.Minute, ImportFrom: func(time.Time) time.Time { return configured },
			}})
			if got := r.schedule.windowStart(spool.Alerts, tt.marks, tt.open, now); !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			future := tt.marks[spool.Alerts].Fetched.After(now)
			if logs := r.Logs.String(); strings.Contains(logs, "level=ERROR") != future {
				t.Errorf("a watermark in the future: %v; logs %s", future, logs)
			}
		})
	}
}

func TestRemaining(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &Schedule{opt: Options{Period: time.Hour}}
	for age, want := range map[time.Duration]time.Duration{
		0: time.Hour, 20 * time.Minute: 40 * time.Minute, time.Hour: 0, 5 * time.Hour: -4 * time.Hour, -30 * time.Hour: time.Hour,
	} {
		if got := s.remaining(spool.Run{FetchedAt: now.Add(-age)}, now); got != want {
			t.Errorf("age %v: got %v, want %v", age, got, want)
		}
	}
	// Set back once more, it is a period from then.
	last := spool.Run{FetchedAt: now.Add(30 * time.Hour)}
	for _, back := range []time.Duration{0, 20 * time.Hour} {
		if got := s.remaining(last, now.Add(-back)); got != time.Hour {
			t.Errorf("set back by %v: got %v, want a period", back, got)
		}
	}
}

// TestClockSetBackFarther: a clock that was far ahead when the last fetch ended
// delays the next run by one period, not until it has caught up.
func TestClockSetBackFarther(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		var off atomic.Int64
		off.Store(int64(40 * 24 * time.Hour))
		src := pipelinetest.NewSource(1)
		r := newRig(t, src, rigOptions{
			now:      func() time.Time { return time.Now().Add(time.Duration(off.Load())) },
			schedule: Options{Period: 6 * time.Hour},
		})
		r.Know()
		stop := r.Start()
		time.Sleep(time.Hour)
		off.Store(0)
		time.Sleep(13 * time.Hour)
		if n := len(runsOf(t, r)); n != 3 {
			t.Errorf("%d runs 13 hours after the clock was set right, with a period of 6", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestRestartsAfterTheClockWasSetBack: a connector that restarts more often than its
// period does not wait until the clock has caught up with a run.
func TestRestartsAfterTheClockWasSetBack(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		var off atomic.Int64
		o := rigOptions{
			now: func() time.Time { return time.Now().Add(time.Duration(off.Load())) }, dir: t.TempDir(),
			schedule: Options{Period: 6 * time.Hour},
		}
		for i, want := range []int{1, 2, 3, 4, 5} {
			off.Store(0)
			if i == 1 {
				off.Store(int64(40 * 24 * time.Hour))
			}
			r := newRig(t, pipelinetest.NewSource(1), o)
			r.Know()
			stop := r.Start()
			time.Sleep(5 * time.Hour)
			if err := stop(); err != nil {
				t.Error(err)
			}
			if n := len(runsOf(t, r)); n != want {
				t.Errorf("%d runs in process %d, want %d", n, i, want)
			}
			r.Spool.Close()
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	r := newRig(t, pipelinetest.NewSource(0), rigOptions{})
	from := func(now time.Time) time.Time { return now }
	for want, o := range map[string]Options{
		"no dataset": {Period: time.Hour, ImportFrom: from},
		"no period":  {Datasets: spool.Datasets(), ImportFrom: from},
	} {
		if _, err := New(r.schedule.Deps, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A type that is added later has no watermark of its own: that is logged once.
func TestNewTypesAreTold(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		told := func(types ...string) int {
			r := newRig(t, pipelinetest.NewSource(1), rigOptions{dir: dir, fetch: fetch.Options{Types: types}, schedule: Options{Types: types}})
			r.Know()
			stop := r.Start()
			time.Sleep(time.Minute)
			if _, _, err := r.schedule.Trigger(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if err := stop(); err != nil {
				t.Error(err)
			}
			r.Spool.Close()
			for line := range strings.Lines(r.Logs.String()) {
				if strings.Contains(line, "type is new") && !(strings.Contains(line, "type=malware") && strings.Contains(line, "repull --from DATE --dataset iocs")) {
					t.Errorf("it says: %s", line)
				}
			}
			return strings.Count(r.Logs.String(), "type is new")
		}
		for i, c := range []struct {
			types []string
			want  int
		}{{[]string{"indicator"}, 0}, {[]string{"indicator", "malware"}, 1}, {[]string{"indicator", "malware"}, 0}, {[]string{"indicator"}, 0}, {[]string{"malware"}, 1}} {
			if got := told(c.types...); got != c.want {
				t.Errorf("start %d with %v: told %d times, want %d", i+1, c.types, got, c.want)
			}
		}
	})
}
