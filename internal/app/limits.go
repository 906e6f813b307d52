package app

import (
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/config"
)

// limitMemory lets the garbage collector know a container's memory limit, so
// that it works harder before the kernel ends the process.
func limitMemory(log *slog.Logger) {
	limit, err := memlimit.Set(
		memlimit.WithRatio(0.8),
		memlimit.WithProvider(memlimit.FromCgroup),
	)
	if err == nil && limit > 0 {
		log.Debug("memory limit taken from the container", "bytes", limit)
	}
}

// prefixed returns a registerer that puts the operator's namespace and
// subsystem before every name, as other OpenCTI connectors do.
func prefixed(reg prometheus.Registerer, c config.Connector) prometheus.Registerer {
	prefix := ""
	for _, part := range []string{c.MetricsNamespace, c.MetricsSubsystem} {
		if part != "" {
			prefix += part + "_"
		}
	}
	if prefix == "" {
		return reg
	}
	return prometheus.WrapRegistererWithPrefix(prefix, reg)
}
