package schedule

import (
	"time"

	"threatmatch-connector/spool"
)

// openSlices is how many slices of the queue may be on their way to OpenCTI at
// once: one is fetched while the previous one is delivered. A run that falls due
// waits for no more than these.
const openSlices = 2

// slice starts the next slice of what a repull or a retry left in the queue. While
// something is being fetched, it starts only a slice that needs no requests. It
// reports whether the queue held anything.
func (s *Schedule) slice(epoch uint64, open []spool.Run) (queued bool, err error) {
	stats, err := s.Spool.Stats()
	if err != nil || stats.Queued == 0 {
		return false, err
	}
	slices, fetching := 0, false
	for _, r := range open {
		switch {
		case r.FetchedAt.IsZero():
			fetching = true
		case !r.Reason.MovesWatermarks():
			slices++
		}
	}
	if slices >= openSlices {
		return true, nil
	}
	most, err := s.sliceSize()
	if err != nil {
		return true, err
	}
	run, found, err := s.Spool.StartQueued(epoch, s.Now(), fetching, most)
	if err != nil || !found {
		return true, err
	}
	s.started(run, "left", stats.Queued)
	return true, nil
}

// The size of a slice: as many items as can be fetched in a quarter of the period,
// at the speed of the last slice, and at most in longestSlice. On platforms with a
// gate every slice pays for it, so slices are not much shorter either.
const (
	firstSlice    = 100 // before the speed is known
	leastSlice    = 20
	greatestSlice = 500
	shortestSlice = time.Minute
	longestSlice  = 15 * time.Minute
)

func (s *Schedule) sliceSize() (int, error) {
	size := firstSlice
	err := s.history(func(r spool.Run) bool {
		n := r.Counters["fetch.items"] + r.Counters["fetch.parked"] + r.Counters["fetch.dead"]
		took := r.FetchedAt.Sub(r.Created)
		if r.Reason.MovesWatermarks() || n < leastSlice || took <= 0 {
			return true
		}
		want := min(max(s.opt.Period/4, shortestSlice), longestSlice)
		size = int(min(max(float64(n)*want.Seconds()/took.Seconds(), leastSlice), greatestSlice))
		return false
	})
	return size, err
}
