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

// Room is the space that the spool uses, in bytes. Live is File without its free pages.
type Room struct {
	Live  int64
	File  int64
	Max   int64 // fetch pauses above, and resumes below 80 % of it
	Cap   int64 // bbolt's own limit of the file
	Short bool  // the disk itself is full, or was and has not had enough room since: fetch pauses
	Left  int64 // only if Short: bytes free on the disk and in the file
	Want  int64 // only if Short: what Left must reach
}

// Room returns the space in use. It is cheap.
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

// noteCommit stores how much of the file is used.
func (r *room) noteCommit() {
	_ = r.db.View(func(tx *bolt.Tx) error {
		r.used.Store(tx.Size())
		return nil
	})
}

// live returns the bytes of the file that are in use.
func (r *room) live() int64 {
	st := r.db.Stats()
	return max(r.used.Load()-int64(st.FreePageN+st.PendingPageN)*r.page, 0) // a closed file has no Info
}

// admit refuses a transaction that would take room which is kept for others.
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

// sizes returns the part of Room that does not look at the disk.
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

// hasOrNeedsNone reports whether the reserve file is there, or none is wanted.
func (r *room) hasOrNeedsNone() bool { return r.reserve == 0 || r.hasReserve() }

// left returns the bytes that the spool can still fill, on the disk and in its own file.
func (r *room) left() (bytes int64, known bool) {
	free, known := DiskFree(r.dir)
	return free + max(r.used.Load()-r.live(), 0), known
}

// want returns how many bytes must be left for fetch to continue. Without the reserve file as much must stay free for
// map and deliver, and twice that if the disk was full.
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

// isShort reports whether the disk is full. If it was, or the reserve file is missing, it looks again.
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

// makeReserve makes the reserve file if it is missing and the disk has room for two of them. The spool works without
// it, too: then free pages of the file take its place.
func (r *room) makeReserve() error {
	if !r.making.TryLock() {
		return nil
	}
	defer r.making.Unlock()
	if free, known := DiskFree(r.dir); r.hasOrNeedsNone() || known && free < 2*r.reserve {
		return nil
	}
	err := writeZeros(r.reservePath(), r.reserve)
	if err != nil {
		_ = os.Remove(r.reservePath())
	}
	return err
}

// giveUpReserve removes the reserve file and reports whether there was one.
func (r *room) giveUpReserve() bool {
	r.short.Store(true)
	return os.Remove(r.reservePath()) == nil
}

// noteFull remembers that a commit found the disk full.
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

// diskFull reports whether an error means that the disk is full. bbolt passes some on as text only.
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
