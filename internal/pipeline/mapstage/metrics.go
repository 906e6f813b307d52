package mapstage

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// Metrics are the map stage's metrics.
type Metrics struct {
	events  *prometheus.CounterVec
	commits prometheus.Counter
	seconds prometheus.Histogram
}

// NewMetrics registers the map stage's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		events:  pipeline.CounterVec(reg, "threatmatch_map_events_total", "What became of records and objects in map, by kind; the kinds are those of a run's counters.", "kind"),
		commits: pipeline.Counter(reg, "threatmatch_map_commits_total", "Hand-overs from map to deliver."),
		seconds: promauto.With(reg).NewHistogram(prometheus.HistogramOpts{
			Name:    "threatmatch_map_record_seconds",
			Help:    "Time to map one record.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}),
	}
	for _, name := range Counters() { // a counter that does not exist yet cannot be seen to grow
		m.events.WithLabelValues(name.Name)
	}
	return m
}

func (m *Metrics) committed(c spool.MapCommit) {
	m.commits.Inc()
	for _, name := range Counters() {
		if n := c.Count[counterPrefix+name.Name]; n > 0 {
			m.events.WithLabelValues(name.Name).Add(float64(n))
		}
	}
}
