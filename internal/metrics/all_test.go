package metrics

import (
	"cmp"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Info describes one metric. Name lacks the operator's prefix.
type Info struct {
	Name   string
	Type   string // counter, gauge, histogram
	Help   string
	Labels []string
}

// All returns all metrics of the connector, sorted by name. The registry also has those of the Go runtime and of the
// process (go_*, process_*).
func All() []Info {
	r := &recorder{}
	New(r, time.Now)
	r.MustRegister(NewSpoolCollector(nil, nil, time.Now, slog.New(slog.DiscardHandler), 0, ""))
	slices.SortFunc(r.all, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return r.all
}

// recorder is a registerer that only records what is registered.
type recorder struct{ all []Info }

// Register implements prometheus.Registerer.
func (r *recorder) Register(c prometheus.Collector) error {
	ch := make(chan *prometheus.Desc)
	go func() {
		c.Describe(ch)
		close(ch)
	}()
	for d := range ch {
		r.all = append(r.all, infoOf(d, kindOfMetric(c)))
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (r *recorder) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = r.Register(c) // never fails
	}
}

// Unregister implements prometheus.Registerer.
func (r *recorder) Unregister(prometheus.Collector) bool { return false }

func kindOfMetric(c prometheus.Collector) string {
	switch c.(type) {
	case *prometheus.GaugeVec, prometheus.Gauge:
		return "gauge"
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	case *prometheus.CounterVec, prometheus.Counter:
		return "counter"
	}
	return "gauge"
}

// infoOf parses a description, which exposes its parts only as text.
func infoOf(d *prometheus.Desc, kind string) Info {
	m := regexp.MustCompile(`fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*").*variableLabels: \{([^}]*)\}`).FindStringSubmatch(d.String())
	if m == nil {
		return Info{Name: d.String(), Type: kind}
	}
	name, _ := strconv.Unquote(m[1]) // it was quoted just now
	help, _ := strconv.Unquote(m[2])
	info := Info{Name: name, Type: kind, Help: help}
	if m[3] != "" {
		info.Labels = strings.Split(m[3], ",")
	}
	return info
}
