// Package schedule decides when a run begins, and where its windows start.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

const stageName = "schedule"

// Deps are the dependencies of Schedule. All are required.
type Deps struct {
	Spool  Spool
	Wakes  pipeline.Wakes
	Status *pipeline.Status
	Log    *slog.Logger
	Now    func() time.Time
}

// Options say when runs start and what they request.
type Options struct {
	Datasets []spool.Dataset // the enabled ones
	Period   time.Duration   // from the end of a run's fetch to the next run
	Overlap  time.Duration   // how far a window begins before its watermark
	Types    []string        // the STIX types of IOCs
	Once     bool            // do one run after what the spool holds, then end
	// ImportFrom returns the configured start of a first import.
	ImportFrom func(now time.Time) time.Time
}

// Spool is the part of the spool that the schedule uses.
type Spool interface {
	Meta() (spool.Meta, error)
	OpenRuns() ([]spool.Run, error)
	Run(id uint64) (spool.Run, error)
	Runs(before uint64, limit int) ([]spool.Run, error)
	Watermarks() (map[spool.Dataset]spool.Watermark, error)
	StartRun(epoch uint64, now time.Time, spec spool.RunSpec) (spool.Run, error)
	Retry(epoch uint64, now time.Time, dead []uint64, parked []spool.TaskKey) (spool.Run, error)
	StartQueued(epoch uint64, now time.Time, kept bool, most int) (spool.Run, bool, error)
	Stats() (spool.Stats, error)
}

// Schedule starts runs. Run is the loop; the other methods may be called from any
// goroutine. The time of the next run follows from what the spool holds, so a
// restart neither loses nor hastens it.
type Schedule struct {
	Deps
	opt Options

	mu     sync.Mutex // held from reading the spool until the run is started
	once   uint64     // the run of Once
	epoch  uint64     // epoch in which it was started
	next   time.Time
	back   setBack
	repull int64 // the number of the latest repull
}

// New returns the schedule. It starts nothing yet.
func New(d Deps, o Options) (*Schedule, error) {
	switch {
	case len(o.Datasets) == 0:
		return nil, fault.Mark(fault.Fatal, errors.New("schedule: no dataset is enabled"))
	case !o.Once && o.Period <= 0:
		return nil, fault.Mark(fault.Fatal, errors.New("schedule: no period"))
	}
	return &Schedule{Deps: d, opt: o}, nil
}

// Run starts runs until ctx is done, or until the run of Once is done. Neither is
// an error.
func (s *Schedule) Run(ctx context.Context) error {
	return pipeline.Loop{Stage: stageName, Status: s.Status, Wake: s.Wakes.Schedule, Step: func(context.Context) (time.Duration, error) {
		wait, done, err := s.step()
		switch {
		case errors.Is(err, spool.ErrEpoch):
			return 0, nil // a reset happened in between
		case errors.Is(err, spool.ErrFull):
			s.Status.Error(stageName, err)
			return time.Minute, nil
		case done:
			return 0, pipeline.ErrDone
		}
		return wait, err
	}}.Run(ctx)
}

// firstEpoch is the epoch of a spool that was never reset.
const firstEpoch = 1

// slowLook is how often the schedule looks without a wake.
const slowLook = 5 * time.Second

// step starts the next run if it is due, and returns how long to wait before the
// next look.
func (s *Schedule) step() (wait time.Duration, done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta, err := s.Spool.Meta()
	if err != nil {
		return 0, false, err
	}
	if !meta.StateKnown {
		s.Status.Set(stageName, "waiting", "the state that OpenCTI keeps", "")
		return slowLook, false, nil
	}
	open, err := s.Spool.OpenRuns()
	if err != nil {
		return 0, false, err
	}
	if s.opt.Once {
		return s.stepOnce(meta, open)
	}
	if run, ok := importing(open); ok {
		s.next = time.Time{}
		s.Status.Set(stageName, "working", fmt.Sprintf("run %d is being fetched", run.ID), "")
		_, err = s.slice(meta.Epoch, open)
		return slowLook, false, err
	}
	now := s.Now()
	last, err := s.lastImport(now)
	if err != nil {
		return 0, false, err
	}
	if wait = s.remaining(last, now); wait > 0 {
		s.next = now.Add(wait)
		s.Status.Set(stageName, "idle", "next run at "+s.next.UTC().Format(time.RFC3339), "")
		queued, err := s.slice(meta.Epoch, open)
		if queued {
			wait = min(wait, slowLook)
		}
		return min(wait, time.Minute), false, err
	}
	_, err = s.start(meta.Epoch, spool.ReasonSchedule, now)
	return 0, false, err
}

// remaining returns what is left of the period since the last import's fetch ended.
// If the clock was set back to before that end, it returns a whole period from when
// that was first seen, instead of waiting until the clock has caught up.
func (s *Schedule) remaining(last spool.Run, now time.Time) time.Duration {
	ended := last.FetchedAt
	if ended.IsZero() {
		return 0
	}
	if ended.After(now) {
		if s.back.run != last.ID || s.back.seen.IsZero() || s.back.seen.After(now) {
			s.back = setBack{last.ID, now}
		}
		ended = s.back.seen
	}
	return s.opt.Period - now.Sub(ended)
}

