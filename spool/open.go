package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"
)

// Open opens or creates the spool. First it removes what crashes left behind, checks the file (always its length, all
// of it after an unclean stop), sets a damaged one aside and makes a new one, migrates old schemas, and compacts a
// file that is mostly free.
//
// It returns ErrLocked if another process holds the file, ErrConnector if the
// spool belongs to another connector, ErrSchema if a newer version wrote it.
func Open(ctx context.Context, o Options) (*Spool, error) {
	o = o.withDefaults()
	if o.ReadOnly {
		return openReadOnly(ctx, o)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	l, err := acquireLock(o)
	if err != nil {
		return nil, fmt.Errorf("open spool %q: %w", o.Dir, err)
	}
	s, err := openLocked(ctx, o, l)
	if err != nil {
		refused := errors.Is(err, ErrConnector) || errors.Is(err, ErrSchema)
		l.visit = l.visit || refused // keep the note of the spool's own process
		l.release(l.info.Clean || l.visit && l.before.PID != 0)
		return nil, fmt.Errorf("open spool %q: %w", o.Dir, err)
	}
	return s, nil
}

// openLocked opens the file while it holds the lock beside it. A file whose pages are inconsistent is set aside,
// however the last process stopped, and a new one takes its place.
func openLocked(ctx context.Context, o Options, l *lock) (*Spool, error) {
	path := filepath.Join(o.Dir, fileName)
	if err := removeLeftovers(o.Dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := create(o); err != nil {
			return nil, err
		}
	}
	err := checkPages(ctx, path, l.before.Clean)
	if err == nil {
		var s *Spool
		if s, err = openFile(ctx, o, l); err == nil {
			return s, nil
		}
	}
	if !errors.Is(err, ErrUnusable) {
		return nil, err
	}
	if err := setAside(path, o.Now(), err); err != nil {
		return nil, err
	}
	if err := create(o); err != nil {
		return nil, err
	}
	return openFile(ctx, o, l)
}

// openFile opens a file that was checked. Damage that shows only in use is an ErrUnusable.
func openFile(ctx context.Context, o Options, l *lock) (*Spool, error) {
	if err := l.write(false); err != nil {
		return nil, err
	}
	s := &Spool{path: filepath.Join(o.Dir, fileName), dir: o.Dir, keep: o.KeepRecords, now: o.Now, lock: l, hook: o.hook}
	err := s.guard(func() (err error) { s.db, err = o.openBolt(s.path); return err })
	if errors.Is(err, bolterr.ErrTimeout) {
		return nil, fmt.Errorf("%w: another process is reading the file %s; try again", ErrLocked, s.path)
	}
	if err == nil {
		s.room = newRoom(o, s.db)
		err = s.prepare(ctx, o)
	}
	if err == nil {
		s.file, err = os.Open(s.path) // not earlier: prepare may compact it
	}
	if s.damaged.Load() {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	if err != nil {
		return nil, errors.Join(err, s.closeFile())
	}
	return s, nil
}

func (s *Spool) closeFile() error {
	_ = s.file.Close()                   // nil where opening failed
	if s.db == nil || s.damaged.Load() { // a transaction that met the damage stays open, and Close would wait for it
		return nil
	}
	return s.db.Close()
}

// prepare migrates the file, binds it to its connector, marks it as open, opens the dead letters that a killed reset
// left, and compacts it. A full disk may keep the mark from being set, but not the spool from opening: what it holds
// must be able to drain.
func (s *Spool) prepare(ctx context.Context, o Options) error {
	if err := s.migrate(schema, migrations); err != nil {
		return err
	}
	if err := s.checkReadable(o); err != nil {
		return err
	}
	err := s.update("mark as open", frees(), func(t *txn) error {
		if err := t.repairMeta(); err != nil {
			return err
		}
		st, err := t.meta().changeState()
		if err != nil {
			return err
		}
		if st.ConnectorID == "" && o.ConnectorID != "" {
			st.ConnectorID = o.ConnectorID
			t.meta().save(keyConnector, connectorRow{o.ConnectorID})
		}
		st.Open = true
		return nil
	})
	if err == nil {
		err = s.repair((*txn).parkedDamage)
	}
	if err == nil {
		err = s.reopenDropped()
	}
	if err != nil && !errors.Is(err, ErrFull) {
		return err
	}
	if err := s.compactAtOpen(ctx, o); err != nil {
		return err
	}
	s.room.start()
	return nil
}

// openReadOnly opens the file for inspection; not a byte in its directory changes.
func openReadOnly(ctx context.Context, o Options) (*Spool, error) {
	path := filepath.Join(o.Dir, fileName)
	fail := func(err error) (*Spool, error) { return nil, fmt.Errorf("open spool %q to read: %w", o.Dir, err) }
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = f.Close() }()
	info, _ := ReadLock(o.Dir) // without a note the stop counts as unclean
	if err := waitFlock(f, false, o.LockTimeout); errors.Is(err, ErrLocked) {
		return fail(info.err())
	} else if err != nil {
		return fail(err)
	}
	if err := checkPages(ctx, path, info.Clean); err != nil {
		return fail(err)
	}
	s := &Spool{path: path, dir: o.Dir, now: o.Now, readOnly: true}
	err = s.guard(func() (err error) { s.db, err = bolt.Open(path, 0, o.boltReadOnly()); return err })
	if errors.Is(err, bolterr.ErrTimeout) {
		return fail(info.err())
	}
	if err == nil {
		s.room = newRoom(o, s.db)
		err = s.checkReadable(o)
	}
	if err == nil {
		s.file, err = os.Open(path)
	}
	if err != nil {
		return fail(errors.Join(err, s.closeFile()))
	}
	return s, nil
}

// checkReadable refuses a file of another schema or of another connector.
func (s *Spool) checkReadable(o Options) error {
	return s.view("read state", func(t *txn) error {
		if t.tx.Bucket([]byte(bktMeta)) == nil {
			return fmt.Errorf("%w: no bucket %s", ErrUnusable, bktMeta)
		}
		if n := t.meta().schema(); n != schema {
			return schemaError(n)
		}
		for _, name := range Buckets() {
			b := t.tx.Bucket([]byte(name))
			for _, sub := range subBuckets(name) {
				if b != nil && b.Bucket([]byte(sub)) == nil {
					b = nil
				}
			}
			if b == nil {
				return fmt.Errorf("%w: no bucket %s", ErrUnusable, name)
			}
		}
		st, err := t.meta().state()
		if err != nil {
			return err
		}
		if o.ConnectorID != "" && st.ConnectorID != "" && o.ConnectorID != st.ConnectorID {
			return fmt.Errorf("%w: it belongs to %q, this connector is %q", ErrConnector, st.ConnectorID, o.ConnectorID)
		}
		s.unclean = st.Open
		return nil
	})
}

// Close marks a clean stop and closes the file. It may be called twice. It waits for running transactions, but ends
// snapshots.
func (s *Spool) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.copies.end(ErrClosed)
	if s.readOnly {
		return s.closeFile()
	}
	err := s.update("mark as closed", frees(), func(t *txn) error {
		// The last commit writes the free list, so that the next opening need not search for free pages. Nothing else
		// writes now.
		s.db.NoFreelistSync = false
		st, err := t.meta().changeState()
		if err == nil {
			st.Open = s.lock.visit && s.unclean
		}
		return err
	})
	clean := err == nil
	err = errors.Join(err, s.closeFile())
	s.lock.release(clean)
	return err
}
