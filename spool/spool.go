// Package spool is the durable heart of the connector: one bbolt file in which
// the stages fetch, map and deliver meet. Each exported method is exactly one
// transaction; when a writing method returns nil, its effect is on disk.
//
// See FORMAT.md for buckets, keys and encodings.
package spool

import (
	"context"
	"errors"
	"io"
	"time"
)

// Sentinel errors. Methods wrap them with operation and object.
var (
	// ErrLocked: another process holds the file.
	ErrLocked = errors.New("spool is locked")
	// ErrEpoch: a reset happened since the caller read its input; drop it and read again.
	ErrEpoch = errors.New("spool was reset meanwhile")
	// ErrCorrupt: a payload fails its checksum or cannot be decoded.
	ErrCorrupt = errors.New("corrupt")
	// ErrFull: the disk or bbolt's own cap leaves no room for this commit. Nothing was changed.
	ErrFull = errors.New("no room in the spool")
	// ErrSchema: the file was written by a newer version.
	ErrSchema = errors.New("newer spool schema")
	// ErrConnector: the spool belongs to another connector id.
	ErrConnector = errors.New("spool belongs to another connector")
	// ErrNotFound: no such run, object, entry or dead letter.
	ErrNotFound = errors.New("not found")
	// ErrReadOnly: the spool was opened read-only.
	ErrReadOnly = errors.New("spool is open read-only")
)

// Options configures Open.
type Options struct {
	Dir         string           // directory of the spool; created 0700
	ConnectorID string           // bound at creation; another id refuses to open. Empty: not checked (inspection)
	MaxSize     int64            // bytes of live data above which fetch pauses; 0 means 4 GiB
	LockTimeout time.Duration    // 0 means 1 s
	ReadOnly    bool             // for inspection of a stopped daemon; the file is not changed by a byte
	KeepRecords time.Duration    // how long raw records are kept after mapping; 0 means not at all
	Now         func() time.Time // nil means time.Now
	Version     string           // of the program, written into the lock file
}

// Spool is an open spool. Safe for concurrent use.
type Spool struct {
	impl
}

// impl stands for the store's own fields until it is written.
type impl struct{}

var errTODO = errors.New("spool: not written yet")

// Open opens or creates the spool.
func Open(ctx context.Context, o Options) (*Spool, error) { return nil, errTODO }

// Close marks a clean stop and closes the file. Safe to call twice.
func (s *Spool) Close() error { return errTODO }

// --- state, epoch, room

// Meta is the spool's own state.
type Meta struct {
	ConnectorID string
	Schema      int
	Epoch       uint64
	Created     time.Time
	Unclean     bool   // the last process did not close the spool
	StateKnown  bool   // watermarks came from the platform or from runs of this spool
	SetAside    string // path of a damaged predecessor that Open set aside; empty if none
	Platform    []byte // the platform loop's own notes (JSON), see SavePlatform
}

// Meta returns the spool's own state.
func (s *Spool) Meta() (Meta, error) { return Meta{}, errTODO }

// SavePlatform stores the platform loop's own notes.
func (s *Spool) SavePlatform(epoch uint64, notes []byte) error { return errTODO }

// AdoptState sets the watermarks of a spool that does not know its state yet
// (Fetched and Confirmed alike) and marks the state as known. Datasets that are
// absent start from the configured date. On a spool that knows its state it
// changes nothing and reports false.
func (s *Spool) AdoptState(epoch uint64, at map[Dataset]time.Time) (bool, error) {
	return false, errTODO
}

// Reset empties runs, tasks, records, waiting, held, bundles, cursors, ids and
// watermarks, keeps the dead letters, raises the epoch and marks the state as
// known, in one transaction. It returns what it cleared, by kind, and the open work if there was one.
func (s *Spool) Reset(now time.Time) (cleared map[string]int64, open []Work, err error) {
	return nil, nil, errTODO
}

// Room is the space the spool uses. Live = File − free pages.
type Room struct {
	Live int64
	File int64
	Max  int64 // fetch pauses above, resumes below 80 %
	Cap  int64 // bbolt's own limit of the file
}

// Room returns the space in use; cheap.
func (s *Spool) Room() Room { return Room{} }

// --- runs

// StartRun adds a run with its tasks and returns it.
func (s *Spool) StartRun(epoch uint64, now time.Time, spec RunSpec) (Run, error) {
	return Run{}, errTODO
}

// OpenRuns returns the runs that are not done, oldest first.
func (s *Spool) OpenRuns() ([]Run, error) { return nil, errTODO }

// Runs returns up to limit runs older than before (0 = from the newest), newest first.
func (s *Spool) Runs(before uint64, limit int) ([]Run, error) { return nil, errTODO }

