package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/mapstage"
)

// metricSet is every metric of the connector but those that read the spool.
type metricSet struct {
	fetch    *pipeline.FetchMetrics
	mapper   *mapstage.Metrics
	deliver  *pipeline.DeliverMetrics
	platform *pipeline.PlatformMetrics
	source   *sourceMetrics
	openCTI  *openCTIMetrics
	broker   *brokerMetrics
}

func newMetricSet(reg prometheus.Registerer, now func() time.Time) metricSet {
	return metricSet{
		fetch: pipeline.NewFetchMetrics(reg), mapper: mapstage.NewMetrics(reg), deliver: pipeline.NewDeliverMetrics(reg),
		platform: pipeline.NewPlatformMetrics(reg), source: newSourceMetrics(reg), openCTI: newOpenCTIMetrics(reg),
		broker: newBrokerMetrics(reg, now),
	}
}
