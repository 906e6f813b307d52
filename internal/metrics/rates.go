package metrics

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/inspect"
)

// Rates measures how fast things go, from the counters that there are anyway.
type Rates struct {
	Gather prometheus.Gatherer
	Clock  func() time.Time

	mu      sync.Mutex
	samples []sample // oldest first, over about a minute
}

type sample struct {
	at time.Time
	inspect.Rates
}

const (
	sampleEvery = 5 * time.Second
	sampleKeep  = 13 // a minute and both of its ends
)

// Run takes samples until ctx is done.
func (r *Rates) Run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	r.sample()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.sample()
		}
	}
}

func (r *Rates) sample() {
	families, err := r.Gather.Gather()
	if err != nil && len(families) == 0 {
		return // the next one may be better
	}
	s := sample{at: r.Clock()}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			s.add(f.GetName(), labels, m.GetCounter().GetValue())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, s)
	if n := len(r.samples) - sampleKeep; n > 0 {
		r.samples = append(r.samples[:0], r.samples[n:]...)
	}
}

// The names that the rates are taken from, without what operators put before them.
const (
	metricRequests  = "threatmatch_fetch_tries_total"
	metricMapEvents = "threatmatch_map_events_total"
	metricMessages  = "bundles_sent_total"
)

// add counts the value of one metric where it is one of those.
func (s *sample) add(name string, labels map[string]string, v float64) {
	switch {
	case strings.HasSuffix(name, metricRequests) && labels["outcome"] == "ok":
		s.Requests += v
	case strings.HasSuffix(name, metricMapEvents) && labels["kind"] == "records":
		s.Records += v
	case strings.HasSuffix(name, metricMapEvents) && labels["kind"] == "published":
		s.Objects += v
	case strings.HasSuffix(name, metricMessages):
		s.Messages += v
	}
}

// Now returns the rates over the last minute; nil before there are two samples.
func (r *Rates) Now() *inspect.Rates {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.samples) < 2 {
		return nil
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 {
		return nil
	}
	return &inspect.Rates{
		Requests: (last.Requests - first.Requests) / seconds, Records: (last.Records - first.Records) / seconds,
		Objects: (last.Objects - first.Objects) / seconds, Messages: (last.Messages - first.Messages) / seconds,
	}
}