// Run returns one run, or ErrNotFound.
func (s *Spool) Run(id uint64) (Run, error) { return Run{}, errTODO }

// MarkResumed flags the unfinished runs as resumed.
func (s *Spool) MarkResumed() error { return errTODO }

// Watermarks returns where each dataset stands.
func (s *Spool) Watermarks() (map[Dataset]Watermark, error) { return nil, errTODO }

// --- fetch

// ReadyTasks returns up to limit tasks of the run that are due at now and not
// in skip, in order of due time and arrival, and when the next other one falls
// due (zero if none is left backing off).
func (s *Spool) ReadyTasks(run uint64, now time.Time, limit int, skip func(TaskKey) bool) ([]Task, time.Time, error) {
	return nil, time.Time{}, errTODO
}

// OpenTasks counts the run's tasks by dataset and kind that are neither done nor parked.
func (s *Spool) OpenTasks(run uint64) (map[Dataset]map[TaskKind]int, error) { return nil, errTODO }

// Task returns one task, open or parked, or ErrNotFound.
func (s *Spool) Task(key TaskKey) (Task, error) { return Task{}, errTODO }

// SettleTasks commits the outcomes of tries together: tasks removed, kept, parked
// or given up, records and tasks added, counters moved, dead letters of source
// ids that now succeeded marked healed. An outcome whose task is gone or belongs
// to another run is ignored.
func (s *Spool) SettleTasks(epoch uint64, now time.Time, outcomes []Outcome) error { return errTODO }

// FailDataset ends a dataset in a run: its list and page tasks leave the run
// (pages keep their cursor for the next run), its item tasks stay.
func (s *Spool) FailDataset(epoch uint64, run uint64, d Dataset, status DatasetStatus, detail string) error {
	return errTODO
}

// DropDataset removes the open tasks of a dataset that was switched off, from every run, and counts them.
func (s *Spool) DropDataset(epoch uint64, d Dataset) (int, error) { return 0, errTODO }

// FinishFetch ends the run's fetch: every dataset still open or listed becomes
// DatasetOK, and the watermarks of the DatasetOK ones move to the run's Start
// (unless the run's reason moves none). It refuses while the run has open tasks.
func (s *Spool) FinishFetch(epoch uint64, run uint64, now time.Time) error { return errTODO }

// --- map

// Records returns up to maxCount records of the run with seq > after, as long
// as their bodies stay under maxBytes (at least one).
func (s *Spool) Records(run, after uint64, maxCount int, maxBytes int64) ([]Record, error) {
	return nil, errTODO
}

// LookupIDs returns the entries of those ids that are known.
func (s *Spool) LookupIDs(ids []string) (map[string]ID, error) { return nil, errTODO }

// WaitingByID returns those of ids that wait in the run.
func (s *Spool) WaitingByID(run uint64, ids []string) (map[string]Object, error) { return nil, errTODO }

// Waiting returns up to limit objects that wait in the run with Seq > after, oldest first.
func (s *Spool) Waiting(run, after uint64, limit int) ([]Object, error) { return nil, errTODO }

// Watchers returns up to limit objects with Seq > after that wait in the run for the id.
func (s *Spool) Watchers(run uint64, id string, after uint64, limit int) ([]Object, error) {
	return nil, errTODO
}

// WatchedIDs returns up to limit distinct ids greater than after that objects of the run wait for.
func (s *Spool) WatchedIDs(run uint64, after string, limit int) ([]string, error) {
	return nil, errTODO
}

// HeldByID returns those of ids that are held.
func (s *Spool) HeldByID(ids []string) (map[string]Object, error) { return nil, errTODO }

// Held returns up to limit held objects with Seq > after, oldest first.
func (s *Spool) Held(after uint64, limit int) ([]Object, error) { return nil, errTODO }

// HeldFor returns up to limit held objects with Seq > after that are held for one of the ids.
func (s *Spool) HeldFor(id string, after uint64, limit int) ([]Object, error) { return nil, errTODO }

// HeldIDs returns up to limit distinct ids greater than after for which objects are held.
func (s *Spool) HeldIDs(after string, limit int) ([]string, error) { return nil, errTODO }

// CommitMap is the hand-over from map to deliver.
func (s *Spool) CommitMap(epoch uint64, now time.Time, c MapCommit) error { return errTODO }

// FinishMap marks the run as mapped. It refuses while the run has records or waiting objects, or its fetch goes on.
func (s *Spool) FinishMap(epoch uint64, run uint64, now time.Time) error { return errTODO }

// CrashMark is the record that map was working on when a process died.
type CrashMark struct {
	Run    uint64
	Seq    uint64
	Starts int // starts in a row at which it stood there, nothing mapped between
}

