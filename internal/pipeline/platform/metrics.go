package platform

import "github.com/prometheus/client_golang/prometheus"

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
		pings:        prometheus.NewCounter(prometheus.CounterOpts{Name: "ping_api_total", Help: "Pings sent to OpenCTI."}),
		pingErrors:   prometheus.NewCounter(prometheus.CounterOpts{Name: "ping_api_errors_total", Help: "Pings that OpenCTI did not answer correctly."}),
		clientErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "client_errors_total", Help: "Calls of OpenCTI's API that failed."}),
		state:        prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "state", Help: "What the connector is doing: 1 for its current state."}, []string{"state"}),
		queueBytes:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "threatmatch_platform_queue_bytes", Help: "Size of the connector's queue as OpenCTI last reported it."}),
		buffering:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "threatmatch_deliver_buffering", Help: "1 while messages are kept back because a queue is full or the broker is in alarm."}),
		resets:       prometheus.NewCounter(prometheus.CounterOpts{Name: "threatmatch_platform_resets_total", Help: "Resets of the state requested on OpenCTI."}),
	}
	reg.MustRegister(m.pings, m.pingErrors, m.clientErrors, m.state, m.queueBytes, m.buffering, m.resets)
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
