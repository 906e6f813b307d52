package boltfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// bbolt trusts its pages: a damaged one can make it touch memory that is not there, which crashes the process beyond
// recovery. So a file in doubt is walked here first, with plain reads and bounds on everything. What this walk
// accepts, bbolt can open and read without crashing.
//
// The layout of a page: id (8 bytes), flags (2), count (2), overflow pages (4),
// then the elements, 16 bytes each, in the machine's byte order. An element of a
// branch page has the position of its key (4), its size (4) and a page id (8);
// one of a leaf page flags (4), position (4), key size (4) and value size (4).
// The value of a bucket is its root page (8) and sequence (8), and where the root
// is 0 a page inside the value.
const (
	pageHeader    = 16
	elementSize   = 16
	branchPage    = 0x01
	leafPage      = 0x02
	freelistPage  = 0x10
	bucketElement = 0x01
	maxDepth      = 64
)

// NoFreelist is the Freelist of a file whose free list is not written out.
const NoFreelist = ^uint64(0)

// walker checks the pages that one meta reaches.
type walker struct {
	ctx  context.Context
	f    io.ReaderAt
	m    Meta
	seen []uint64 // a bit for each page
	n    int
}

// walkPages checks the pages below the newest meta of the file.
func (f *file) walkPages(ctx context.Context) error {
	m := f.metas[0]
	if m.PageSize < 512 || m.HighWater < 3 {
		return fmt.Errorf("%w: page size %d, %d pages", ErrDamaged, m.PageSize, m.HighWater)
	}
	if m.HighWater > uint64(f.length)/m.PageSize {
		return fmt.Errorf("%w: %d bytes long, %d pages of %d", ErrDamaged, f.length, m.HighWater, m.PageSize)
	}
	w := &walker{ctx: ctx, f: f, m: m, seen: make([]uint64, m.HighWater/64+1)}
	if err := w.page(m.Root, 0, span{}); err != nil {
		return err
	}
	return w.freelist()
}

func (w *walker) bad(id uint64, format string, args ...any) error {
	return fmt.Errorf("%w: page %d: %s", ErrDamaged, id, fmt.Sprintf(format, args...))
}

// claim marks the page as reached; false if it was reached before.
func (w *walker) claim(id uint64) bool {
	bit := uint64(1) << (id % 64)
	if w.seen[id/64]&bit != 0 {
		return false
	}
	w.seen[id/64] |= bit
	return true
}

// header reads a page's header and its first PageSize bytes, and claims its pages.
func (w *walker) header(id uint64) (buf []byte, flags, count uint16, size uint64, err error) {
	if id < 2 || id >= w.m.HighWater {
		return nil, 0, 0, 0, w.bad(id, "the file has %d pages", w.m.HighWater)
	}
	if w.n++; w.n%1024 == 1 && w.ctx.Err() != nil {
		return nil, 0, 0, 0, context.Cause(w.ctx)
	}
	buf = make([]byte, w.m.PageSize)
	if _, err := w.f.ReadAt(buf, int64(id*w.m.PageSize)); err != nil {
		return nil, 0, 0, 0, fmt.Errorf("page %d: %w", id, err)
	}
	ne := binary.NativeEndian
	overflow := uint64(ne.Uint32(buf[12:]))
	if got := ne.Uint64(buf); got != id || overflow >= w.m.HighWater-id {
		return nil, 0, 0, 0, w.bad(id, "its header says page %d with %d more", got, overflow)
	}
	for i := range overflow + 1 {
		if !w.claim(id + i) {
			return nil, 0, 0, 0, w.bad(id+i, "is reached twice")
		}
	}
	return buf, ne.Uint16(buf[8:]), ne.Uint16(buf[10:]), (overflow + 1) * w.m.PageSize, nil
}

// span bounds the keys of a page: from min on, before max; nil is no bound.
type span struct{ min, max []byte }

// pageView is a page, either in the file or inside a bucket's value.
type pageView struct {
	id    uint64
	depth int
	keys  span
	buf   []byte // its beginning: at least the header and the elements
	count uint64
	size  uint64
	read  func(off, n uint64) ([]byte, error)
}

// page checks a page and everything below it.
func (w *walker) page(id uint64, depth int, keys span) error {
	buf, flags, count, size, err := w.header(id)
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return w.bad(id, "nested too deep")
	}
	read := func(off, n uint64) ([]byte, error) {
		b := make([]byte, n)
		if _, err := w.f.ReadAt(b, int64(id*w.m.PageSize+off)); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
		return b, nil
	}
	need := pageHeader + uint64(count)*elementSize
	if need > size || flags != branchPage && flags != leafPage || flags == branchPage && count == 0 {
		return w.bad(id, "flags %#x, %d elements in %d bytes", flags, count, size)
	}
	if need > uint64(len(buf)) {
		if buf, err = read(0, need); err != nil {
			return err
		}
	}
	p := pageView{id, depth, keys, buf, uint64(count), size, read}
	if flags == branchPage {
		return w.branch(p)
	}
	return w.leaf(p)
}

