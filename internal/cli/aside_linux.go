package cli

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// stepAside gives this process the lowest priority: a command that reads a lot must
// not slow down the import next to it. Linux has a priority per thread, and new
// threads inherit it.
func stepAside() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return // the connector is only slowed down a little
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, 19)
		}
	}
}
