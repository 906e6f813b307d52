package app

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// How the garbage collector trades memory for time. Below enoughMemory garbage may grow to twice what is in use,
// which halves the collector's work. Above it, the collector works as hard as it must, up to half of the processors'
// time. However long an import is, it stays below, unless a record has tens of megabytes.
const (
	enoughMemory   = 66 << 20
	garbagePercent = 200
)

// limitMemory sets up the garbage collector for a small footprint and for a container's memory limit: it works harder
// before the kernel kills the process. GOGC and GOMEMLIMIT in the environment win.
func limitMemory(log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	limit, err := memlimit.Set(
		memlimit.WithRatio(1),
		memlimit.WithProvider(atMost(enoughMemory, memlimit.ApplyRatio(memlimit.FromCgroup, 0.8))),
	)
	if err == nil {
		log.Debug("memory limit of the garbage collector", "bytes", limit)
	}
}

// atMost lowers the limit of a provider to most; without a limit it is most.
func atMost(most uint64, p memlimit.Provider) memlimit.Provider {
	return func() (uint64, error) {
		if limit, err := p(); err == nil {
			return min(limit, most), nil
		}
		return most, nil
	}
}
