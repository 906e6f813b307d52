package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline"
)

// SourceMetrics measure the requests to ThreatMatch.
type SourceMetrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	paused   prometheus.Counter
}

// latencies are the buckets of all request histograms, in seconds.
func latencies() []float64 { return []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120} }

func newSourceMetrics(reg prometheus.Registerer) *SourceMetrics {
	m := &SourceMetrics{
		requests: pipeline.CounterVec(reg, "threatmatch_api_requests_total", "Requests to ThreatMatch by route, status (0: no response) and kind of failure (empty: none).", "route", "status", "failure"),
		seconds: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
			Name: "threatmatch_api_request_seconds", Help: "Time that requests to ThreatMatch took, without waits for the rate limit.", Buckets: latencies(),
		}, []string{"route"}),
		paused: pipeline.Counter(reg, "threatmatch_api_paused_seconds_total", "Seconds for which 429 responses made all requests to ThreatMatch wait."),
	}
	return m
}

// Request implements threatmatch.Observer.
func (m *SourceMetrics) Request(op string, status int, kind string, d time.Duration) {
	m.requests.WithLabelValues(op, strconv.Itoa(status), kind).Inc()
	m.seconds.WithLabelValues(op).Observe(d.Seconds())
}

// Paused implements threatmatch.Observer.
func (m *SourceMetrics) Paused(d time.Duration) { m.paused.Add(d.Seconds()) }

// OpenCTIMetrics measure the calls of OpenCTI's API.
type OpenCTIMetrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newOpenCTIMetrics(reg prometheus.Registerer) *OpenCTIMetrics {
	m := &OpenCTIMetrics{
		requests: pipeline.CounterVec(reg, "threatmatch_opencti_requests_total", "Calls of OpenCTI's API by operation and outcome (ok or the class of the failure).", "operation", "outcome"),
		seconds: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
			Name: "threatmatch_opencti_request_seconds", Help: "Time that calls of OpenCTI's API took.", Buckets: latencies(),
		}, []string{"operation"}),
	}
	return m
}

// Observe records a call and how it ended.
func (m *OpenCTIMetrics) Observe(operation string, err error, took time.Duration) {
	outcome := "ok"
	if err != nil {
		class, _ := fault.Of(err)
		outcome = class.String()
	}
	m.requests.WithLabelValues(operation, outcome).Inc()
	m.seconds.WithLabelValues(operation).Observe(took.Seconds())
}

// BrokerMetrics measure the connection to RabbitMQ.
type BrokerMetrics struct {
	state       *prometheus.GaugeVec
	connections prometheus.Counter
	blocked     prometheus.Counter
	batches     *prometheus.HistogramVec
	clock       func() time.Time

	mu    sync.Mutex
	was   delivery.State
	since time.Time // when the broker blocked us; zero while it does not
}

func newBrokerMetrics(reg prometheus.Registerer, clock func() time.Time) *BrokerMetrics {
	m := &BrokerMetrics{
		clock:       clock,
		state:       pipeline.GaugeVec(reg, "threatmatch_broker_state", "State of the connection to RabbitMQ: 1 on the current one.", "state"),
		connections: pipeline.Counter(reg, "threatmatch_broker_connections_total", "Connections made to RabbitMQ; all but the first are reconnections."),
		blocked:     pipeline.Counter(reg, "threatmatch_broker_blocked_seconds_total", "Seconds in which RabbitMQ read nothing because of a memory or disk alarm, counted when it ends."),
		batches: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
			Name: "threatmatch_broker_batch_seconds", Help: "Time from the first publish of a batch to its last confirm, or to its interruption.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 9),
		}, []string{"outcome"}),
	}
	m.Changed(delivery.StateReconnecting)
	return m
}

// Changed records a new state.
func (m *BrokerMetrics) Changed(now delivery.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := delivery.StateReconnecting; s <= delivery.StateNacked; s++ {
		v := 0.0
		if s == now {
			v = 1
		}
		m.state.WithLabelValues(s.String()).Set(v)
	}
	if now == delivery.StateConnected && m.was == delivery.StateReconnecting {
		m.connections.Inc()
	}
	m.was = now
	switch {
	case now == delivery.StateBlocked && m.since.IsZero():
		m.since = m.clock()
	case now != delivery.StateBlocked && !m.since.IsZero():
		m.blocked.Add(max(m.clock().Sub(m.since), 0).Seconds())
		m.since = time.Time{}
	}
}

// Sent records the end of a batch.
func (m *BrokerMetrics) Sent(took time.Duration, err error) {
	outcome := "confirmed"
	if err != nil {
		outcome = "interrupted"
	}
	m.batches.WithLabelValues(outcome).Observe(took.Seconds())
}
