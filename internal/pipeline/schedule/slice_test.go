package schedule

import (
	"cmp"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/fetch"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestRepullDoesNotStarveWhatIsNew: a repull that takes many periods is fetched in
// slices, and new data arrives within two periods.
func TestRepullDoesNotStarveWhatIsNew(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		const items, period = 1700, 61 * time.Minute
		src := pipelinetest.NewSource(0)
		src.Pages.Size = 10
		src.Pages.Add(650, pipelinetest.PageEpoch, pipelinetest.Millis)
		for i := range src.Pages.Times { // each of a time of its own
			at := pipelinetest.PageEpoch.AddDate(-3, 0, 0).Add(time.Duration(i) * time.Minute)
			src.Pages.Times[i], src.Pages.Objects[i].Modified = at, at.Format(pipelinetest.Millis)
			src.Pages.Objects[i].Raw = fmt.Appendf(nil, `{"id":%q,"modified":%q}`, src.Pages.Objects[i].ID, src.Pages.Objects[i].Modified)
		}
		r := newRig(t, src, rigOptions{
			fetch:    fetch.Options{Datasets: []spool.Dataset{spool.Profiles, spool.Alerts, spool.IOCs}},
			schedule: Options{Period: period, ImportFrom: func(now time.Time) time.Time { return now }},
		})
		r.Know()
		stop := r.Start()
		time.Sleep(time.Minute)
		src.Mu.Lock()
		for i := range items {
			src.Lists["alerts"] = append(src.Lists["alerts"], fmt.Sprint(i))
		}
		src.Delay = 31 * time.Second
		src.Mu.Unlock()
		if _, err := r.schedule.Repull(pipelinetest.PageEpoch.AddDate(-4, 0, 0)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		src.Mu.Lock()
		src.Lists["alerts"] = nil
		src.Mu.Unlock()
		for n := range 2 {
			src.Mu.Lock()
			src.Lists["profiles"] = []string{fmt.Sprint(n)}
			src.Mu.Unlock()
			time.Sleep(2 * period)
			if got := r.Records(fmt.Sprintf("profiles/%d", n)); got == 0 {
				t.Errorf("profile %d did not come within two periods", n)
			}
			if n == 0 && r.Stats().Queued == 0 {
				t.Error("the repull is over already: this shows nothing")
			}
		}
		time.Sleep(24 * time.Hour)
		if s := r.Stats(); s.Queued != 0 || r.Sources() < items+2 {
			t.Errorf("got %d left in the queue, %d items; want 0, %d", s.Queued, r.Sources(), items+2)
		}
		if missing := r.Missing(pageIDs(src)); len(missing) > 0 {
			t.Errorf("%d objects of pages did not come", len(missing))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.CheckSpool()
	})
}

func pageIDs(src *pipelinetest.Source) map[string]struct{} {
	ids := map[string]struct{}{}
	for _, o := range src.Pages.Objects {
		ids[o.ID] = struct{}{}
	}
	return ids
}

// TestQueueGoesOnAfterARestart: slices that were not begun start with the next process.
func TestQueueGoesOnAfterARestart(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		for starts := range 2 {
			src := pipelinetest.NewSource(700)
			src.Delay = 3 * time.Second
			r := newRig(t, src, rigOptions{dir: dir, schedule: Options{ImportFrom: func(now time.Time) time.Time { return now }}})
			r.Know()
			stop := r.Start()
			if starts == 0 {
				if _, err := r.schedule.Repull(time.Now().AddDate(0, 0, -3), spool.Alerts); err != nil {
					t.Fatal(err)
				}
				time.Sleep(7 * time.Second)
			} else {
				time.Sleep(5 * time.Hour)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			if queued := r.Stats().Queued; starts == 1 && queued != 0 {
				t.Errorf("got %d in the queue, want 0", queued)
			}
			r.Spool.Close()
		}
	})
}

type queueOnly struct {
	Spool
	started, kept bool
}

func (q *queueOnly) Stats() (spool.Stats, error) {
	return spool.Stats{Counts: spool.Counts{Queued: 5}}, nil
}
func (q *queueOnly) Meta() (spool.Meta, error)             { return spool.Meta{}, nil }
func (q *queueOnly) Runs(uint64, int) ([]spool.Run, error) { return nil, nil }
func (q *queueOnly) StartQueued(_ uint64, _ time.Time, kept bool, _ int) (spool.Run, bool, error) {
	q.started, q.kept = true, kept
	return spool.Run{}, true, nil
}

// TestSlicesOnTheirWay: no more than two, whatever else is open; and only one without
// requests while something is being fetched.
func TestSlicesOnTheirWay(t *testing.T) {
	fetched := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	slice, old := spool.Run{Reason: spool.ReasonRepull, FetchedAt: fetched}, spool.Run{Reason: spool.ReasonSchedule, FetchedAt: fetched}
	for _, c := range []struct {
		name          string
		open          []spool.Run
		started, kept bool
	}{
		{"nothing is open", nil, true, false},
		{"one slice and two imports", []spool.Run{slice, old, old}, true, false},
		{"two slices", []spool.Run{slice, slice}, false, false},
		{"an import is fetched", []spool.Run{slice, {Reason: spool.ReasonSchedule}}, true, true},
	} {
		q := &queueOnly{}
		s := &Schedule{Deps: Deps{Spool: q, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, opt: Options{Period: time.Hour}}
		if queued, err := s.slice(1, c.open); !queued || err != nil || q.started != c.started || q.kept != c.kept {
			t.Errorf("%s: queued %v (%v), started %v, without requests %v; want %+v", c.name, queued, err, q.started, q.kept, c)
		}
	}
}

// TestSliceSize: a slice has as many items as the previous one fetched in a quarter
// of the period.
func TestSliceSize(t *testing.T) {
	const period = 40 * time.Minute
	for _, c := range []struct {
		name   string
		period time.Duration
		reason spool.Reason
		items  int64
		took   time.Duration
		want   int
		count  string // "": of items that came
	}{
		{"nothing is known", period, "", 0, 0, 100, ""},
		{"fast", period, spool.ReasonRepull, 100, 3 * time.Second, 500, ""},
		{"slow", period, spool.ReasonRetry, 100, 20 * time.Minute, 50, ""},
		{"slower", period, spool.ReasonRepull, 100, 5 * time.Hour, 20, ""},
		{"a long period", 24 * time.Hour, spool.ReasonRepull, 100, 15 * time.Minute, 100, ""},
		{"a short period", time.Minute, spool.ReasonRepull, 100, time.Minute, 100, ""},
		{"too few to tell", period, spool.ReasonRepull, 19, time.Hour, 100, ""},
		{"an import", period, spool.ReasonSchedule, 100, time.Hour, 100, ""},
		{"most of it is parked", period, spool.ReasonRepull, 100, 20 * time.Minute, 50, "fetch.parked"},
		{"most of it is given up", period, spool.ReasonRepull, 100, 20 * time.Minute, 50, "fetch.dead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, pipelinetest.NewSource(0), rigOptions{schedule: Options{Period: c.period}})
			if c.reason != "" {
				now := time.Now()
				run, err := r.Spool.StartRun(1, now, spool.RunSpec{Reason: c.reason})
				for _, err := range []error{err, r.Spool.Count(1, run.ID, map[string]int64{cmp.Or(c.count, "fetch.items"): c.items}), r.Spool.FinishFetch(1, run.ID, now.Add(c.took))} {
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			if got, err := r.schedule.sliceSize(); err != nil || got != c.want {
				t.Errorf("got %d (%v), want %d", got, err, c.want)
			}
		})
	}
}
