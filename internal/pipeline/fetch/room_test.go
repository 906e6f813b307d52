package fetch

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// shortSpool stands on a full disk while short.
type shortSpool struct {
	Spool
	short atomic.Bool
}

func (s *shortSpool) Room() spool.Room {
	r := s.Spool.Room()
	if s.short.Load() {
		r.Short, r.Left, r.Want = true, 3<<20, 128<<20
	}
	return r
}

// TestRoomOfTheDisk: fetch that waits for room on the disk is not ready, says
// what is left and what can be done, and goes on by itself.
func TestRoomOfTheDisk(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(3)
		r := newRig(t, src, rigOptions{})
		disk := &shortSpool{Spool: r.Spool}
		disk.short.Store(true)
		r.fetch.Spool = disk
		r.Know()
		stop := r.Start()
		time.Sleep(time.Minute)
		s := r.Status.Snapshot()[stageName]
		for _, part := range []string{"3 MiB", "128 MiB", "free disk space", "spool compact"} {
			if !strings.Contains(s.NotReady, part) {
				t.Errorf("%q does not say %q", s.NotReady, part)
			}
		}
		if s.State != "paused" || src.Total() > 0 {
			t.Errorf("%s, %d requests", s.State, src.Total())
		}
		disk.short.Store(false)
		time.Sleep(time.Minute)
		if s := r.Status.Snapshot()[stageName]; s.NotReady != "" || src.Total() == 0 {
			t.Errorf("%q, %d requests", s.NotReady, src.Total())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
