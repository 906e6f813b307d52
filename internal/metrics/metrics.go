// Package metrics has every metric of the connector, the rates derived from them, and what the counters of a run
// mean.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/pipeline/deliver"
	"threatmatch-connector/internal/pipeline/fetch"
	"threatmatch-connector/internal/pipeline/mapstage"
	"threatmatch-connector/internal/pipeline/platform"
	"threatmatch-connector/internal/pipeline/verdicts"
)

// Set is every metric of the connector except those that read the spool.
type Set struct {
	Fetch    *fetch.Metrics
	Map      *mapstage.Metrics
	Deliver  *deliver.Metrics
	Platform *platform.Metrics
	Verdicts *verdicts.Metrics
	Source   *SourceMetrics
	OpenCTI  *OpenCTIMetrics
	Broker   *BrokerMetrics
}

// New registers the metrics. It panics if reg has them already.
func New(reg prometheus.Registerer, now func() time.Time) Set {
	return Set{
		Fetch: fetch.NewMetrics(reg), Map: mapstage.NewMetrics(reg), Deliver: deliver.NewMetrics(reg),
		Platform: platform.NewMetrics(reg), Verdicts: verdicts.NewMetrics(reg), Source: newSourceMetrics(reg), OpenCTI: newOpenCTIMetrics(reg),
		Broker: newBrokerMetrics(reg, now),
	}
}

// Prefixed returns a registerer that puts the operator's namespace and
// subsystem before every name, as other OpenCTI connectors do.
func Prefixed(reg prometheus.Registerer, namespace, subsystem string) prometheus.Registerer {
	prefix := ""
	for _, part := range []string{namespace, subsystem} {
		if part != "" {
			prefix += part + "_"
		}
	}
	if prefix == "" {
		return reg
	}
	return prometheus.WrapRegistererWithPrefix(prefix, reg)
}
