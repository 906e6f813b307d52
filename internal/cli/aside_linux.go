package cli

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// stepAside gives this process the lowest priority: who looks through much must
// not slow down the import beside it. Linux has a priority for each thread; new
// ones take over that of the thread that makes them.
func stepAside() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return // it is only slower for the connector
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, 19)
		}
	}
}
