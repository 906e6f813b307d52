package metrics

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/delivery"
)

// TestConnections: only what follows the loss of a connection is a new one.
func TestConnections(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newBrokerMetrics(reg, time.Now)
	for _, s := range []delivery.State{
		delivery.StateConnected, delivery.StateNacked, delivery.StateConnected, delivery.StateBlocked, delivery.StateConnected,
		delivery.StateBlocked, delivery.StateReconnecting, delivery.StateConnected,
	} {
		m.Changed(s)
	}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if got := f.GetMetric()[0].GetCounter().GetValue(); f.GetName() == "threatmatch_broker_connections_total" && got != 2 {
			t.Errorf("counts %v connections, want 2", got)
		}
	}
}
