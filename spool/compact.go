package spool

import (
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"threatmatch-connector/spool/internal/boltfile"
	"threatmatch-connector/spool/internal/encoding"
)

// compactStep is about how many bytes one transaction of a copy writes.
const compactStep = 16 << 20

// Compact rewrites the spool of a stopped daemon without its free pages and returns the size of the file in bytes
// before and after. A crash leaves the old file or the new one, each whole. It returns ErrLocked if the daemon runs.
func Compact(ctx context.Context, dir string) (before, after int64, err error) {
	s, err := Open(ctx, Options{Dir: dir, NoCompact: true})
	if err != nil {
		return 0, 0, err
	}
	before = s.Room().File
	if err = s.compact(ctx, Options{Dir: dir}.withDefaults()); err == nil {
		after = s.Room().File
	}
	return before, after, errors.Join(err, s.Close())
}

// compactMargin is the room, in bytes, that the disk must have beside that for a copy.
const compactMargin = 1 << 20

// compactAtOpen compacts the file if more than half of it is free, that is worth it, and the disk has room for the
// copy.
func (s *Spool) compactAtOpen(ctx context.Context, o Options) error {
	r := s.room.sizes(s.path) // the reserve file is made later
	free := r.File - r.Live
	if o.NoCompact || free <= r.File/2 || free <= o.compactMin {
		return nil
	}
	if left, known := DiskFree(s.dir); known && left < r.Live+r.Live/4+compactMargin {
		return nil
	}
	err := s.compact(ctx, o)
	if errors.Is(err, ErrFull) {
		return nil // the file is whole, only larger than it could be
	}
	return err
}

// compact copies the file, compares the copy, and replaces the file with it. The spool must not be in use. Afterwards
// it is open on the new file.
func (s *Spool) compact(ctx context.Context, o Options) error {
	tmp := filepath.Join(s.dir, compactName)
	if err := s.copyTo(ctx, tmp); err != nil {
		err = errors.Join(err, removeIfThere(tmp))
		if diskFull(err) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		return fmt.Errorf("compact: %w", err)
	}
	s.point("compact:copied")
	if err := s.db.Close(); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	err := os.Rename(tmp, s.path)
	s.point("compact:renamed")
	err = errors.Join(err, syncDir(s.dir))
	db, oerr := o.openBolt(s.path)
	if oerr != nil {
		return errors.Join(err, oerr)
	}
	s.db, s.room.db = db, db
	s.room.noteCommit()
	return err
}

// copyTo copies the file to path and returns once the copy is on disk and equal, entry for entry.
func (s *Spool) copyTo(ctx context.Context, path string) (err error) {
	if err := removeIfThere(path); err != nil {
		return err
	}
	bo := Options{LockTimeout: time.Second}.bolt()
	bo.NoSync, bo.MaxSize, bo.InitialMmapSize = true, 0, 0 // synced once, at the end, before it counts
	dst, err := bolt.Open(path, 0o600, bo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if err := bolt.Compact(dst, s.db, compactStep); err != nil {
		return err
	}
	if err := dst.Sync(); err != nil {
		return err
	}
	s.point("compact:written")
	want, err := digest(ctx, s.db)
	if err != nil {
		return err
	}
	got, err := digest(ctx, dst)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%w: the copy differs", ErrCorrupt)
	}
	return boltfile.Check(ctx, path)
}

// contents sums up everything in a file, to compare it with another.
type contents struct {
	entries, buckets int64
	sum              uint64
}

func digest(ctx context.Context, db *bolt.DB) (contents, error) {
	var c contents
	table := crc64.MakeTable(crc64.ECMA)
	var walk func(b *bolt.Bucket) error
	walk = func(b *bolt.Bucket) error {
		c.buckets++
		c.sum = crc64.Update(c.sum, table, encoding.Num(b.Sequence()))
		return b.ForEach(func(k, v []byte) error {
			if c.entries++; c.entries%4096 == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.sum = crc64.Update(c.sum, table, encoding.Num(uint64(len(k))))
			c.sum = crc64.Update(c.sum, table, k)
			if v == nil {
				return walk(b.Bucket(k))
			}
			c.sum = crc64.Update(c.sum, table, v)
			return nil
		})
	}
	err := db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			c.sum = crc64.Update(c.sum, table, name)
			return walk(b)
		})
	})
	return c, err
}
