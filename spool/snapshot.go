package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
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
	out := struct{ io.Writer }{w} // what else w may have would read smaller pieces
	if n, err = io.CopyBuffer(out, c, make([]byte, 256<<10)); err == nil && n < c.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fail(err)
	}
	return n, nil
}

// copies are the snapshots in progress.
type copies struct {
	sync.Mutex
	all    []*fileCopy
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
	metas := metaWriter{want: 2 * s.db.Info().PageSize}
	if _, err := tx.WriteTo(&metas); !errors.Is(err, errMetas) {
		return nil, errors.Join(err, tx.Rollback())
	}
	rest := io.NewSectionReader(s.file, int64(metas.want), tx.Size()-int64(metas.want))
	c := &fileCopy{of: cs, bytes: io.MultiReader(bytes.NewReader(metas.pages), rest), size: tx.Size(), tx: tx}
	cs.all = append(cs.all, c)
	return c, nil
}

func (cs *copies) done(c *fileCopy) {
	cs.Lock()
	defer cs.Unlock()
	_ = c.tx.Rollback() // no effect if it was ended
	cs.all = slices.DeleteFunc(cs.all, func(o *fileCopy) bool { return o == c })
}

// end ends all copies with the error why, and reports whether there were any.
func (cs *copies) end(why error) (ended bool) {
	cs.Lock()
	defer cs.Unlock()
	cs.closed = cs.closed || errors.Is(why, ErrClosed)
	for _, c := range cs.all {
		_ = c.tx.Rollback()
		c.why, ended = why, true
	}
	cs.all = nil
	return ended
}

// fileCopy reads the file as it was at one moment. Nothing is locked between two reads, so that it can be ended while
// its reader is stuck.
type fileCopy struct {
	of    *copies
	bytes io.Reader
	size  int64
	tx    *bolt.Tx // keeps the pages from being reused
	why   error    // it was ended
}

func (c *fileCopy) Read(b []byte) (int, error) {
	c.of.Lock()
	defer c.of.Unlock()
	if c.why != nil {
		return 0, c.why
	}
	return c.bytes.Read(b)
}

var errMetas = errors.New("the meta pages are there")

// metaWriter receives the meta pages that bbolt makes for a copy, and nothing else.
type metaWriter struct {
	pages []byte
	want  int
}

func (m *metaWriter) Write(b []byte) (int, error) {
	if len(m.pages) >= m.want {
		return 0, errMetas
	}
	m.pages = append(m.pages, b...)
	return len(b), nil
}
