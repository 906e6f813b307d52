package schedule

import (
	"cmp"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/pipeline/fetch"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// rig is a fetch stage and a schedule on a real spool.
type rig struct {
	*pipelinetest.Rig
	fetch    *fetch.Stage
	schedule *Schedule
	metrics  *fetch.Metrics
	single   func() (*Schedule, error) // makes a schedule for a single run
}

type rigOptions struct {
	fetch    fetch.Options
	schedule Options
	now      func() time.Time
	dir      string
	maxSize  int64
}

func newRig(t testing.TB, src fetch.Source, o rigOptions) *rig {
	t.Helper()
	if o.now == nil {
		o.now = time.Now
	}
	r := &rig{Rig: pipelinetest.NewRig(t, o.dir, o.maxSize, o.now), metrics: fetch.NewMetrics(prometheus.NewRegistry())}
	if o.fetch.Datasets == nil {
		o.fetch.Datasets = spool.Datasets()
	}
	o.fetch.MaxConcurrency, o.fetch.MaxAttempts = cmp.Or(o.fetch.MaxConcurrency, 4), cmp.Or(o.fetch.MaxAttempts, 5)
	if o.fetch.Groups == nil {
		o.fetch.Groups = []string{"All content"}
	}
	if o.fetch.Types == nil {
		o.fetch.Types = []string{"indicator"}
	}
	o.schedule.Datasets = o.fetch.Datasets
	if o.schedule.ImportFrom == nil {
		o.schedule.ImportFrom = func(now time.Time) time.Time { return now.AddDate(-10, 0, 0) }
	}
	if o.schedule.Period == 0 {
		o.schedule.Period = 24 * time.Hour
	}
	var err error
	r.fetch, err = fetch.New(fetch.Deps{
		Spool: r.Spool, Source: src, Wakes: r.Wakes, Status: r.Status, Log: r.Log,
		Metrics: r.metrics, Now: o.now, Rand: rand.Float64,
	}, o.fetch)
	if err != nil {
		t.Fatal(err)
	}
	deps := Deps{Spool: r.Spool, Wakes: r.Wakes, Status: r.Status, Log: r.Log, Now: o.now}
	if r.schedule, err = New(deps, o.schedule); err != nil {
		t.Fatal(err)
	}
	o.schedule.Once = true
	r.single = func() (*Schedule, error) { return New(deps, o.schedule) }
	r.Fetch, r.Schedule = r.fetch, r.schedule
	return r
}

// once runs a single run to its end.
func (r *rig) once() spool.Run {
	r.T.Helper()
	var err error
	if r.schedule, err = r.single(); err != nil {
		r.T.Fatal(err)
	}
	r.Schedule = r.schedule
	return r.RunOnce()
}
