package fetch

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// shortSpool reports a full disk while short.
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

// TestRoomOfTheDisk: fetch that waits for room on the disk is not ready, says what
// is left and what can be done, and resumes by itself.
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
		for _, line := range []string{"fetch waits for room in the spool", "fetch goes on, the spool has room"} {
			if n := strings.Count(r.Logs.String(), line); n != 1 {
				t.Errorf("%q is told %d times, want once", line, n)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// roomySpool claims to have this much room.
type roomySpool struct {
	Spool
	room    spool.Room
	records int64 // that map has still to read
}

func (s *roomySpool) Room() spool.Room { return s.room }

func (s *roomySpool) Stats() (spool.Stats, error) {
	return spool.Stats{Counts: spool.Counts{Records: s.records}}, nil
}

// TestRoomMarks: fetch pauses above max_size, not at it, and resumes below four
// fifths of it, not at them. If nothing moves, it requests one task at a time, down
// to what is reserved for map and deliver.
func TestRoomMarks(t *testing.T) {
	const size, limit = 4 << 30, 6 << 30
	const resume = int64(size) / 5 * 4
	tasks := make([]spool.Task, 3)
	for _, tt := range []struct {
		name            string
		live            int64
		squeezed, still bool
		want            int
	}{
		{"at the mark", size, false, true, 3},
		{"above the mark", size + 1, false, false, 0},
		{"paused, at four fifths", resume, true, false, 0},
		{"paused, below four fifths", resume - 1, true, false, 3},
		{"paused, and nothing moves", size + 1, true, true, 1},
		{"the gap is used up but for a byte", limit - roomLeft - 1, true, true, 1},
		{"the gap is used up", limit - roomLeft, true, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, pipelinetest.NewSource(1), rigOptions{})
			s := &roomySpool{r.Spool, spool.Room{Live: tt.live, Max: size, Cap: limit}, 1}
			if tt.still {
				s.records = 0
			}
			r.fetch.Spool, r.fetch.squeezed = s, tt.squeezed
			got, _, err := r.fetch.withinRoom(tasks)
			if err != nil || len(got) != tt.want {
				t.Errorf("%d tasks may be asked, %v, want %d", len(got), err, tt.want)
			}
		})
	}
}
