package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// cpuOf is what a process has computed so far, 0 when there is none. The kernel
// counts it in hundredths of a second.
func cpuOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// cost is what the processors did for a row, for the connector and for all that
// took part, and how many bytes the connector allocated.
type cost struct {
	own, all  time.Duration
	allocated float64
}

// meter reads what the broker and the stand-ins computed meanwhile. What both
// did for a row is on the account soon after its end.
type meter struct {
	pids  []int
	began time.Duration
}

func newMeter(pids ...int) *meter {
	m := &meter{pids: pids}
	m.began = m.sum()
	return m
}

func (m *meter) sum() (total time.Duration) {
	for _, pid := range m.pids {
		total += cpuOf(pid)
	}
	return total
}

// with is the cost of a process of ours, which has stopped, and of what was read.
func (m *meter) with(p *process) cost {
	own := p.cpu()
	return cost{own, own + m.sum() - m.began, p.allocated}
}
