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
	Short bool  // the disk itself is full, or was and has not had room for the reserve since: fetch pauses
}

// Room returns the space in use; cheap.
func (s *Spool) Room() Room { return s.room.measure(s.path) }

// room watches the space of the file and of the disk under it.
type room struct {
	db       *bolt.DB
	dir      string
	max, cap int64
	slack    int64
	reserve  int64        // size of the reserve file; 0: none
	used     atomic.Int64 // bytes up to the file's high-water mark at the last commit
	short    atomic.Bool  // the disk was full when we last looked
	making   sync.Mutex
}

func newRoom(o Options, db *bolt.DB) *room {
	r := &room{db: db, dir: o.Dir, max: o.MaxSize, cap: o.limit(), slack: o.slack, reserve: o.reserve}
	if o.noReserve {
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
	size := int64(r.db.Info().PageSize)
	return max(r.used.Load()-int64(st.FreePageN+st.PendingPageN)*size, 0)
}

// admit refuses a transaction that would take room which belongs to others.
func (r *room) admit(u use) error {
	var leave int64
	switch u.share {
	case moves:
		leave = r.slack / 16
	case grows:
		leave = r.slack
	default:
		return nil
	}
	if live := r.live(); live+u.brings > r.cap-leave {
		return fmt.Errorf("%w: %d bytes are in use of %d, and %d are kept for what drains it", ErrFull, live, r.cap, leave)
	}
	return nil
}

func (r *room) measure(path string) Room {
	out := Room{Live: r.live(), Max: r.max, Cap: r.cap}
	if fi, err := os.Stat(path); err == nil {
		out.File = fi.Size()
	}
	out.Short = r.stillShort()
	return out
}

func (r *room) reservePath() string { return filepath.Join(r.dir, reserveName) }

func (r *room) hasReserve() bool {
	fi, err := os.Stat(r.reservePath())
	return err == nil && fi.Size() == r.reserve
}

// stillShort reports whether the disk is full. Where it was, it looks again:
// there must be room for the reserve and as much beside it.
func (r *room) stillShort() bool {
	if !r.short.Load() {
		return false
	}
	want := 2 * r.reserve
	if r.reserve == 0 || r.hasReserve() {
		want = max(r.reserve, 1<<20)
	}
	if free, known := diskFree(r.dir); known && free < want {
		return true
	}
	r.makeReserve()
	return r.short.Load()
}

// makeReserve makes the reserve file, or makes it again, when the disk has room
// for it and as much beside it. The spool works without it too, but then fetch
// must not go on filling the disk.
func (r *room) makeReserve() {
	if !r.making.TryLock() {
		return
	}
	defer r.making.Unlock()
	if r.reserve == 0 || r.hasReserve() {
		r.short.Store(false)
		return
	}
	if free, known := diskFree(r.dir); known && free < 2*r.reserve {
		r.short.Store(true)
		return
	}
	err := writeZeros(r.reservePath(), r.reserve)
	if err != nil {
		_ = os.Remove(r.reservePath())
	}
	r.short.Store(err != nil)
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
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
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
