// Package mapstage is the stage between fetch and deliver: it maps records, settles
// references and makes bundles.
package mapstage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

const stageName = "map"

// Spool is the part of the spool that the map stage uses.
type Spool interface {
	Meta() (spool.Meta, error)
	Room() spool.Room
	OpenRuns() ([]spool.Run, error)
	Runs(before uint64, limit int) ([]spool.Run, error)
	Records(run, after uint64, maxCount int, maxBytes int64) ([]spool.Record, error)
	LookupIDs(ids []string) (map[string]spool.ID, error)
	SetIDs(ids []string) (map[string]string, error)
	ObjectsByID(run uint64, ids []string) (map[string]spool.Object, error)
	Objects(run, after uint64, limit int) ([]spool.Object, error)
	Watchers(run uint64, id string, after uint64, limit int) ([]spool.Object, error)
	WatchedIDs(run uint64, after string, limit int) ([]string, error)
	Awaited(run uint64, ids []string) (map[string]bool, error)
	HeldPlace(n int64) (seq uint64, err error)
	CommitMap(epoch uint64, now time.Time, c spool.MapCommit) error
	FinishMap(epoch uint64, run uint64, now time.Time) error
	DeadLetters(after uint64, limit int) ([]spool.DeadLetter, error)
	OpenDeadLetters(after uint64, limit int) ([]spool.DeadLetter, error)
	Crash() (spool.CrashMark, bool, error)
	MarkCrash(m *spool.CrashMark) error
	NextBundle() (spool.Bundle, error)
	BundleObjects(run, seq uint64, from int, maxBytes int64) ([]spool.BundleObject, error)
	Search(bucket string, q spool.Query, after string, budget int64) ([]spool.Hit, string, error)
	Stats() (spool.Stats, error)
}

// Mapper turns records into objects. See mapping.Mapper. It is safe for concurrent use.
type Mapper interface {
	Map(src mapping.Source, body []byte) mapping.Result
	Author() *stix.Object
	Marking(id string) *stix.Object
	Settle(rel *stix.Object, kindOf func(id string) string) mapping.Counts
	EnsureAuthor(o *stix.Object) bool
	MarkUnread(o *stix.Object) bool
	OverCeiling(o *stix.Object) bool
}

// Resolver asks the platform which ids it has. It returns the kinds of those it
// knows, as mapping.Kind names them; with an error, those it learned until then.
// Any error but a Permanent one means that the platform does not answer now.
type Resolver interface {
	Known(ctx context.Context, ids []string) (map[string]string, error)
}

// Deps are the dependencies of Stage. Resolver is nil offline.
type Deps struct {
	Spool    Spool
	Mapper   Mapper
	Resolver Resolver
	Wakes    pipeline.Wakes
	Status   *pipeline.Status
	Log      *slog.Logger
	Metrics  *Metrics
	Now      func() time.Time
	Paused   func() string // why an operator has paused mapping; "" or nil: not paused
}

// Options are the settings of Stage.
type Options struct {
	MaxObjects     int           // objects in a bundle
	MaxBytes       int           // bytes of JSON in a bundle
	MaxWait        time.Duration // age of the oldest record at which a bundle is closed
	ResendAfter    time.Duration // send an equal copy again if the last one is this old; 0 means always
	HoldUnresolved time.Duration // how long held objects are kept
	MaxMessageSize int64         // largest message that the broker accepts; 0 means unknown
}

// Stage is the stage between fetch and deliver: it maps records, merges and
// orders objects, settles their references, and hands them over in bundles.
// Everything it knows is in the spool; what it holds in memory can be lost.
type Stage struct {
	Deps
	opt     Options
	author  string // id of the default author
	lookups int    // ids that are asked of the platform in one run

	maxMessage int64 // the largest message that the broker accepts; 0: unknown

	epoch    uint64
	gather   *gathering
	drains   map[uint64]*drainPass // by run
	notes    map[uint64]*notes     // by run
	freed    freedQueue
	careful  time.Time // records older than this are mapped one per commit; zero: none
	mark     *spool.CrashMark
	alone    bool       // no other stage runs: nothing makes room
	squeezed bool       // fetch is paused for room
	failed   int        // errors in a row
	at       string     // id of the object being worked on; "": none
	under    *gathering // what is being committed or mapped
	blamed   blamed
}

// New returns the stage. Run it once.
func New(d Deps, o Options) (*Stage, error) {
	switch {
	case o.ResendAfter < 0:
		return nil, fault.Mark(fault.Fatal, errors.New("map: resend after: negative"))
	case o.MaxObjects <= 0 || o.MaxBytes <= 0:
		return nil, fault.Mark(fault.Fatal, errors.New("map: the objects or the bytes of a bundle are not set"))
	}
	d.Log = d.Log.With("stage", stageName)
	return &Stage{
		Deps: d, opt: o, lookups: maxLookups, author: d.Mapper.Author().ID(),
		drains: map[uint64]*drainPass{}, notes: map[uint64]*notes{},
		blamed: blamed{objects: map[string]verdict{}, records: map[uint64]verdict{}},
	}, nil
}

// idlePoll is the longest sleep between two looks at the spool.
const idlePoll = 5 * time.Second

