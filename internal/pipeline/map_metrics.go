package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/spool"
)

// MapMetrics are the map stage's metrics.
type MapMetrics struct {
	events  *prometheus.CounterVec
	commits prometheus.Counter
	seconds prometheus.Histogram
}

// NewMapMetrics registers the map stage's metrics.
func NewMapMetrics(reg prometheus.Registerer) *MapMetrics {
	m := &MapMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "threatmatch_map_events_total",
			Help: "What became of records and objects in map, by kind; the kinds are those of a run's counters.",
		}, []string{"kind"}),
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "threatmatch_map_commits_total",
			Help: "Hand-overs from map to deliver.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "threatmatch_map_record_seconds",
			Help:    "Time to map one record.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}),
	}
	reg.MustRegister(m.events, m.commits, m.seconds)
	for _, name := range MapCounters() { // a counter that is not there yet cannot be seen to grow
		m.events.WithLabelValues(name.Name)
	}
	return m
}

func (m *MapMetrics) committed(c spool.MapCommit) {
	if m == nil {
		return
	}
	m.commits.Inc()
	for _, name := range MapCounters() {
		if n := c.Count[mapCounterPrefix+name.Name]; n > 0 {
			m.events.WithLabelValues(name.Name).Add(float64(n))
		}
	}
}

func (m *MapMetrics) mapped(seconds float64) {
	if m != nil {
		m.seconds.Observe(seconds)
	}
}
