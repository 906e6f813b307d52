package app

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// How the garbage collector spends memory for time. Below enoughMemory it may
// let garbage reach twice what is in use, which halves its work; above, it
// works as hard as it must, up to half of the processors' time. What an import
// needs, a record of tens of megabytes aside, fits below, however long it is.
const (
	enoughMemory   = 88 << 20
	garbagePercent = 200
)

// limitMemory sets up the garbage collector: for a small footprint, and for a
// container's memory limit, so that it works harder before the kernel ends the
// process. GOGC and GOMEMLIMIT in the environment win.
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

// atMost lowers the limit that a provider knows, if it knows one at all.
func atMost(most uint64, p memlimit.Provider) memlimit.Provider {
	return func() (uint64, error) {
		if limit, err := p(); err == nil {
			return min(limit, most), nil
		}
		return most, nil
	}
}