// key returns a key of the page after checking that it lies inside and is in order.
func (w *walker) key(p pageView, off, size uint64, last []byte) ([]byte, error) {
	if off+size > p.size {
		return nil, w.bad(p.id, "a key ends at %d of %d", off+size, p.size)
	}
	var key []byte
	var err error
	if off+size <= uint64(len(p.buf)) {
		key = p.buf[off : off+size]
	} else if key, err = p.read(off, size); err != nil {
		return nil, err
	}
	switch {
	case last != nil && bytes.Compare(key, last) <= 0:
		return nil, w.bad(p.id, "keys are not in order")
	case p.keys.min != nil && bytes.Compare(key, p.keys.min) < 0, p.keys.max != nil && bytes.Compare(key, p.keys.max) >= 0:
		return nil, w.bad(p.id, "a key belongs to another page")
	}
	return key, nil
}

func (w *walker) branch(p pageView) error {
	ne := binary.NativeEndian
	keys := make([][]byte, p.count+1)
	keys[p.count] = p.keys.max
	var last []byte
	for i := range p.count {
		at := pageHeader + i*elementSize
		e := p.buf[at:]
		key, err := w.key(p, at+uint64(ne.Uint32(e)), uint64(ne.Uint32(e[4:])), last)
		if err != nil {
			return err
		}
		keys[i], last = key, key
	}
	for i := range p.count {
		child := ne.Uint64(p.buf[pageHeader+i*elementSize+8:])
		if err := w.page(child, p.depth+1, span{keys[i], keys[i+1]}); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) leaf(p pageView) error {
	ne := binary.NativeEndian
	var last []byte
	for i := range p.count {
		at := pageHeader + i*elementSize
		e := p.buf[at:]
		flags, off := ne.Uint32(e), at+uint64(ne.Uint32(e[4:]))
		ksize, vsize := uint64(ne.Uint32(e[8:])), uint64(ne.Uint32(e[12:]))
		key, err := w.key(p, off, ksize, last)
		if err != nil {
			return err
		}
		last = key
		if off+ksize+vsize > p.size || flags&^bucketElement != 0 {
			return w.bad(p.id, "element %d with flags %#x ends at %d of %d", i, flags, off+ksize+vsize, p.size)
		}
		if flags&bucketElement == 0 {
			continue
		}
		if vsize < 16 || vsize > w.m.PageSize {
			return w.bad(p.id, "a bucket of %d bytes", vsize)
		}
		v, err := p.read(off+ksize, vsize)
		if err != nil {
			return err
		}
		if err := w.bucket(p, v); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a bucket that is stored as a value.
func (w *walker) bucket(p pageView, v []byte) error {
	ne := binary.NativeEndian
	if root := ne.Uint64(v); root != 0 {
		return w.page(root, p.depth+1, span{})
	}
	inner := v[16:]
	if len(inner) < pageHeader || p.depth > maxDepth {
		return w.bad(p.id, "an inline bucket of %d bytes", len(v))
	}
	count := uint64(ne.Uint16(inner[10:]))
	if pageHeader+count*elementSize > uint64(len(inner)) || ne.Uint16(inner[8:]) != leafPage {
		return w.bad(p.id, "an inline bucket with %d elements in %d bytes", count, len(inner))
	}
	read := func(off, n uint64) ([]byte, error) { return inner[off : off+n], nil }
	return w.leaf(pageView{p.id, p.depth + 1, span{}, inner, count, uint64(len(inner)), read})
}

// freelist checks the free list, if the file has one: every page in it exists and is not in use.
func (w *walker) freelist() error {
	id := w.m.Freelist
	if id == NoFreelist {
		return nil
	}
	buf, flags, count, size, err := w.header(id)
	if err != nil {
		return err
	}
	if flags != freelistPage {
		return w.bad(id, "flags %#x, want a free list", flags)
	}
	ne := binary.NativeEndian
	n, at := uint64(count), uint64(pageHeader)
	if count == 0xffff {
		n, at = ne.Uint64(buf[pageHeader:]), at+8
	}
	if n > size/8 || at+n*8 > size {
		return w.bad(id, "%d free pages in %d bytes", n, size)
	}
	list := make([]byte, n*8)
	if _, err := w.f.ReadAt(list, int64(id*w.m.PageSize+at)); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for i := range n {
		free := ne.Uint64(list[i*8:])
		if free < 2 || free >= w.m.HighWater || !w.claim(free) {
			return w.bad(free, "is in the free list, but in use or not in the file")
		}
	}
	return nil
}
