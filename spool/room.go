package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	bolt "go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"
)

// Room is the space the spool uses. Live = File − free pages.
type Room struct {
	Live  int64
	File  int64
	Max   int64 // fetch pauses above, resumes below 80 %
	Cap   int64 // bbolt's own limit of the file
	Short bool  // the disk itself is full, or was and has not had room enough since: fetch pauses
	Left  int64 // only when Short: bytes free on the disk and in the file
	Want  int64 // only when Short: what Left must come to
}

// Room returns the space in use; cheap.
func (s *Spool) Room() Room { return s.room.measure(s.path) }

// room watches the space of the file and of the disk under it.
type room struct {
	db       *bolt.DB
	dir      string
	max, cap int64
	slack    int64
	page     int64        // size of a page
	reserve  int64        // size of the reserve file; 0: none
	used     atomic.Int64 // bytes up to the file's high-water mark at the last commit
	short    atomic.Bool  // the disk was full when we last looked
	making   sync.Mutex
}

func newRoom(o Options, db *bolt.DB) *room {
	r := &room{db: db, page: int64(db.Info().PageSize), dir: o.Dir, max: o.MaxSize, cap: o.limit(), slack: o.slack, reserve: o.reserve}
	if o.noReserve || o.ReadOnly {
		r.reserve = 0
	}
	r.noteCommit()
	return r
}

// noteCommit notes how far the file is used.
func (r *room) noteCommit() {
	_ = r.db.View(func(tx *bolt.Tx) error {
		r.used.Store(tx.Size())
		return nil
	})
}

// live is what is used of the file.
func (r *room) live() int64 {
	st := r.db.Stats()
	return max(r.used.Load()-int64(st.FreePageN+st.PendingPageN)*r.page, 0) // a closed file has no Info
}

// admit refuses a transaction that would take room which belongs to others.
func (r *room) admit(u use) error {
	limit, leave := r.cap, int64(0)
	switch u.share {
	case moves, releases:
		limit, leave = max(limit, int64(r.db.MaxSize)), r.slack/16
		if u.share == moves {
			leave = r.slack / 8
		}
		leave += int64(r.db.AllocSize) // bbolt does not grow the file into its last step below the cap
	case grows:
		leave = r.slack
	default:
		return nil
	}
	if live := r.live(); live+u.brings > limit-leave {
		return fmt.Errorf("%w: %d bytes are in use of %d, and %d are kept for what drains it", ErrFull, live, limit, leave)
	}
	return nil
}

func (r *room) measure(path string) Room {
	out := r.sizes(path)
	if out.Short = r.isShort(); out.Short {
		out.Left, _ = r.left()
		out.Want = r.want()
	}
	return out
}

// sizes is the part of Room that does not look at the disk.
func (r *room) sizes(path string) Room {
	out := Room{Live: r.live(), Max: r.max, Cap: r.cap}
	if fi, err := os.Stat(path); err == nil {
		out.File = fi.Size()
	}
	return out
}

func (r *room) reservePath() string { return filepath.Join(r.dir, reserveName) }

func (r *room) hasReserve() bool {
	fi, err := os.Stat(r.reservePath())
	return err == nil && fi.Size() == r.reserve
}

// hasOrNeedsNone reports whether what is to be kept for a full disk is kept.
func (r *room) hasOrNeedsNone() bool { return r.reserve == 0 || r.hasReserve() }

// left is what the spool can still fill, of the disk and of its own file.
func (r *room) left() (bytes int64, known bool) {
	free, known := diskFree(r.dir)
	return free + max(r.used.Load()-r.live(), 0), known
}

// want is what must be left for fetch to go on. Without the reserve file as
// much must stay free for map and deliver, and where the disk was full there
// must be that and as much beside it.
func (r *room) want() int64 {
	switch {
	case r.hasOrNeedsNone():
		return max(r.reserve, 1<<20)
	case r.short.Load():
		return 2 * r.reserve
	default:
		return r.reserve
	}
}

// isShort reports whether the disk is full. Where it was, or nothing is kept
// for that case, it looks again.
func (r *room) isShort() bool {
	if !r.short.Load() && r.hasOrNeedsNone() {
		return false
	}
	if err := r.makeReserve(); err != nil {
		r.short.Store(true)
		return true
	}
	left, known := r.left()
	r.short.Store(known && left < r.want())
	return r.short.Load()
}

// start makes the reserve file of a spool that was just opened; without it the
// disk counts as having been full.
func (r *room) start() {
	r.short.Store(!r.hasOrNeedsNone())
	r.isShort()
}

// makeReserve makes the reserve file, or makes it again, when the disk has room
// for it and as much beside it. The spool works without it too: then free pages
// of the file do its service.
func (r *room) makeReserve() error {
	if !r.making.TryLock() {
		return nil
	}
	defer r.making.Unlock()
	if free, known := diskFree(r.dir); r.hasOrNeedsNone() || known && free < 2*r.reserve {
		return nil
	}
	err := writeZeros(r.reservePath(), r.reserve)
	if err != nil {
		_ = os.Remove(r.reservePath())
	}
	return err
}

// giveUpReserve frees the room that was kept for a full disk and reports whether there was any.
func (r *room) giveUpReserve() bool {
	r.short.Store(true)
	return os.Remove(r.reservePath()) == nil
}

// noteFull notes that a commit found the disk full.
func (r *room) noteFull(err error) {
	if diskFull(err) {
		r.short.Store(true)
	}
}

// writeZeros fills a file with real blocks; a hole would reserve nothing.
func writeZeros(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|noFollow, 0o600)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for size > 0 && err == nil {
		var n int
		n, err = f.Write(buf[:min(int64(len(buf)), size)])
		size -= int64(n)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// noRoom reports whether an error means that the disk or bbolt's cap is full.
func noRoom(err error) bool {
	return errors.Is(err, bolterr.ErrMaxSizeReached) || diskFull(err)
}

// diskFull reports whether an error means that the disk is full. bbolt passes
// some on as text only.
func diskFull(err error) bool {
	if err == nil {
		return false
	}
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}
