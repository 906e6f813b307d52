package schedule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/spool"
)

// Next returns when the next run starts. It is zero while a run is being fetched or
// none is planned.
func (s *Schedule) Next() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Delivered returns the number of the run of Once, 0 if it has not begun, and
// whether it is done.
func (s *Schedule) Delivered() (run uint64, done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta, err := s.Spool.Meta()
	if err != nil || s.once == 0 || s.epoch != meta.Epoch {
		return 0, false, err
	}
	r, err := s.Spool.Run(s.once)
	return s.once, err == nil && delivered(r), err
}

// Trigger starts a run now. If one is being fetched already, it returns that run
// and merged is true.
func (s *Schedule) Trigger() (run spool.Run, merged bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta, err := s.Spool.Meta()
	if err != nil {
		return run, false, err
	}
	if !meta.StateKnown {
		return run, false, fault.Hint(errors.New("trigger: the state that OpenCTI keeps is not known yet"), "the first run starts as soon as OpenCTI answers")
	}
	open, err := s.Spool.OpenRuns()
	if err != nil {
		return run, false, err
	}
	if run, merged = importing(open); merged {
		return run, true, nil
	}
	run, err = s.start(meta.Epoch, spool.ReasonTrigger, s.Now())
	s.Wakes.Schedule.Signal()
	return run, false, err
}

// Repull imports a past window again, after whatever is being fetched now, without
// moving the watermarks. Without datasets it takes all enabled ones.
func (s *Schedule) Repull(from time.Time, datasets ...spool.Dataset) (spool.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	if from.IsZero() || from.After(now) {
		return spool.Run{}, fmt.Errorf("repull: %s is not in the past", from.Format(time.RFC3339))
	}
	if len(datasets) == 0 {
		datasets = s.opt.Datasets
	}
	windows := map[spool.Dataset]time.Time{}
	for _, d := range datasets {
		if !slices.Contains(s.opt.Datasets, d) {
			return spool.Run{}, fmt.Errorf("repull %s: no such dataset, or it is switched off", d)
		}
		windows[d] = from.UTC()
	}
	meta, err := s.Spool.Meta()
	if err != nil {
		return spool.Run{}, err
	}
	// A unique source keeps its list tasks apart from those of an open run.
	s.repull = max(now.UnixMilli(), s.repull+1)
	source := fmt.Sprintf("repull %d", s.repull)
	return s.begin(meta.Epoch, now, spool.RunSpec{
		Reason: spool.ReasonRepull, Start: now, Datasets: windows, Tasks: listTasks(windows, source),
	})
}

// Retry takes dead letters and parked items into their own run, after whatever is
// being fetched now.
func (s *Schedule) Retry(dead []uint64, parked []spool.TaskKey) (spool.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta, err := s.Spool.Meta()
	if err != nil {
		return spool.Run{}, err
	}
	run, err := s.Spool.Retry(meta.Epoch, s.Now(), dead, parked)
	if err == nil {
		s.started(run)
	}
	return run, err
}