// Crash returns the mark left by the last process, if any.
func (s *Spool) Crash() (CrashMark, bool, error) { return CrashMark{}, false, errTODO }

// MarkCrash stores the mark; nil removes it.
func (s *Spool) MarkCrash(m *CrashMark) error { return errTODO }

// --- deliver

// NextBundle returns the oldest bundle of the oldest run that has one, or ErrNotFound.
func (s *Spool) NextBundle() (Bundle, error) { return Bundle{}, errTODO }

// BundleObjects returns objects of the bundle from index from on, as long as
// their JSON stays under maxBytes (at least one; none past the end).
func (s *Spool) BundleObjects(run, seq uint64, from int, maxBytes int64) ([]BundleObject, error) {
	return nil, errTODO
}

// SaveCursor commits that the bundle's first n messages are confirmed. n never goes back.
func (s *Spool) SaveCursor(epoch uint64, run, seq uint64, n int) error { return errTODO }

// SkipMessage turns the bundle's message at index into a dead letter, in the same
// transaction removes its entry from ids, and counts it as passed by the cursor.
func (s *Spool) SkipMessage(epoch uint64, run, seq uint64, index int, d DeadLetter) error {
	return errTODO
}

// FinishBundle removes a bundle whose cursor stands at its end.
func (s *Spool) FinishBundle(epoch uint64, run, seq uint64) error { return errTODO }

// SaveWork stores the run's work.
func (s *Spool) SaveWork(epoch uint64, run uint64, w Work) error { return errTODO }

// ForgetRun removes the run's entries from ids, after its work was deleted on the platform.
func (s *Spool) ForgetRun(epoch uint64, run uint64) (int, error) { return 0, errTODO }

// FinishRun marks the run as done, moves the confirmed watermarks of its
// DatasetOK datasets, and prunes runs beyond the last 1,000. It refuses while
// the run is being fetched or mapped or has bundles.
func (s *Spool) FinishRun(epoch uint64, run uint64, now time.Time) error { return errTODO }

// Count adds to a run's counters.
func (s *Spool) Count(epoch uint64, run uint64, count map[string]int64) error { return errTODO }

// --- inspection and repair

// Stats counts what the spool holds.
type Stats struct {
	Meta     Meta
	Room     Room
	Runs     int64
	Tasks    int64
	Parked   int64
	Records  int64
	Waiting  int64
	Held     int64
	Bundles  int64
	Messages int64 // of the bundles, not yet confirmed
	IDs      int64
	Dead     int64 // not healed
	Healed   int64
	Kept     int64
	Bytes    map[string]int64 // payload bytes by bucket
	Oldest   map[string]time.Time
}

// Stats returns counters; cheap.
func (s *Spool) Stats() (Stats, error) { return Stats{}, errTODO }

// Entry is one row of a listing, with stable JSON names.
type Entry struct {
	Bucket string         `json:"bucket"`
	Key    string         `json:"key"`
	Fields map[string]any `json:"fields"`
	Bytes  int            `json:"bytes"`
}

// List returns up to limit entries of a bucket after the key, in key order.
func (s *Spool) List(bucket, after string, limit int) ([]Entry, error) { return nil, errTODO }

// Show returns one entry with its payload, decompressed.
func (s *Spool) Show(bucket, key string) (Entry, []byte, error) { return Entry{}, nil, errTODO }

// DeadLetters returns up to limit dead letters with Key > after, oldest first.
func (s *Spool) DeadLetters(after uint64, limit int) ([]DeadLetter, error) { return nil, errTODO }

// Retry takes dead letters (by key) and parked items (by task key) back into a
// new run of reason retry: fetch's become tasks, map's and deliver's become records.
func (s *Spool) Retry(epoch uint64, now time.Time, dead []uint64, parked []TaskKey) (Run, error) {
	return Run{}, errTODO
}

// Drop removes dead letters, parked items and held objects, named by the operator.
func (s *Spool) Drop(dead []uint64, parked []TaskKey, held []string) (int, error) { return 0, errTODO }

// Verify checks every invariant and returns what is broken, one sentence each.
func (s *Spool) Verify(ctx context.Context) ([]string, error) { return nil, errTODO }

// Snapshot writes a consistent copy of the file. Refused (ErrFull) when the growth room left is below 20 %.
func (s *Spool) Snapshot(w io.Writer) (int64, error) { return 0, errTODO }

// Prune lets go of what may go first when room is short or time is up: kept
// records past their time, ids not seen since forgetBefore, oldest ids above a
// quarter of MaxSize. It returns counts by kind and is bounded in one call.
func (s *Spool) Prune(now, forgetBefore time.Time) (map[string]int64, error) { return nil, errTODO }
