package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"
)

// Open opens or creates the spool. Before the stages may use it, Open removes
// what crashes left behind, checks the file (its length always, all of it after
// an unclean stop), sets a damaged one aside and makes a new one, migrates old
// schemas, and compacts a file that is mostly free.
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
	l, err := takeLock(o)
	if err != nil {
		return nil, fmt.Errorf("open spool %q: %w", o.Dir, err)
	}
	s, err := openLocked(ctx, o, l)
	if err != nil {
		l.release(l.info.Clean || o.Visit)
		return nil, fmt.Errorf("open spool %q: %w", o.Dir, err)
	}
	return s, nil
}

// openLocked opens the file while the lock beside it is held.
func openLocked(ctx context.Context, o Options, l *lock) (*Spool, error) {
	path := filepath.Join(o.Dir, fileName)
	if err := removeLeftovers(o.Dir); err != nil {
		return nil, err
	}
	aside, err := ensureFile(ctx, o, l)
	if err != nil {
		return nil, err
	}
	if err := l.write(false); err != nil {
		return nil, err
	}
	db, err := o.openBolt(path)
	if errors.Is(err, bolterr.ErrTimeout) {
		return nil, fmt.Errorf("%w: somebody is reading the file %s; try again", ErrLocked, path)
	}
	if err != nil {
		return nil, err
	}
	s := &Spool{
		db: db, path: path, dir: o.Dir, keep: o.KeepRecords, now: o.Now, lock: l,
		room: newRoom(o, db), hook: o.hook,
	}
	if err := s.settleIn(o, aside); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	if err := s.compactAtOpen(ctx, o); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	s.room.start()
	return s, nil
}

// settleIn migrates the file, binds it to its connector, and marks it as open.
// A full disk may keep the mark from being set, but not the spool from opening:
// what it holds must be able to drain.
func (s *Spool) settleIn(o Options, aside string) error {
	if err := s.migrate(schema, migrations); err != nil {
		return err
	}
	if err := s.checkReadable(o); err != nil {
		return err
	}
	err := s.update("mark as open", frees(), func(t *txn) error {
		st, err := t.meta().changeState()
		if err != nil {
			return err
		}
		if st.ConnectorID == "" {
			st.ConnectorID = o.ConnectorID
		}
		if aside != "" {
			st.SetAside = aside
		}
		st.Open = true
		return nil
	})
	if errors.Is(err, ErrFull) {
		return nil
	}
	return err
}

// ensureFile makes sure that a usable file stands at the path, and returns
// where a damaged one was set aside.
func ensureFile(ctx context.Context, o Options, l *lock) (aside string, err error) {
	path := filepath.Join(o.Dir, fileName)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return "", create(o)
	} else if err != nil {
		return "", err
	}
	damage := checkLength(path)
	if damage == nil && !l.before.Clean {
		damage = checkApart(ctx, o, path, l.info.Crashes)
	}
	if damage == nil {
		return "", nil
	}
	if !errors.Is(damage, ErrCorrupt) {
		return "", damage
	}
	if aside, err = setAside(path, o.Now(), damage); err != nil {
		return "", err
	}
	return aside, create(o)
}

// setAside moves a damaged file out of the way under a dated name, with a note beside it.
func setAside(path string, now time.Time, damage error) (string, error) {
	base := path + ".damaged-" + now.UTC().Format("20060102T150405Z")
	to := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		to = fmt.Sprintf("%s-%d", base, n)
	}
	if err := os.Rename(path, to); err != nil {
		return "", err
	}
	note := fmt.Sprintf("Set aside at %s: %v\n", now.UTC().Format(time.RFC3339), damage)
	if err := os.WriteFile(to+".txt", []byte(note), 0o600); err != nil && !diskFull(err) {
		return "", err
	}
	return to, syncDir(filepath.Dir(path))
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
	if err := checkToRead(ctx, path, info.Clean); err != nil {
		return fail(err)
	}
	db, err := bolt.Open(path, 0, o.boltReadOnly())
	if errors.Is(err, bolterr.ErrTimeout) {
		return fail(info.err())
	}
	if err != nil {
		return fail(err)
	}
	s := &Spool{db: db, path: path, dir: o.Dir, now: o.Now, readOnly: true, room: newRoom(o, db)}
	if err := s.checkReadable(o); err != nil {
		return fail(errors.Join(err, db.Close()))
	}
	return s, nil
}

// checkToRead looks at what could kill a reader: the file's length, and after
// an unclean stop the bounds of its pages.
func checkToRead(ctx context.Context, path string, clean bool) error {
	if err := checkLength(path); err != nil || clean {
		return err
	}
	return checkBounds(ctx, path)
}

// checkReadable refuses what another schema or connector wrote.
func (s *Spool) checkReadable(o Options) error {
	return s.view("read state", func(t *txn) error {
		for _, name := range Buckets() {
			if t.tx.Bucket([]byte(name)) == nil {
				return fmt.Errorf("%w: no bucket %s", ErrCorrupt, name)
			}
		}
		if n := t.meta().schema(); n != schema {
			return schemaError(n)
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

// Close marks a clean stop and closes the file. Safe to call twice. It waits
// for running transactions.
func (s *Spool) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.readOnly {
		return s.db.Close()
	}
	err := s.update("mark as closed", frees(), func(t *txn) error {
		// The last commit writes the free list out, so that the next opening need
		// not look for the free pages. Nothing else is writing now.
		s.db.NoFreelistSync = false
		st, err := t.meta().changeState()
		if err == nil {
			st.Open = s.lock.visit && s.unclean
		}
		return err
	})
	clean := err == nil
	err = errors.Join(err, s.db.Close())
	s.lock.release(clean)
	return err
}
