package pipeline

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/spool"
)

// tidySpool answers Prune from a script, then with nothing to do.
type tidySpool struct {
	answers []error
	asked   []time.Time
	forget  []time.Time
	removed int64
	missing []error // of the file, at each step; nil after the last
	open    []int   // how many runs are open at each step; none after the last
}

func (s *tidySpool) OpenRuns() ([]spool.Run, error) {
	if len(s.open) == 0 {
		return nil, nil
	}
	n := s.open[0]
	s.open = s.open[1:]
	if n < 0 {
		return nil, errors.New("boom")
	}
	return make([]spool.Run, n), nil
}

func (s *tidySpool) Missing() error {
	if len(s.missing) == 0 {
		return nil
	}
	err := s.missing[0]
	s.missing = s.missing[1:]
	return err
}

func (s *tidySpool) Prune(now, before time.Time) (map[string]int64, error) {
	s.asked, s.forget = append(s.asked, now), append(s.forget, before)
	var err error
	if len(s.answers) > 0 {
		err, s.answers = s.answers[0], s.answers[1:]
	}
	n := s.removed
	s.removed = 0
	return map[string]int64{"ids": n}, err
}

func TestHousekeep(t *testing.T) {
	tests := []struct {
		name    string
		spool   *tidySpool
		forget  time.Duration
		minimum int // calls within ten minutes
		maximum int
	}{
		{"nothing to remove", &tidySpool{}, day, 60, 61},
		{"more to remove", &tidySpool{removed: 5}, 0, 61, 62},
		{"trouble does not end it", &tidySpool{answers: []error{errors.New("boom")}}, 0, 60, 61},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				h := NewHousekeep(HousekeepDeps{Spool: tt.spool, Status: NewStatus(time.Now), Log: quiet(), Now: time.Now}, tt.forget)
				if err := h.Run(ctx); err != nil {
					t.Fatal(err)
				}
				if n := len(tt.spool.asked); n < tt.minimum || n > tt.maximum {
					t.Errorf("asked %d times", n)
				}
				want := time.Time{}
				if tt.forget > 0 {
					want = tt.spool.asked[0].Add(-tt.forget)
				}
				if got := tt.spool.forget[0]; !got.Equal(want) {
					t.Errorf("forgets before %v, want %v", got, want)
				}
			})
		})
	}
}

const day = 24 * time.Hour

func TestHousekeepRests(t *testing.T) {
	tests := []struct {
		name string
		open []int
		want int
	}{
		{"nothing ever open", nil, 0},
		{"one run", []int{1, 1}, 1},
		{"one run after another", []int{1, 0, 0, 2, 1}, 2},
		{"a step that cannot tell", []int{1, -1, 1}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rested := 0
			h := NewHousekeep(HousekeepDeps{Spool: &tidySpool{open: tt.open}, Rest: func() { rested++ },
				Status: NewStatus(time.Now), Log: quiet(), Now: time.Now}, 0)
			for range len(tt.open) + 2 {
				h.step()
			}
			if rested != tt.want {
				t.Errorf("rested %d times, want %d", rested, tt.want)
			}
		})
	}
}

// The archive's old files may be what fills the disk that Prune cannot write to.
func TestHousekeepExpiresOnAFullDisk(t *testing.T) {
	expired := 0
	h := NewHousekeep(HousekeepDeps{Spool: &tidySpool{answers: []error{spool.ErrFull}}, Status: NewStatus(time.Now), Log: quiet(), Now: time.Now,
		Expire: func(time.Time) (int, error) { expired++; return 0, nil }}, 0)
	if more := h.step(); more || expired != 1 {
		t.Errorf("removed old files %d times, more to do: %v; want once and false", expired, more)
	}
}

// A file that is gone is logged once, however long it stays so.
func TestHousekeepTellsOfAMissingFile(t *testing.T) {
	gone := errors.New("spool.db was removed")
	var log bytes.Buffer
	h := NewHousekeep(HousekeepDeps{Spool: &tidySpool{missing: []error{nil, gone, gone, gone}}, Status: NewStatus(time.Now),
		Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now}, 0)
	for range 4 {
		h.step()
	}
	if n := strings.Count(log.String(), "the spool's file is gone"); n != 1 || !strings.Contains(log.String(), gone.Error()) {
		t.Errorf("told %d times, want once, with the error\n%s", n, log.String())
	}
}
