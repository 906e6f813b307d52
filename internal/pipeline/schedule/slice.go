package schedule

import "threatmatch-connector/spool"

// openSlices is how many slices of the queue may be on their way to OpenCTI at
// once: one is fetched while the one before is delivered. A run that falls due
// has no more than these before it.
const openSlices = 2

// slice starts the next slice of what a repull or a retry left in the queue; while
// something is being fetched, only one that has no request to make. It reports whether
// the queue holds, or held, anything.
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
	run, found, err := s.Spool.StartQueued(epoch, s.Now(), fetching)
	if err != nil || !found {
		return true, err
	}
	s.Log.Info("run starts", "stage", stageName, "run", run.ID, "reason", run.Reason, "left", stats.Queued)
	s.Wakes.Fetch.Signal()
	s.Wakes.Map.Signal()
	s.Wakes.Platform.Signal()
	return true, nil
}
