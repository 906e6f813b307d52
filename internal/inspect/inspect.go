package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"threatmatch-connector/spool"
)

// Inspector answers the reading commands, from a running daemon over its socket or
// from the file of a stopped one. No call keeps a view of the spool open for long,
// except Snapshot.
type Inspector interface {
	Stats() (Stats, error)
	// Runs returns up to limit runs older than before (0: start with the newest),
	// newest first.
	Runs(before uint64, limit int) ([]Run, error)
	Run(id uint64) (Run, error)
	// List returns up to limit entries of a bucket after the named one. If entries
	// are large there may be fewer, but at least one while there are any.
	List(bucket, after string, limit int) ([]spool.Entry, error)
	Show(bucket, key string) (spool.Entry, []byte, error)
	// Tasks returns up to limit tasks after the named one, which is written as in
	// List.
	Tasks(after string, limit int) ([]Task, error)
	// Task returns one task, or spool.ErrNotFound.
	Task(key spool.TaskKey) (Task, error)
	// Failing returns up to limit requests whose last try failed and that are
	// retried, by run and next try.
	Failing(limit int) ([]Failing, error)
	// Held returns up to limit held objects.
	Held(limit int) ([]Held, error)
	// HeldObject returns one held object, or spool.ErrNotFound.
	HeldObject(id string) (Held, error)
	// Dead returns up to limit dead letters with a key above after, including
	// healed ones.
	Dead(after uint64, limit int) ([]Dead, error)
	// Unsettled groups what fails, is parked or is a dead letter. It reads a
	// bounded number of each.
	Unsettled() (Unsettled, error)
	// Find returns what the spool knows about a STIX id or a source id.
	Find(ctx context.Context, query string) (Found, error)
	// SkipFrom returns where a skip of the dataset to a time would begin, or why it
	// would be refused.
	SkipFrom(d spool.Dataset, to time.Time) (time.Time, error)
	// Export returns what a bucket still holds, and where to continue, "" at the
	// end.
	Export(bucket, after string) ([]spool.Exported, string, error)
	// Snapshot writes a consistent copy of the file.
	Snapshot(w io.Writer) (int64, error)
}

// FromSpool returns an Inspector that reads an open spool.
func FromSpool(s *spool.Spool) Inspector { return direct{s} }

// direct has the spool's own List, Show and Snapshot.
type direct struct{ *spool.Spool }

func (d direct) Stats() (Stats, error) {
	st, err := d.Spool.Stats()
	if err != nil {
		return Stats{}, err
	}
	marks, err := d.Spool.Watermarks()
	if err != nil {
		return Stats{}, err
	}
	return statsOf(st, marks), nil
}

func (d direct) Runs(before uint64, limit int) ([]Run, error) {
	runs, err := d.Spool.Runs(before, limit)
	if err != nil {
		return nil, err
	}
	views := make([]Run, len(runs))
	for i, r := range runs {
		if views[i], err = d.view(r); err != nil {
			return nil, err
		}
	}
	return views, nil
}

func (d direct) Run(id uint64) (Run, error) {
	r, err := d.Spool.Run(id)
	if err != nil {
		return Run{}, err
	}
	return d.view(r)
}

// view returns the view of a run with its pending requests.
func (d direct) view(r spool.Run) (Run, error) {
	v := RunOf(r)
	if !r.FetchedAt.IsZero() {
		return v, nil
	}
	open, err := d.Spool.OpenTasks(r.ID)
	if err != nil {
		return v, err
	}
	for i := range v.Datasets {
		for _, n := range open[spool.Dataset(v.Datasets[i].Dataset)] {
			v.Datasets[i].Open += n
		}
	}
	return v, nil
}

func (d direct) Tasks(after string, limit int) ([]Task, error) {
	entries, err := d.Spool.List("tasks", after, limit)
	if err != nil {
		return nil, err
	}
	views := make([]Task, 0, len(entries))
	for _, e := range entries {
		key, err := spool.ParseTaskKey(e.Key)
		if err != nil {
			return nil, err
		}
		v, err := d.Task(key)
		switch {
		case errors.Is(err, spool.ErrNotFound): // it finished in between
			continue
		case err != nil:
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

func (d direct) Task(key spool.TaskKey) (Task, error) {
	v := Task{Dataset: string(key.Dataset), Kind: string(key.Kind), Source: key.Source}
	t, err := d.Spool.Task(key)
	if errors.Is(err, spool.ErrCorrupt) {
		v.Unreadable = err.Error()
		return v, nil
	}
	v.Run, v.Parked, v.Error = t.Run, t.Parked, t.LastError
	return v, err
}

func (d direct) Held(limit int) ([]Held, error) {
	objects, err := d.Spool.Objects(spool.Held, 0, limit)
	views := make([]Held, len(objects))
	for i, o := range objects {
		views[i] = heldOf(o)
	}
	return views, err
}

func (d direct) HeldObject(id string) (Held, error) {
	t, err := d.Spool.Trace(id)
	if err == nil && t.Held == nil {
		err = fmt.Errorf("held object %s: %w", id, spool.ErrNotFound)
	}
	if err != nil {
		return Held{}, err
	}
	v := heldOf(*t.Held)
	v.ID = id
	return v, nil
}

func (d direct) Dead(after uint64, limit int) ([]Dead, error) {
	letters, err := d.Spool.DeadLetters(after, limit)
	if err != nil {
		return nil, err
	}
	views := make([]Dead, len(letters))
	open := map[uint64]bool{} // runs of retries that are not finished
	for i, l := range letters {
		views[i] = deadOf(l)
		if l.Healed.IsZero() || !l.Healed.Equal(l.Retried) {
			continue
		}
		if _, known := open[l.RetryRun]; !known {
			run, err := d.Spool.Run(l.RetryRun)
			open[l.RetryRun] = err == nil && run.DoneAt.IsZero()
		}
		views[i].Trying = open[l.RetryRun]
	}
	return views, nil
}

// exportBudget is roughly how many bytes one page of an export holds.
const exportBudget = 4 << 20

func (d direct) Export(bucket, after string) ([]spool.Exported, string, error) {
	return d.Spool.Export(bucket, after, exportBudget)
}
