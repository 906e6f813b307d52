package fetch

import (
	"context"
	"time"

	"threatmatch-connector/internal/logging"
	"threatmatch-connector/spool"
)

const (
	// failPatience is how long a request must fail before it is reported.
	failPatience = 20 * time.Second
	// failEvery is how often the spool is asked for failing requests.
	failEvery = 5 * time.Second
	failLimit = 100 // at most this many requests are read
)

// failing is what the stage knows about requests that it retries.
type failing struct {
	looked time.Time
	any    bool                        // some are waiting for their next try
	told   map[spool.Dataset]time.Time // datasets whose failures were reported, and since when they fail
}

// working returns the state of a stage that is not paused.
func (f *failing) working() string {
	if f.any {
		return "retrying"
	}
	return "working"
}

// lookAtFailing reports datasets whose requests have failed for failPatience, and
// those that no longer fail. It goes by the spool, so a restart changes nothing.
func (f *Stage) lookAtFailing(ctx context.Context) error {
	now, s := f.Now(), &f.failing
	if f.run != nil && now.Sub(s.looked).Abs() < failEvery {
		return nil
	}
	var tasks []spool.Task
	if f.run != nil && f.health.state == serverUp {
		var err error
		if tasks, err = f.Spool.FailingTasks(f.run.ID, failLimit); err != nil {
			return err
		}
	}
	s.looked, s.any = now, len(tasks) > 0
	oldest := map[spool.Dataset]spool.Task{}
	for _, t := range tasks {
		if o, ok := oldest[t.Dataset]; !ok || t.FirstTry.Before(o.FirstTry) {
			oldest[t.Dataset] = t
		}
	}
	for d, t := range oldest {
		if _, told := s.told[d]; told || now.Sub(t.FirstTry) < failPatience {
			continue
		}
		if s.told == nil {
			s.told = map[spool.Dataset]time.Time{}
		}
		s.told[d] = t.FirstTry
		f.Log.Error("a request fails, trying again", "stage", stageName, "run", f.run.ID, "dataset", d,
			"request", t.Title(), "reason", t.LastError, "tries", t.Tries+t.Waived, "since", t.FirstTry)
	}
	for d, since := range s.told {
		if _, still := oldest[d]; still || f.health.state != serverUp {
			continue
		}
		delete(s.told, d)
		f.Log.Log(ctx, logging.LevelNotice, "no request of the dataset fails any more", "stage", stageName, "dataset", d,
			"after", now.Sub(since).Round(time.Second))
	}
	return nil
}
