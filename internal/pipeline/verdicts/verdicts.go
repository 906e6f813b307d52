// Package verdicts reads back what OpenCTI's workers refused of a delivered run,
// and keeps it as dead letters of class "rejected".
package verdicts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/logging"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/spool"
)

const stageName = "verdicts"

const (
	atOnce   = 20 // works per step
	firstTry = 5 * time.Second
	lastTry  = time.Hour
	lookMost = 10 * time.Second // between two looks for new works
	keptFor  = 7 * 24 * time.Hour
	// A connector that was stopped for so long, or whose clock jumped, still tries
	// this often before it gives up.
	leastTries = 20
	offFor     = 24 * time.Hour // while the user may not read works
)

// Deps are the dependencies of Reader.
type Deps struct {
	Spool interface {
		WatchedWorks(now time.Time, limit int) (due []spool.WatchedWork, next time.Time, all int, err error)
		SaveVerdict(now time.Time, w spool.WatchedWork, letters []spool.DeadLetter, done bool) error
	}
	Works interface {
		WorkErrors(ctx context.Context, id string) (opencti.Work, []opencti.WorkError, error)
	}
	Status  *pipeline.Status
	Log     *slog.Logger
	Metrics *Metrics
	Now     func() time.Time
}

// Metrics counts what OpenCTI refused.
type Metrics struct{ rejected *prometheus.CounterVec }

// NewMetrics registers the metrics with reg, which adds the operator's prefix.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	return &Metrics{pipeline.CounterVec(reg, "threatmatch_platform_rejected_total", "Objects that OpenCTI's workers refused, by kind: right, marking, reference, too_large, other. At least this many: OpenCTI keeps 100 errors per work.", "kind")}
}

// Reader reads the errors of works.
type Reader struct {
	Deps
	off      time.Time // until then no works are read: the user may not read them
	told     bool      // the missing right was logged
	rejected int       // since start
}

// New returns the reader. All of Deps is required.
func New(d Deps) *Reader { return &Reader{Deps: d} }

// Run reads until ctx is done, which is not an error.
func (l *Reader) Run(ctx context.Context) error {
	return pipeline.Loop{Stage: stageName, Status: l.Status, Step: func(ctx context.Context) (time.Duration, error) {
		wait, err := l.step(ctx)
		if err != nil && ctx.Err() == nil {
			l.Status.Error(stageName, err)
			l.Log.Info("the errors of a work could not be read", "stage", stageName, "error", err)
		}
		return wait, nil
	}}.Run(ctx)
}

// step reads the works that are due and returns how long to wait.
func (l *Reader) step(ctx context.Context) (time.Duration, error) {
	now := l.Now()
	due, next, all, err := l.Spool.WatchedWorks(now, atOnce)
	if err != nil {
		return lookMost, err
	}
	var failed error
	for _, w := range due {
		if err := l.read(ctx, w); err != nil {
			failed = errors.Join(failed, fmt.Errorf("work %s of run %d: %w", w.ID, w.Run, err))
		}
		if ctx.Err() != nil {
			return 0, nil
		}
	}
	l.show(all)
	if wait := next.Sub(l.Now()); !next.IsZero() && wait < lookMost {
		return max(wait, 0), failed
	}
	return lookMost, failed
}

func (l *Reader) show(works int) {
	detail := "" // reading works holds nothing up
	if works > 0 {
		detail = fmt.Sprintf("OpenCTI is importing what was delivered; works to check: %d", works)
	}
	if l.Now().Before(l.off) {
		detail = "the connector's user may not read works (capability MODULES): what OpenCTI refuses is not known"
	}
	if l.rejected > 0 {
		detail = fmt.Sprintf("OpenCTI refused at least %d objects since the start: see `spool dead`", l.rejected)
	}
	l.Status.Set(stageName, "idle", detail, "")
}

// read reads one work and stores what is new.
func (l *Reader) read(ctx context.Context, w spool.WatchedWork) error {
	now := l.Now()
	if w.Tries == 0 && w.Due.IsZero() && now.Sub(w.Since) < firstTry && !now.Before(w.Since) {
		w.Due = w.Since.Add(firstTry) // its workers have only just begun
		return l.save(w, nil, false)
	}
	old := now.Sub(w.Since) >= keptFor || w.ID == ""
	if wait := l.off.Sub(now); wait > 0 && wait <= offFor {
		w.Due = l.off
		return l.save(w, nil, old)
	}
	w.Due = now.Add(min(firstTry<<min(w.Tries, 10), lastTry))
	w.Tries++
	over := old && (w.Tries >= leastTries || w.ID == "")
	work, list, err := l.Works.WorkErrors(ctx, w.ID)
	switch {
	case errors.Is(err, opencti.ErrWorkGone):
		l.Log.Warn("the work was deleted on OpenCTI before its errors were read: what it refused is not known", "stage", stageName, "run", w.Run, "work", w.ID)
		return l.save(w, nil, true)
	case err != nil && ctx.Err() != nil: // not a failed try
		return err
	case err != nil:
		if over {
			l.Log.Warn("the errors of a work could not be read for a week and are given up: what OpenCTI refused is not known", "stage", stageName,
				"run", w.Run, "work", w.ID, "tries", w.Tries, "error", err, "hint", "look at the connector's works on OpenCTI")
		}
		return errors.Join(err, l.save(w, nil, over))
	case work.Unread:
		l.off = now.Add(offFor)
		if !l.told {
			l.told = true
			l.Log.Log(ctx, logging.LevelNotice, "the connector's user may not read works (capability MODULES): what OpenCTI refuses is not read back", "stage", stageName)
		}
		w.Due = l.off
		return l.save(w, nil, old)
	}
	letters, kinds := l.letters(now, &w, list)
	if err := l.save(w, letters, work.Complete || over); err != nil || len(letters) == 0 {
		return err
	}
	for _, k := range kinds {
		l.Metrics.rejected.WithLabelValues(k).Inc()
	}
	l.rejected += len(kinds)
	l.show(0)
	first := letters[0]
	l.Log.Warn("OpenCTI refused objects of a run", "stage", stageName, "run", w.Run, "work", w.ID, "count", len(kinds),
		"at_least", len(list) >= opencti.MaxWorkErrors, "first", first.STIX, "reason", first.Error)
	return nil
}

// save stores a verdict. If a reset removed the work, there is nothing to store.
func (l *Reader) save(w spool.WatchedWork, letters []spool.DeadLetter, done bool) error {
	err := l.Spool.SaveVerdict(l.Now(), w, letters, done)
	if errors.Is(err, spool.ErrNotFound) {
		return nil
	}
	return err
}
