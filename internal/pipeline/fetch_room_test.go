package pipeline

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// shortSpool stands on a full disk while short.
type shortSpool struct {
	fetchSpool
	short atomic.Bool
}

func (s *shortSpool) Room() spool.Room {
	r := s.fetchSpool.Room()
	if s.short.Load() {
		r.Short, r.Left, r.Want = true, 3<<20, 128<<20
	}
	return r
}

// TestRoomOfTheDisk: fetch that waits for room on the disk is not ready, says
// what is left and what can be done, and goes on by itself.
func TestRoomOfTheDisk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(3)
		r := newRig(t, src, rigOptions{})
		disk := &shortSpool{fetchSpool: r.spool}
		disk.short.Store(true)
		r.fetch.Spool = disk
		r.know()
		stop := r.start()
		time.Sleep(time.Minute)
		s := r.status.Snapshot()[stageFetch]
		for _, part := range []string{"3 MiB", "128 MiB", "free disk space", "spool compact"} {
			if !strings.Contains(s.NotReady, part) {
				t.Errorf("%q does not say %q", s.NotReady, part)
			}
		}
		if s.State != "paused" || src.total() > 0 {
			t.Errorf("%s, %d requests", s.State, src.total())
		}
		disk.short.Store(false)
		time.Sleep(time.Minute)
		if s := r.status.Snapshot()[stageFetch]; s.NotReady != "" || src.total() == 0 {
			t.Errorf("%q, %d requests", s.NotReady, src.total())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
