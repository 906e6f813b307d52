package fetch

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// steppedSpool fails the n-th commit that adds tasks, once.
type steppedSpool struct {
	Spool
	n, fail int
	err     error
	most    int // tasks that one commit added
}

func (s *steppedSpool) SettleTasks(epoch uint64, now time.Time, outcomes []spool.Outcome) error {
	added := 0
	for _, o := range outcomes {
		added += len(o.Add)
	}
	s.most = max(s.most, added)
	if added > 0 {
		if s.n++; s.n == s.fail {
			return s.err
		}
	}
	return s.Spool.SettleTasks(epoch, now, outcomes)
}

// TestListInSteps: the entries of a list become tasks in bounded steps. Whatever
// stops that in between, each item arrives, and the run ends only after the last.
func TestListInSteps(t *testing.T) {
	const items, step = 23, 5
	broken := errors.New("killed")
	for _, err := range []error{broken, fmt.Errorf("settle tasks: %w", spool.ErrFull)} {
		for fail := range 6 {
			t.Run(fmt.Sprintf("%v/%d", err, fail), func(t *testing.T) {
				pipelinetest.InBubble(t, func(t *testing.T) {
					src := pipelinetest.NewSource(items)
					r := newRig(t, src, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.Alerts}}})
					w := &steppedSpool{Spool: r.Spool, fail: fail, err: err}
					r.fetch.Spool, r.fetch.stepTasks = w, step
					r.Know()
					lists := 1
					if fail > 0 && errors.Is(err, broken) {
						stop := r.Start()
						time.Sleep(time.Minute)
						if err := stop(); !errors.Is(err, broken) {
							t.Fatalf("got %v, want the error of the commit", err)
						}
						if n := r.Arrived(); n != 0 {
							t.Errorf("%d items arrived before the list was taken", n)
						}
						stage, err := New(r.fetch.Deps, r.fetch.opt)
						if err != nil {
							t.Fatal(err)
						}
						stage.stepTasks = step
						r.fetch, r.Fetch, lists = stage, stage, 2
					}
					stop := r.Start()
					time.Sleep(time.Hour)
					if err := stop(); err != nil {
						t.Error(err)
					}
					run := r.LastRun()
					if n := r.Arrived(); n != items {
						t.Errorf("%d items arrived, want %d", n, items)
					}
					if n := src.Count("list alerts"); n != lists {
						t.Errorf("asked for the list %d times, want %d", n, lists)
					}
					if n := src.Total() - src.Count("list alerts") - src.Count("control"); n != items {
						t.Errorf("made %d requests for %d items, want one for each", n, items)
					}
					if n := run.Counters["fetch.listed"]; n != items {
						t.Errorf("counts %d as listed, want %d", n, items)
					}
					if w.most > step {
						t.Errorf("one commit added %d tasks, want at most %d", w.most, step)
					}
					r.CheckSpool()
				})
			})
		}
	}
}

// TestListThatFailsAfterACrash: what it named before the crash is asked for all the same,
// and the run ends.
func TestListThatFailsAfterACrash(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		const step = 5
		broken := errors.New("killed")
		src := pipelinetest.NewSource(23)
		src.Lists["reports"] = nil
		r := newRig(t, src, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.Alerts, spool.Reports}}})
		r.fetch.Spool, r.fetch.stepTasks = &steppedSpool{Spool: r.Spool, fail: 2, err: broken}, step
		r.Know()
		stop := r.Start()
		time.Sleep(time.Minute)
		if err := stop(); !errors.Is(err, broken) {
			t.Fatalf("got %v, want the error of the commit", err)
		}
		src.SetFail(pipelinetest.FailWith(403, "list alerts"))
		var err error
		if r.fetch, err = New(Deps{Spool: r.Spool, Source: src, Wakes: r.Wakes, Status: r.Status, Log: r.Log, Metrics: r.metrics, Now: time.Now, Rand: r.fetch.Rand}, r.fetch.opt); err != nil {
			t.Fatal(err)
		}
		r.Fetch = r.fetch
		stop = r.Start()
		time.Sleep(time.Hour)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if run := r.LastRun(); run.FetchedAt.IsZero() || r.Arrived() != step {
			t.Errorf("%d items arrived of the run %+v, want %d, and the run ended", r.Arrived(), run, step)
		}
	})
}

// busySpool has open tasks that it does not return, as with a damaged queue.
type busySpool struct{ Spool }

func (busySpool) FinishFetch(uint64, uint64, time.Time) error { return spool.ErrBusy }

// TestRunThatCannotEnd: the stage says so, and does not try again without a pause.
func TestRunThatCannotEnd(t *testing.T) {
	r := newRig(t, pipelinetest.NewSource(0), rigOptions{})
	r.fetch.Spool, r.fetch.epoch = busySpool{r.Spool}, 1
	run, err := r.Spool.StartRun(1, time.Now(), spool.RunSpec{Reason: spool.ReasonSchedule})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.fetch.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wait, err := r.fetch.step(t.Context())
	if got := r.Status.Snapshot()[stageName].NotReady; err != nil || wait < time.Second || !strings.Contains(got, "restart the connector") {
		t.Errorf("run %d: waits %v, error %v, not ready for %q; want a pause and what to do", run.ID, wait, err, got)
	}
}
