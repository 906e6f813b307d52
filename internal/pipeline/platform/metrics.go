package platform

import (
	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/pipeline"
)

// Metrics counts what the platform loop does. The first four have the names that
// every OpenCTI connector exposes.
type Metrics struct {
	pings, pingErrors, clientErrors prometheus.Counter
	state                           *prometheus.GaugeVec
	queueBytes, buffering           prometheus.Gauge
	resets                          prometheus.Counter
}

// NewMetrics registers the metrics with reg, which adds the operator's prefix.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		pings:        pipeline.Counter(reg, "ping_api_total", "Pings sent to OpenCTI."),
		pingErrors:   pipeline.Counter(reg, "ping_api_errors_total", "Pings that OpenCTI did not answer correctly."),
		clientErrors: pipeline.Counter(reg, "client_errors_total", "Calls of OpenCTI's API that failed."),
		state:        pipeline.GaugeVec(reg, "state", "What the connector is doing: 1 for its current state.", "state"),
		queueBytes:   pipeline.Gauge(reg, "threatmatch_platform_queue_bytes", "Size of the connector's queue as OpenCTI last reported it."),
		buffering:    pipeline.Gauge(reg, "threatmatch_deliver_buffering", "1 while messages are kept back because a queue is full or the broker is in alarm."),
		resets:       pipeline.Counter(reg, "threatmatch_platform_resets_total", "Resets of the state requested on OpenCTI."),
	}
	m.setState("idle")
	return m
}

// setState sets the named state to 1 and the others to 0.
func (m *Metrics) setState(state string) {
	for _, s := range []string{"idle", "running", "stopped"} {
		v := 0.0
		if s == state {
			v = 1
		}
		m.state.WithLabelValues(s).Set(v)
	}
}
