package admin

import (
	"threatmatch-connector/spool"
)

// Inspector answers what the reading commands ask, from a running daemon over
// its socket or from the file of a stopped one.
type Inspector interface {
	Stats() (Stats, error)
	Runs(before uint64, limit int) ([]Run, error)
	Run(id uint64) (Run, error)
	List(bucket, after string, limit int) ([]spool.Entry, error)
	Show(bucket, key string) (spool.Entry, []byte, error)
	Dead(after uint64, limit int) ([]Dead, error)
}

// FromSpool returns an Inspector that reads an open spool.
func FromSpool(s *spool.Spool) Inspector { return direct{s} }

type direct struct{ s *spool.Spool }

func (d direct) Stats() (Stats, error) {
	st, err := d.s.Stats()
	if err != nil {
		return Stats{}, err
	}
	marks, err := d.s.Watermarks()
	if err != nil {
		return Stats{}, err
	}
	return statsOf(st, marks), nil
}

func (d direct) Runs(before uint64, limit int) ([]Run, error) {
	runs, err := d.s.Runs(before, limit)
	if err != nil {
		return nil, err
	}
	views := make([]Run, len(runs))
	for i, r := range runs {
		views[i] = RunOf(r)
	}
	return views, nil
}

func (d direct) Run(id uint64) (Run, error) {
	r, err := d.s.Run(id)
	if err != nil {
		return Run{}, err
	}
	return RunOf(r), nil
}

func (d direct) List(bucket, after string, limit int) ([]spool.Entry, error) {
	return d.s.List(bucket, after, limit)
}

func (d direct) Show(bucket, key string) (spool.Entry, []byte, error) {
	return d.s.Show(bucket, key)
}

func (d direct) Dead(after uint64, limit int) ([]Dead, error) {
	letters, err := d.s.DeadLetters(after, limit)
	if err != nil {
		return nil, err
	}
	views := make([]Dead, len(letters))
	for i, l := range letters {
		views[i] = deadOf(l)
	}
	return views, nil
}
