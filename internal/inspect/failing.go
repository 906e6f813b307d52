package inspect

import "time"

// Failing is a request whose last try failed and that is retried in its run.
type Failing struct {
	Run     uint64    `json:"run"`
	Dataset string    `json:"dataset"`
	Request string    `json:"request"` // "profiles/7", "list of profiles"
	Tries   int       `json:"tries"`
	Since   time.Time `json:"since"` // its first failure in the run
	Next    time.Time `json:"next"`  // not retried before
	Class   string    `json:"class"` // of the last failure
	Error   string    `json:"error"` // of the last try, with what can be done about it
}

func (d direct) Failing(limit int) ([]Failing, error) {
	all := []Failing{}
	runs, err := d.Spool.OpenRuns()
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		if !r.FetchedAt.IsZero() || r.Dropped || len(all) >= limit {
			continue
		}
		tasks, err := d.Spool.FailingTasks(r.ID, limit-len(all))
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			all = append(all, Failing{
				Run: t.Run, Dataset: string(t.Dataset), Request: t.Title(), Tries: t.Tries + t.Waived,
				Since: t.FirstTry, Next: t.Due, Class: t.LastClass, Error: t.LastError,
			})
		}
	}
	return all, nil
}