// Run maps until ctx is done, and then returns nil. It returns an error only if the
// process cannot go on.
func (m *Stage) Run(ctx context.Context) error {
	return pipeline.Loop{Stage: stageName, Status: m.Status, Wake: m.Wakes.Map, Hold: m.Paused, Step: func(ctx context.Context) (time.Duration, error) {
		wait, err := m.guardedStep(ctx)
		if err != nil && ctx.Err() == nil {
			return m.trouble(err)
		}
		m.failed = 0
		return wait, nil
	}}.Run(ctx)
}

// trouble returns how long to wait after an error, or the error if it is fatal.
func (m *Stage) trouble(err error) (time.Duration, error) {
	m.forget()
	if errors.Is(err, spool.ErrEpoch) {
		m.Log.Info("the spool was reset: starting over")
		return 0, nil
	}
	if fault.Is(err, fault.Fatal) || errors.Is(err, spool.ErrBroken) || errors.Is(err, spool.ErrClosed) {
		return 0, err
	}
	m.Status.Error(stageName, err)
	notReady := ""
	stopped, ok := errors.AsType[*stoppedError](err)
	switch {
	case ok:
		notReady = stopped.Error()
	case m.failed >= 3:
		notReady = "map fails again and again: " + err.Error()
	}
	m.Status.Set(stageName, "waiting", "to try again", notReady)
	m.Log.Error("mapping is held up, trying again", "error", err)
	if notReady != "" {
		m.Status.Told(stageName)
	}
	m.failed++
	return retryWait(m.failed), nil
}

// Above manyRows waiting objects or entries of ids, commits are limited to
// smallCommit objects: every row of a large index is on its own page, which a commit
// holds in memory.
const (
	manyRows    = 50_000
	smallCommit = 1500
)

// limit returns how many objects a commit should have at most.
func (m *Stage) limit() (int, error) {
	st, err := m.Spool.Stats()
	if err == nil && max(st.Waiting, st.IDs) > manyRows {
		return min(m.opt.MaxObjects, smallCommit), nil
	}
	return m.opt.MaxObjects, err
}

// forget drops everything in memory; it is all in the spool.
func (m *Stage) forget() {
	m.gather, m.drains, m.freed = nil, map[uint64]*drainPass{}, freedQueue{}
}

// runOnce does one piece of work and returns how long to wait; zero means go on at
// once.
func (m *Stage) runOnce(ctx context.Context) (time.Duration, error) {
	m.Status.Beat(stageName)
	meta, err := m.Spool.Meta()
	if err != nil {
		return 0, err
	}
	if meta.Epoch != m.epoch {
		m.forget()
		m.notes, m.epoch = map[uint64]*notes{}, meta.Epoch
	}
	m.maxMessage = meta.Limit.With(m.opt.MaxMessageSize, m.Now())
	runs, err := m.Spool.OpenRuns()
	if err != nil {
		return 0, err
	}
	wait, oldest := idlePoll, true
	for _, run := range runs {
		if !run.MappedAt.IsZero() {
			continue
		}
		did, w, err := m.work(ctx, run, oldest || run.Reason == spool.ReasonRetry)
		if did || err != nil {
			return 0, err
		}
		wait, oldest = min(wait, w), false
		if m.gather != nil && m.gather.run.ID == run.ID {
			return wait, nil // a later run waits for this bundle
		}
	}
	if err := m.relax(); err != nil {
		return 0, err
	}
	if did, err := m.makeRoom(ctx, runs); did || err != nil {
		return 0, err
	}
	if oldest {
		m.Status.Set(stageName, "idle", "", "")
	}
	return max(wait, time.Millisecond), nil
}

// work does the next piece of work of a run and reports whether there was one; if
// not, it says when to look again. Only the oldest run may end, and retries: they
// do not depend on what an older run still waits for.
func (m *Stage) work(ctx context.Context, run spool.Run, mayEnd bool) (did bool, wait time.Duration, err error) {
	if m.gather != nil && m.gather.run.ID > run.ID {
		// New records of this run go first. The later run's open bundle is dropped:
		// its records are still in the spool.
		recs, err := m.Spool.Records(run.ID, 0, 1, 1)
		if err != nil {
			return false, 0, err
		}
		if len(recs) > 0 {
			m.gather = nil
		}
	}
	g := m.gather
	if g == nil || g.run.ID == run.ID {
		if did, err = m.read(ctx, run); did || err != nil {
			return did, 0, err
		}
	}
	fetched := !run.FetchedAt.IsZero()
	if g != nil && g.run.ID == run.ID {
		age := max(0, m.Now().Sub(g.oldest))
		if fetched || age >= m.opt.MaxWait || m.tight() {
			return true, 0, m.flush(ctx)
		}
		m.Status.Set(stageName, "idle", "for more records of "+m.describe(run), "")
		return false, m.opt.MaxWait - age, nil
	}
	if !fetched || !mayEnd {
		if mayEnd {
			m.Status.Set(stageName, "idle", "until fetch brings more of "+m.describe(run), "")
		}
		return false, idlePoll, nil
	}
	return m.drainRun(ctx, run, false)
}

// describe names a run in status texts.
func (m *Stage) describe(run spool.Run) string { return fmt.Sprintf("run %d", run.ID) }

// retryWait is the wait before try n+1: from 100 ms, doubling, to 30 s.
func retryWait(n int) time.Duration {
	return min(100*time.Millisecond<<min(n, 10), 30*time.Second)
}
