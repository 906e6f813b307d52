package spool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"

	"threatmatch-connector/spool/internal/boltfile"
	"threatmatch-connector/spool/internal/encoding"
)

// txn is one transaction with what it has read and changed so far. Neither it nor anything that points into the file
// leaves the package.
type txn struct {
	tx        *bolt.Tx
	keep      time.Duration // Options.KeepRecords
	tables    map[string]*table
	st        *state
	stDirty   bool
	count     *counters
	cached    map[uint64]*storedRun
	forgotten map[uint64]uint64 // marks in ids that were read
	err       error             // see fail
}

// use says which room a writing transaction may use, and how many bytes it brings. The room up to bbolt's cap is
// divided, so that later stages never lack the room that they need to make room.
type use struct {
	share  share
	brings int64
}

type share int

const (
	free     share = iota // frees room or is tiny: may use the last page
	releases              // hands over to deliver: leaves a sixteenth of the slack
	moves                 // moves work on, and some of it stays: leaves an eighth
	grows                 // brings work from outside: leaves the whole slack, and the reserve file too
)

// frees is the use of most transactions.
func frees() use { return use{} }

// update runs fn in one read-write transaction and returns after the commit is on disk. fn must not block, log, read
// the clock or keep slices it was given. It runs again if snapshots had to be ended, or the reserve file given up, to
// make room.
func (s *Spool) update(op string, u use, fn func(*txn) error) error {
	if s.readOnly {
		return fmt.Errorf("%s: %w", op, ErrReadOnly)
	}
	if err := s.room.admit(u); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	err := s.commit(op, fn)
	if errors.Is(err, ErrFull) && s.copies.end(fmt.Errorf("%w: the stages need the pages that the copy keeps", ErrFull)) {
		err = s.commit(op, fn)
	}
	if u.share != grows && diskFull(err) && s.room.giveUpReserve() {
		err = s.commit(op, fn)
	}
	if err != nil {
		s.room.noteFull(err)
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

// handOver is update for what was read under an epoch: after a reset it is refused.
func (s *Spool) handOver(op string, u use, epoch uint64, fn func(*txn) error) error {
	return s.update(op, u, func(t *txn) error {
		if err := t.meta().checkEpoch(epoch); err != nil {
			return err
		}
		return fn(t)
	})
}

// commit is one attempt at a transaction.
func (s *Spool) commit(op string, fn func(*txn) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.broken.Load() {
		return ErrBroken
	}
	s.point(op + ":before")
	tx, err := s.db.Begin(true)
	if err != nil {
		return closedError(err)
	}
	defer func() {
		if !s.damaged.Load() { // a rollback walks all pages, and would crash on a damaged one
			_ = tx.Rollback() // no effect after a commit
		}
	}()
	txid := tx.ID()
	err = s.guard(func() error {
		t := newTxn(tx, s.keep)
		err := fn(t)
		if err == nil {
			t.flush()
		}
		return cmp.Or(t.err, err)
	})
	if noRoom(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return err
	}
	s.point(op + ":inside")
	if err := s.guard(tx.Commit); err != nil {
		return s.commitError(err, txid)
	}
	s.room.noteCommit()
	s.point(op + ":after")
	return nil
}

// commitError says what a failed commit means. If the disk was full and the meta page cannot have reached it, nothing
// was changed; otherwise only opening the file again can tell.
func (s *Spool) commitError(err error, txid int) error {
	if noRoom(err) {
		if m, merr := boltfile.Newest(s.path); merr == nil && m.Txid < uint64(txid) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
	}
	s.broken.Store(true)
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// view runs fn in one read-only transaction.
func (s *Spool) view(op string, fn func(*txn) error) error {
	tx, err := s.db.Begin(false)
	if err != nil {
		return fmt.Errorf("%s: %w", op, closedError(err))
	}
	defer func() { _ = tx.Rollback() }()
	if err := s.guard(func() error { return fn(newTxn(tx, s.keep)) }); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

func closedError(err error) error {
	if errors.Is(err, bolterr.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// guard runs a part of a transaction. Inconsistent pages make bbolt panic, or touch memory that is not there. If a
// check of the pages confirms that, guard returns an error, and the next opening sets the file aside; any other panic
// continues.
func (s *Spool) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		damage := boltfile.Check(context.Background(), s.path)
		if !errors.Is(damage, boltfile.ErrDamaged) {
			panic(r)
		}
		s.broken.Store(true)
		s.damaged.Store(true)
		err = fmt.Errorf("%w: %w", ErrBroken, damage)
	}()
	return fn()
}

func newTxn(tx *bolt.Tx, keep time.Duration) *txn {
	return &txn{
		tx: tx, keep: keep, tables: map[string]*table{},
		cached: map[uint64]*storedRun{}, forgotten: map[uint64]uint64{},
	}
}

// fail makes the transaction fail as a whole if err is an error. So writing returns none: the first one counts, and
// nothing that follows it reaches the disk.
func (t *txn) fail(what string, err error) {
	if err != nil && t.err == nil {
		t.err = fmt.Errorf("%s: %w", what, err)
	}
}

// flush writes what the transaction collected: runs, state, counters.
func (t *txn) flush() {
	for id, r := range t.cached {
		if r.dirty {
			t.runs().seal(numKey(pfxRun, id), r)
		}
	}
	if t.stDirty {
		t.meta().save(keyState, t.st)
	}
	if t.count != nil {
		t.meta().save(keyCounters, t.count)
	}
}

// table is one bucket in a transaction. Its put and del keep the count of bytes.
type table struct {
	t    *txn
	b    *bolt.Bucket
	c    *bolt.Cursor // of seek, which puts it anew each time
	name string
}

// fill is how full pages are packed where keys mostly come in order.
const fill = 0.9

// tab returns a top-level bucket.
func (t *txn) tab(name string) *table {
	if tb := t.tables[name]; tb != nil {
		return tb
	}
	tb := &table{t: t, b: t.tx.Bucket([]byte(name)), name: name}
	switch name {
	case bktRecords, bktWaiting, bktBundles, bktCursors, bktDead, bktKept:
		tb.b.FillPercent = fill
	}
	t.tables[name] = tb
	return tb
}

// sub returns a bucket inside ids.
func (t *txn) sub(name string) *table {
	if tb := t.tables[name]; tb != nil {
		return tb
	}
	tb := &table{t: t, b: t.tx.Bucket([]byte(bktIDs)).Bucket([]byte(name)), name: bktIDs}
	if name == subLog {
		tb.b.FillPercent = fill
	}
	t.tables[name] = tb
	return tb
}

// get returns the value under the key, valid only inside the transaction; nil if there is none.
func (tb *table) get(key []byte) []byte {
	if k, v := tb.seek(key); bytes.Equal(k, key) {
		return v
	}
	return nil
}

// seek returns the first row not before the key.
func (tb *table) seek(key []byte) (k, v []byte) {
	if tb.c == nil {
		tb.c = tb.b.Cursor()
	}
	return tb.c.Seek(key)
}

func (tb *table) put(key, value []byte) {
	size := len(key) + len(value)
	if old := tb.get(key); old != nil {
		size -= len(key) + len(old)
	}
	tb.write(key, value, size)
}

// putNew is put for a key that is not there.
func (tb *table) putNew(key, value []byte) { tb.write(key, value, len(key)+len(value)) }

func (tb *table) write(key, value []byte, size int) {
	tb.t.counters().Bytes[tb.name] += int64(size)
	tb.t.fail(tb.name, tb.b.Put(key, value))
}

// del removes the key and reports whether it was there.
func (tb *table) del(key []byte) bool {
	old := tb.get(key)
	if old == nil {
		return false
	}
	tb.t.counters().Bytes[tb.name] -= int64(len(key) + len(old))
	tb.t.fail(tb.name, tb.b.Delete(key))
	return true
}

func (tb *table) delAll(keys [][]byte) {
	for _, k := range keys {
		tb.del(k)
	}
}

// seal stores an envelope without payload in one row.
func (tb *table) seal(key []byte, head any) {
	if v := tb.t.sealed(key, head, encoding.Packed{}); v != nil {
		tb.put(key, v)
	}
}

// sealed returns an envelope; nil if the transaction fails because of it.
func (t *txn) sealed(key []byte, head any, p encoding.Packed) []byte {
	v, err := encoding.Seal(key, head, p)
	t.fail("envelope", err)
	return v
}

// next returns the next number of the bucket's own sequence. Numbers are never given twice, not even after a reset.
func (tb *table) next() uint64 {
	n, err := tb.b.NextSequence()
	tb.t.fail(tb.name, err)
	return n
}

// rows walks the rows with the prefix, in order. The table must not change meanwhile.
func (tb *table) rows(prefix []byte) iter.Seq2[[]byte, []byte] { return tb.rowsFrom(prefix, prefix) }

// rowsFrom walks those rows with the prefix that are not before from.
func (tb *table) rowsFrom(prefix, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		c := tb.b.Cursor()
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			nested := v == nil // a bucket
			if !nested && !yield(k, v) {
				return
			}
		}
	}
}

// entries walks those of rowsFrom that have n bytes after the prefix. The others are further fragments, or in an index.
func (tb *table) entries(prefix, from []byte, n int) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range tb.rowsFrom(prefix, from) {
			if len(k) == len(prefix)+n && !yield(k, v) {
				return
			}
		}
	}
}

// hasEntry reports whether entries has any.
func (tb *table) hasEntry(prefix []byte, n int) bool {
	for range tb.entries(prefix, prefix, n) {
		return true
	}
	return false
}

// keys returns copies of up to limit keys with the prefix; limit 0 means all. Callers that delete while they walk use
// it, since cursors do not survive that.
func (tb *table) keys(prefix []byte, limit int) (out [][]byte) {
	for k := range tb.rows(prefix) {
		out = append(out, encoding.Clone(k))
		if len(out) == limit {
			break
		}
	}
	return out
}

// first returns the first row with the prefix that is not before from, as seek does; nil if there is none.
func (tb *table) first(prefix, from []byte) (k, v []byte) {
	if k, v = tb.seek(from); !bytes.HasPrefix(k, prefix) {
		return nil, nil
	}
	return k, v
}

// has reports whether any key has the prefix.
func (tb *table) has(prefix []byte) bool {
	k, _ := tb.first(prefix, prefix)
	return k != nil
}

// past returns the least key greater than k: k followed by a zero byte.
func past(k []byte) []byte { return append(encoding.Clone(k), 0) }
