package app

import (
	"errors"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func TestMemoryLimitIsTheLowest(t *testing.T) {
	const most = 66 << 20
	for name, c := range map[string]struct {
		container memlimit.Provider
		want      uint64
	}{
		"container with plenty":   {memlimit.Limit(1 << 30), most},
		"small container":         {memlimit.Limit(64 << 20), 64 << 20},
		"container with no limit": {func() (uint64, error) { return 0, memlimit.ErrNoLimit }, most},
		"no container":            {func() (uint64, error) { return 0, errors.New("no cgroup") }, most},
	} {
		if got, err := atMost(most, c.container)(); got != c.want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, c.want)
		}
	}
}
