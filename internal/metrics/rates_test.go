package metrics

import (
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/inspect"
)

// TestSourcesExist: renaming a metric would leave a curve at zero.
func TestSourcesExist(t *testing.T) {
	for _, s := range sources {
		if !slices.ContainsFunc(All(), func(i Info) bool { return i.Name == s.name }) {
			t.Errorf("the page is told from %s, which is no metric", s.name)
		}
	}
}

// measured is a registry with the metrics that the history is made from.
type measured struct {
	*prometheus.Registry
	requests, events *prometheus.CounterVec
	notReady         *prometheus.GaugeVec
	resets           prometheus.Counter
}

func newMeasured(prefix string) measured {
	m := measured{
		Registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "threatmatch_api_requests_total"}, []string{"route", "status", "failure"}),
		events:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "threatmatch_map_events_total"}, []string{"kind"}),
		notReady: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "threatmatch_not_ready"}, []string{"part"}),
		resets:   prometheus.NewCounter(prometheus.CounterOpts{Name: "threatmatch_platform_resets_total"}),
	}
	Prefixed(m.Registry, prefix, "").MustRegister(m.requests, m.events, m.notReady, m.resets)
	return m
}

// TestHistory: somewhat more than an hour, with an outage, a reset, a clock that is set back and a process that
// stands still.
func TestHistory(t *testing.T) {
	m := newMeasured("acme_threatmatch")
	now := time.Date(2026, 3, 7, 4, 13, 57, 0, time.UTC)
	r := &Rates{Gather: m, Clock: func() time.Time { return now }}
	tick := func(n int) {
		for range n {
			m.requests.WithLabelValues("item", "200", "").Add(10)
			m.requests.WithLabelValues("item", "404", "refused").Add(5)
			m.requests.WithLabelValues("item", "200", "body").Add(1)
			m.requests.WithLabelValues("item", "503", "server").Add(1)
			m.requests.WithLabelValues("item", "0", "network").Add(3)
			m.events.WithLabelValues("published").Add(50)
			now = now.Add(readEvery)
			r.read()
		}
	}
	r.read()
	tick(3)
	m.notReady.WithLabelValues("fetch").Set(1) // for less than a span
	tick(1)
	m.notReady.Reset()
	tick(2)
	m.resets.Inc()
	tick(3)
	got := r.History().Hour
	if len(got) != 3 {
		t.Fatalf("got %d samples of 45 s, want 3", len(got))
	}
	if s := got[0]; s.OK != 2 || s.Refused != 1 || s.Failed != 0.4 || s.None != 0.6 || s.Objects != 10 || s.NotReady != nil || s.Reset {
		t.Errorf("got %+v, want 2 good ones, 1 refused, 0.4 failed, 0.6 without an answer and 10 objects a second", s)
	}
	if s := got[1]; !slices.Equal(s.NotReady, []string{"fetch"}) || s.Reset {
		t.Errorf("got %+v, want fetch not ready in it, and no reset", s)
	}
	if s := got[2]; s.NotReady != nil || !s.Reset {
		t.Errorf("got %+v, want all ready, and a reset", s)
	}
	tick(2000)
	full := r.History()
	if len(full.Hour) != 240 || len(full.Day) != 33 || !full.Hour[239].At.After(full.Hour[0].At.Add(59*time.Minute)) {
		t.Errorf("got %d samples of the hour and %d of the day, want 240 and 33", len(full.Hour), len(full.Day))
	}
	now = now.Add(-30 * time.Minute)
	tick(10)
	back := r.History().Hour
	if !slices.IsSortedFunc(back, func(a, b inspect.Sample) int { return a.At.Compare(b.At) }) || len(back) > 130 {
		t.Errorf("got %d samples, not in order, after the clock was set back by half an hour", len(back))
	}
	now = now.Add(3 * time.Hour) // as if suspended
	tick(6)
	last := r.History().Hour
	if s := last[len(last)-1]; s.OK != 2 {
		t.Errorf("got %v good answers a second behind a standstill, want 2: it is no part of a span", s.OK)
	}
}

// TestHistoryIsBounded: the history takes no more memory than its samples.
func TestHistoryIsBounded(t *testing.T) {
	r := ring{every: 15 * time.Second, keep: 240}
	at := time.Date(2026, 3, 7, 4, 13, 57, 0, time.UTC)
	for range 5000 {
		r.add(reading{Sample: inspect.Sample{At: at, NotReady: []string{"fetch", "map", "deliver", "platform", "spool"}}})
		at = at.Add(7 * time.Second)
	}
	bytes := cap(r.samples) * int(unsafe.Sizeof(inspect.Sample{}))
	if len(r.samples) != 240 || bytes > 256<<10 {
		t.Errorf("got %d samples in %d bytes, want 240 in no more than 256 KiB", len(r.samples), bytes)
	}
}
