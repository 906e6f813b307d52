package fetch

import (
	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

// Metrics counts what the fetch stage does.
type Metrics struct {
	tries   *prometheus.CounterVec
	objects prometheus.Counter
	bytes   prometheus.Counter
	parked  *prometheus.CounterVec
	gaps    prometheus.Counter
	commits prometheus.Counter
	up      prometheus.Gauge
}

// NewMetrics registers the metrics with reg, which adds the operator's prefix.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		tries:   pipeline.CounterVec(reg, "threatmatch_fetch_tries_total", "Requests for tasks, by dataset, kind and outcome (ok or the class of the failure).", "dataset", "kind", "outcome"),
		objects: pipeline.Counter(reg, "threatmatch_fetch_ioc_objects_total", "IOC objects spooled."),
		bytes:   pipeline.Counter(reg, "threatmatch_fetch_record_bytes_total", "Bytes of spooled responses before compression."),
		parked:  pipeline.CounterVec(reg, "threatmatch_fetch_given_up_total", "Items parked for a later run, or given up as dead letters, by dataset and fate.", "dataset", "fate"),
		gaps:    pipeline.Counter(reg, "threatmatch_fetch_gaps_total", "Time spans that the API could not return in full."),
		commits: pipeline.Counter(reg, "threatmatch_fetch_commits_total", "Commits of responses to the spool."),
		up:      pipeline.Gauge(reg, "threatmatch_fetch_source_up", "1 while ThreatMatch answers, 0 while it is down or refuses the account."),
	}
	m.up.Set(1)
	for _, d := range spool.Datasets() { // a counter that does not exist yet cannot be seen to grow
		m.parked.WithLabelValues(string(d), "parked")
		m.parked.WithLabelValues(string(d), "dead")
	}
	return m
}

func (m *Metrics) tried(r result, class fault.Class) {
	outcome := "ok"
	if r.err != nil {
		outcome = class.String()
	}
	m.tries.WithLabelValues(string(r.task.Dataset), string(r.task.Kind), outcome).Inc()
}
