package metrics

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// Rates derives rates, and the history of the last hour and day, from the other metrics. Gather and Clock are
// required. Its methods are safe for concurrent use.
type Rates struct {
	Gather prometheus.Gatherer
	Clock  func() time.Time

	mu       sync.Mutex
	began    time.Time
	readings []reading // oldest first, over about a minute
	hour     ring
	day      ring
}

// reading holds the metrics at one moment. What Sample has per second is a total here.
type reading struct {
	inspect.Sample
	total  inspect.Rates
	resets float64
}

const (
	readEvery = 5 * time.Second
	readKeep  = 13 // a minute with both of its ends
)

// Run takes readings until ctx is done.
func (r *Rates) Run(ctx context.Context) {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	r.read()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.read()
		}
	}
}

func (r *Rates) read() {
	families, err := r.Gather.Gather()
	if err != nil && len(families) == 0 {
		return // the next one may succeed
	}
	now := reading{Sample: inspect.Sample{At: r.Clock(), Behind: make([]int64, len(spool.Datasets()))}}
	for i := range now.Behind {
		now.Behind[i] = -1
	}
	for _, f := range families {
		for _, s := range sources {
			if !strings.HasSuffix(f.GetName(), s.name) {
				continue
			}
			for _, m := range f.GetMetric() {
				label := func(name string) string {
					for _, l := range m.GetLabel() {
						if l.GetName() == name {
							return l.GetValue()
						}
					}
					return ""
				}
				s.add(&now, label, m.GetCounter().GetValue()+m.GetGauge().GetValue())
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began.IsZero() {
		r.began = now.At
		r.hour, r.day = ring{every: 15 * time.Second, keep: 240}, ring{every: 5 * time.Minute, keep: 288}
	}
	r.hour.add(now)
	r.day.add(now)
	r.readings = append(r.readings, now)
	if n := len(r.readings) - readKeep; n > 0 {
		r.readings = append(r.readings[:0], r.readings[n:]...)
	}
}

// Now returns the rates per second over the last minute; nil before there are two readings.
func (r *Rates) Now() *inspect.Rates {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.readings) < 2 {
		return nil
	}
	first, last := r.readings[0], r.readings[len(r.readings)-1]
	seconds := last.At.Sub(first.At).Seconds()
	if seconds <= 0 {
		return nil
	}
	return &inspect.Rates{
		Requests: (last.total.Requests - first.total.Requests) / seconds, Records: (last.total.Records - first.total.Records) / seconds,
		Objects: (last.total.Objects - first.total.Objects) / seconds, Messages: (last.total.Messages - first.total.Messages) / seconds,
	}
}

// History returns a copy of the samples.
func (r *Rates) History() inspect.History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return inspect.History{Began: r.began, Hour: r.hour.copy(), Day: r.day.copy()}
}