// setBack records when the clock was first seen to be before the end of a run's
// fetch.
type setBack struct {
	run  uint64
	seen time.Time
}

// stepOnce starts the single run of Once, after whatever the spool still holds.
func (s *Schedule) stepOnce(meta spool.Meta, open []spool.Run) (time.Duration, bool, error) {
	const look = time.Second
	if s.once != 0 && s.epoch == meta.Epoch {
		run, err := s.Spool.Run(s.once)
		if err != nil {
			return 0, false, err
		}
		s.Status.Set(stageName, "working", fmt.Sprintf("run %d", run.ID), "")
		return look, delivered(run), nil
	}
	if queued, err := s.slice(meta.Epoch, open); queued || err != nil {
		s.Status.Set(stageName, "working", "an earlier repull or retry goes first", "")
		return look, false, err
	}
	if len(open) > 0 {
		s.Status.Set(stageName, "working", fmt.Sprintf("earlier run %d goes first", open[0].ID), "")
		return look, false, nil
	}
	run, err := s.start(meta.Epoch, spool.ReasonOnce, s.Now())
	if err != nil {
		return 0, false, err
	}
	s.once, s.epoch = run.ID, meta.Epoch
	return look, false, nil
}

// delivered reports whether the run is done, and not dropped by a reset since meta was read.
func delivered(r spool.Run) bool { return !r.DoneAt.IsZero() && !r.Dropped }

// importing returns the open run that moves watermarks and is still being fetched.
func importing(open []spool.Run) (spool.Run, bool) {
	i := slices.IndexFunc(open, func(r spool.Run) bool { return r.Reason.MovesWatermarks() && r.FetchedAt.IsZero() })
	if i < 0 {
		return spool.Run{}, false
	}
	return open[i], true
}

// lastImport returns the newest fetched run that moves watermarks, or the zero run. One
// that ended more than a period ahead does not count if there is an older one: the clock
// was set back, and each restart would begin the wait again.
func (s *Schedule) lastImport(now time.Time) (spool.Run, error) {
	var last spool.Run
	err := s.history(func(r spool.Run) bool {
		if !r.Reason.MovesWatermarks() || r.FetchedAt.IsZero() {
			return true
		}
		counts := r.FetchedAt.Sub(now) <= s.opt.Period
		if counts || last.ID == 0 {
			last = r
		}
		return !counts
	})
	return last, err
}

// history calls yield with the runs since the last reset, newest first, until it
// returns false.
func (s *Schedule) history(yield func(spool.Run) bool) error {
	meta, err := s.Spool.Meta()
	if err != nil {
		return err
	}
	return pipeline.RunHistory(s.Spool, meta.Epoch, yield)
}

// start begins a run of all enabled datasets. The caller holds the lock.
func (s *Schedule) start(epoch uint64, reason spool.Reason, now time.Time) (spool.Run, error) {
	windows, fresh, err := s.windows(now)
	if err != nil {
		return spool.Run{}, err
	}
	if err := s.newTypes(windows); err != nil {
		return spool.Run{}, err
	}
	if fresh && epoch > firstEpoch {
		reason = spool.ReasonReset
	}
	return s.begin(epoch, now, spool.RunSpec{Reason: reason, Start: now, Datasets: windows, Tasks: listTasks(windows, ""), Parked: true})
}

// begin commits a run and wakes fetch.
func (s *Schedule) begin(epoch uint64, now time.Time, spec spool.RunSpec) (spool.Run, error) {
	run, err := s.Spool.StartRun(epoch, now, spec)
	if err != nil {
		return run, err
	}
	windows := map[string]string{}
	for d, dr := range run.Datasets {
		windows[string(d)] = dr.From.UTC().Format(time.RFC3339)
	}
	s.started(run, "windows", windows)
	return run, nil
}

// started logs the start of a run and wakes those who work on it. Runs of what the
// spool holds may have something to map at once.
func (s *Schedule) started(run spool.Run, about ...any) {
	s.Log.Info("run starts", append([]any{"stage", stageName, "run", run.ID, "reason", run.Reason}, about...)...)
	s.Wakes.Fetch.Signal()
	s.Wakes.Map.Signal()
	s.Wakes.Platform.Signal()
}

// listTasks returns the first requests of a run: a list for each dataset; for IOCs,
// the list of groups.
func listTasks(windows map[spool.Dataset]time.Time, source string) []spool.NewTask {
	var tasks []spool.NewTask
	for _, d := range spool.Datasets() {
		if from, ok := windows[d]; ok {
			tasks = append(tasks, spool.NewTask{
				TaskKey: spool.TaskKey{Dataset: d, Kind: spool.TaskList, Source: source}, Since: from,
			})
		}
	}
	return tasks
}
