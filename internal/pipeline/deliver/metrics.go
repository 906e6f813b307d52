package deliver

import (
	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/pipeline"
)

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
	return &Metrics{
		messages: pipeline.Counter(reg, "bundles_sent_total", "Messages that the broker confirmed."),
		records:  pipeline.Counter(reg, "records_sent_total", "STIX objects that the broker confirmed, one in each message."),
		runs:     pipeline.Counter(reg, "runs_total", "Runs that were delivered."),
		errors:   pipeline.Counter(reg, "errors_total", "Problems of delivery that were logged."),
		ends:     pipeline.CounterVec(reg, "threatmatch_deliver_interruptions_total", "Batches that ended before they were confirmed, by kind.", "kind"),
		repeats:  pipeline.Counter(reg, "threatmatch_deliver_repeats_total", "Messages that the broker already had and that were sent again."),
		skipped:  pipeline.Counter(reg, "threatmatch_deliver_dead_letters_total", "Messages that became dead letters."),
		works:    pipeline.CounterVec(reg, "threatmatch_deliver_works_total", "Works on OpenCTI by what became of them.", "event"),
	}
}
