package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// Snapshot writes a consistent copy of the file while the stages continue, and returns its length. Pages that are
// freed meanwhile cannot be reused until it ends, so it fails with ErrFull if less than 20 % of the cap is left, and
// when a commit finds no room: a reader that stalls blocks nobody's writing. Close does not wait for it, but ends it
// with ErrClosed.
func (s *Spool) Snapshot(w io.Writer) (n int64, err error) {
	fail := func(err error) (int64, error) { return n, fmt.Errorf("snapshot: %w", err) }
	if r := s.Room(); !s.readOnly && r.Cap-r.Live < r.Cap/5 {
		return fail(fmt.Errorf("%w: %d of %d bytes are in use, and the file could grow too far meanwhile", ErrFull, r.Live, r.Cap))
	}
	c, err := s.copies.begin(s)
	if err != nil {
		return fail(err)
	}
	defer s.copies.done(c)
	buf := make([]byte, copyChunk)
	for {
		part, err := c.read(buf, n)
		if err != nil {
			return fail(err)
		}
		if len(part) == 0 {
			return n, nil
		}
		written, err := w.Write(part)
		n += int64(written)
		if err != nil {
			return fail(err)
		}
	}
}

const copyChunk = 256 << 10

// copies are the snapshots in progress.
type copies struct {
	sync.Mutex
	all    map[*fileCopy]bool
	closed bool
}

func (cs *copies) begin(s *Spool) (*fileCopy, error) {
	cs.Lock()
	defer cs.Unlock()
	if cs.closed {
		return nil, ErrClosed
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, closedError(err)
	}
	c := &fileCopy{f: s.file, tx: tx, size: tx.Size()}
	if _, err := tx.WriteTo(&metaWriter{c, 2 * s.db.Info().PageSize}); !errors.Is(err, errMetas) {
		c.end(err)
		return nil, err
	}
	if cs.all == nil {
		cs.all = map[*fileCopy]bool{}
	}
	cs.all[c] = true
	return c, nil
}

func (cs *copies) done(c *fileCopy) {
	cs.Lock()
	defer cs.Unlock()
	delete(cs.all, c)
	c.end(ErrClosed)
}

// end ends all copies with the error why, and reports whether there were any.
func (cs *copies) end(why error) bool {
	cs.Lock()
	defer cs.Unlock()
	cs.closed = cs.closed || errors.Is(why, ErrClosed)
	ended := false
	for c := range cs.all {
		ended = c.end(why) || ended
	}
	return ended
}

// fileCopy reads the file as it was at one moment. It has no lock between two reads, so that it can be ended while
// its reader is stuck.
type fileCopy struct {
	f     *os.File
	size  int64
	metas []byte // the first two pages, made for the copy
	sync.Mutex
	tx  *bolt.Tx // keeps the pages from being reused; nil once it was ended
	why error
}

// read returns what follows the first n bytes; nothing at the end.
func (c *fileCopy) read(buf []byte, n int64) ([]byte, error) {
	c.Lock()
	defer c.Unlock()
	if c.tx == nil {
		return nil, c.why
	}
	if n < int64(len(c.metas)) {
		return c.metas[n:], nil
	}
	part := buf[:min(int64(len(buf)), c.size-n)]
	_, err := c.f.ReadAt(part, n)
	return part, err
}

func (c *fileCopy) end(why error) bool {
	c.Lock()
	defer c.Unlock()
	if c.tx == nil {
		return false
	}
	_ = c.tx.Rollback()
	c.tx, c.why = nil, why
	return true
}

var errMetas = errors.New("the meta pages are there")

// metaWriter receives the meta pages that bbolt makes for a copy, and nothing else.
type metaWriter struct {
	c    *fileCopy
	want int
}

func (m *metaWriter) Write(b []byte) (int, error) {
	if len(m.c.metas) >= m.want {
		return 0, errMetas
	}
	m.c.metas = append(m.c.metas, b...)
	return len(b), nil
}
