package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/spool"
)

// tidySpool answers Prune from a script, then with nothing to do.
type tidySpool struct {
	room    spool.Room
	answers []error
	asked   []time.Time
	forget  []time.Time
	removed int64
}

func (s *tidySpool) Room() spool.Room { return s.room }

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
		{"room enough", &tidySpool{room: spool.Room{Max: 100, Live: 10}}, day, 10, 12},
		{"room is short", &tidySpool{room: spool.Room{Max: 100, Live: 90}}, day, 38, 42},
		{"more to remove", &tidySpool{room: spool.Room{Max: 100, Live: 10}, removed: 5}, 0, 11, 13},
		{"trouble does not end it", &tidySpool{room: spool.Room{Max: 100}, answers: []error{errors.New("boom")}}, 0, 10, 12},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				h, err := NewHousekeep(HousekeepDeps{Spool: tt.spool, Board: NewBoard(time.Now), Log: quiet(), Now: time.Now}, tt.forget)
				if err != nil {
					t.Fatal(err)
				}
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
