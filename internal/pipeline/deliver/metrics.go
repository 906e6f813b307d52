package deliver

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what deliver does. The first four have the names that every
// OpenCTI connector exposes.
type Metrics struct {
	messages, records, runs, errors prometheus.Counter
	ends                            *prometheus.CounterVec
	repeats, skipped                prometheus.Counter
	works                           *prometheus.CounterVec
}

// NewMetrics registers the metrics with reg, which adds the operator's prefix.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		messages: prometheus.NewCounter(prometheus.CounterOpts{Name: "bundles_sent_total", Help: "Messages that the broker confirmed."}),
		records:  prometheus.NewCounter(prometheus.CounterOpts{Name: "records_sent_total", Help: "STIX objects that the broker confirmed, one in each message."}),
		runs:     prometheus.NewCounter(prometheus.CounterOpts{Name: "runs_total", Help: "Runs that were delivered."}),
		errors:   prometheus.NewCounter(prometheus.CounterOpts{Name: "errors_total", Help: "Problems of delivery that were logged."}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "threatmatch_deliver_interruptions_total", Help: "Batches that ended before they were confirmed, by kind."}, []string{"kind"}),
		repeats: prometheus.NewCounter(prometheus.CounterOpts{Name: "threatmatch_deliver_repeats_total", Help: "Messages that the broker already had and that were sent again."}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{Name: "threatmatch_deliver_dead_letters_total", Help: "Messages that became dead letters."}),
		works: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "threatmatch_deliver_works_total", Help: "Works on OpenCTI by what became of them."}, []string{"event"}),
	}
	reg.MustRegister(m.messages, m.records, m.runs, m.errors, m.ends, m.repeats, m.skipped, m.works)
	return m
}
