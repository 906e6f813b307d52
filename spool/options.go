package spool

import (
	"cmp"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Names of the files in the spool's directory.
const (
	fileName    = "spool.db"
	newName     = "spool.db.new"     // being made
	compactName = "spool.db.compact" // being compacted
	lockName    = "spool.lock"
	reserveName = "spool.reserve"
)

const (
	defaultMaxSize     = 4 << 30
	defaultLockTimeout = time.Second
	capSlack           = 256 << 20
	reserveSize        = 64 << 20
)

// Options configures Open.
type Options struct {
	Dir         string           // directory of the spool; created 0700
	ConnectorID string           // bound at creation; another one is refused. Empty: not checked (inspection)
	MaxSize     int64            // bytes of live data above which fetch pauses; 0 means 4 GiB
	LockTimeout time.Duration    // 0 means 1 s
	ReadOnly    bool             // for inspection of a stopped daemon; the file is not changed by a byte
	KeepRecords time.Duration    // how long raw records are kept after mapping; 0 means not at all
	Now         func() time.Time // nil means time.Now
	Version     string           // of the program, written into the lock file
	Socket      string           // of the daemon, written into the lock file; see NoteSocket
	Visit       bool             // this is not the daemon: what the spool says about how the daemon stopped is kept

	// NoCompact leaves the file as it is at open, however much of it is free.
	NoCompact bool

	noReserve  bool               // tests: no reserve file
	reserve    int64              // tests: its size; 0 means 64 MiB
	slack      int64              // tests: room that the cap leaves for map and deliver; 0 means 256 MiB
	compactMin int64              // tests: free bytes above which compaction is worth it; 0 means 256 MiB
	hook       func(point string) // tests: called at named points; nil otherwise

	openFile func(string, int, os.FileMode) (*os.File, error) // tests: what bbolt opens its file with
}

func (o Options) withDefaults() Options {
	o.MaxSize = cmp.Or(o.MaxSize, defaultMaxSize)
	o.LockTimeout = cmp.Or(o.LockTimeout, defaultLockTimeout)
	o.compactMin = cmp.Or(o.compactMin, int64(256<<20))
	o.reserve = cmp.Or(o.reserve, int64(reserveSize))
	o.slack = cmp.Or(o.slack, int64(capSlack))
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// maxMap bounds what is mapped where addresses are short.
const maxMap = math.MaxInt / 4

// limit returns the cap of the file by the settings.
func (o Options) limit() int64 { return o.MaxSize/4*5 + o.slack }

// allocSize returns the step by which bbolt grows the file. bbolt counts the next step against the cap, so it must be
// small in comparison.
func (o Options) allocSize() int64 { return min(max(o.limit()/64, 1<<20), 16<<20) }

// capFor returns bbolt's cap of the file at path: the limit or, if the settings were lowered below the size of the
// file, that size and some room for hand-overs, so that what is there can drain.
func (o Options) capFor(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return o.limit() // bbolt reports what is wrong with it
	}
	return max(o.limit(), fi.Size()+o.slack/4+2*o.allocSize())
}

// bolt returns the options of every opening for writing: always synced, always with a lock timeout. The free list is
// not written: with much free space that would be megabytes in every commit, and finding the free pages at open costs
// less (see FORMAT.md for the figures). The whole address space is mapped at once, so that a long reader never delays
// a commit that grows the file.
func (o Options) bolt() *bolt.Options {
	return &bolt.Options{
		Timeout:         o.LockTimeout,
		FreelistType:    bolt.FreelistMapType,
		NoFreelistSync:  true,
		InitialMmapSize: int(min(o.limit(), maxMap)),
		MaxSize:         int(min(o.limit(), maxMap)),
	}
}

// openBolt opens the file for writing.
func (o Options) openBolt(path string) (*bolt.DB, error) {
	bo := o.bolt()
	bo.MaxSize = int(min(o.capFor(path), maxMap))
	bo.InitialMmapSize, bo.OpenFile = bo.MaxSize, o.openFile
	db, err := bolt.Open(path, 0o600, bo)
	if err != nil {
		return nil, err
	}
	db.AllocSize = int(o.allocSize())
	return db, nil
}

// boltReadOnly returns the options of an opening for inspection.
func (o Options) boltReadOnly() *bolt.Options {
	return &bolt.Options{
		Timeout: o.LockTimeout, ReadOnly: true,
		FreelistType: bolt.FreelistMapType, PreLoadFreelist: true,
	}
}

// Spool is an open spool. Safe for concurrent use.
type Spool struct {
	db       *bolt.DB
	file     *os.File // the file of db, also when its path is gone
	path     string
	dir      string
	keep     time.Duration
	now      func() time.Time
	readOnly bool
	unclean  bool // the previous process did not close it
	lock     *lock
	room     *room
	writing  sync.Mutex  // held by the one writing transaction
	broken   atomic.Bool // only reading is allowed until the file is opened again
	damaged  atomic.Bool // its pages are inconsistent
	copies   copies
	packers  sync.Pool // of SettleTasks
	pruning  sync.Mutex
	itemsAt  []byte    // where pruning of items continues
	evicted  time.Time // ids from up to then had to make room
	closing  sync.Mutex
	closed   bool
	hook     func(point string)
}

// point tells tests how far a transaction has got.
func (s *Spool) point(name string) {
	if s.hook != nil {
		s.hook(name)
	}
}
