package boltfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// maxRun bounds the bytes of a page with its overflow pages. The spool's values are cut far below that, so a longer
// page is damaged.
const maxRun = 16 << 20

// Tree reads what can be read of a file whose pages are inconsistent. Like Check it uses plain reads with bounds on
// everything. If a page is damaged it looks into the tree of the previous transaction, which shares most pages. Not
// safe for concurrent use.
type Tree struct{ *file }

// OpenTree opens a file to read what is left of it. It returns ErrDamaged if neither meta page is valid.
func OpenTree(path string) (*Tree, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	return &Tree{f}, nil
}

// Rows walks the rows of a top-level bucket with keys not less than from, in order except for damaged keys. Keys and
// values may be kept. It calls lost with what cannot be read. It ends early when ctx does.
func (t *Tree) Rows(ctx context.Context, bucket string, from []byte, lost func(error)) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for i, m := range t.metas {
			v := t.header(ctx, m, bucket)
			if v == nil {
				continue
			}
			if i > 0 {
				lost(fmt.Errorf("%s: %w: it is read as of the previous transaction", bucket, ErrDamaged))
			}
			r := &rows{ctx: ctx, t: t, bucket: bucket, from: from, yield: yield, lost: lost, seen: map[uint64]bool{}}
			if i+1 < len(t.metas) {
				r.before = t.header(ctx, t.metas[i+1], bucket)
			}
			r.root(v, span{})
			return
		}
		lost(fmt.Errorf("%w: no bucket %s can be found", ErrDamaged, bucket))
	}
}

// Get returns the value under a key; nil if there is none that can be read.
func (t *Tree) Get(ctx context.Context, bucket string, key []byte) []byte {
	left := 3 // a damaged key may come first
	for k, v := range t.Rows(ctx, bucket, key, func(error) {}) {
		if left--; bytes.Equal(k, key) {
			return v
		} else if left == 0 {
			break
		}
	}
	return nil
}

// header returns the header of a bucket in a meta's tree: its root page and, if that is 0, its rows.
func (t *Tree) header(ctx context.Context, m Meta, bucket string) (header []byte) {
	r := &rows{ctx: ctx, t: t, from: []byte(bucket), buckets: true, seen: map[uint64]bool{}, lost: func(error) {}}
	r.yield = func(k, v []byte) bool {
		if string(k) == bucket && len(v) >= 16 {
			header = v
		}
		return header == nil
	}
	r.page(m.Root, 0, span{})
	return header
}

// rows is one walk over the rows of a bucket. Its methods report whether it goes on.
type rows struct {
	ctx     context.Context
	t       *Tree
	bucket  string
	from    []byte
	buckets bool // of the root: look for buckets, not for rows
	yield   func(k, v []byte) bool
	lost    func(error)
	before  []byte          // header of the bucket in the previous transaction
	seen    map[uint64]bool // branch pages that were reached
	strict  bool            // in the previous transaction: only rows inside the span
}

// damaged says what is wrong with a page.
func (r *rows) damaged(id uint64, format string, args ...any) error {
	return fmt.Errorf("%s: %w: page %d: %s", r.bucket, ErrDamaged, id, fmt.Sprintf(format, args...))
}

// root walks the bucket with this header, as far as the span.
func (r *rows) root(header []byte, in span) bool {
	if id := binary.NativeEndian.Uint64(header); id != 0 {
		return r.page(id, 0, in)
	}
	return r.leaf(0, header[16:], in)
}

// lose reports what cannot be read, and looks for it in the previous transaction.
func (r *rows) lose(in span, err error) bool {
	r.lost(err)
	if r.before == nil {
		return true
	}
	old := *r // the tree is whole there, or shares the damage
	old.before, old.strict, old.seen, old.lost = nil, true, map[uint64]bool{}, func(error) {}
	return old.root(r.before, in)
}

// read returns a page with its overflow pages, as far as the file goes.
func (r *rows) read(id uint64) ([]byte, error) {
	m := r.t.metas[0]
	if id < 2 || id >= m.HighWater || m.PageSize < 512 || m.PageSize > 64<<10 {
		return nil, r.damaged(id, "the file has %d pages of %d bytes", m.HighWater, m.PageSize)
	}
	head := make([]byte, pageHeader)
	if _, err := r.t.ReadAt(head, int64(id*m.PageSize)); err != nil {
		return nil, r.damaged(id, "%v", err)
	}
	size := (uint64(binary.NativeEndian.Uint32(head[12:])) + 1) * m.PageSize
	if got := binary.NativeEndian.Uint64(head); got != id || size > maxRun {
		return nil, r.damaged(id, "its header says page %d of %d bytes", got, size)
	}
	buf := make([]byte, size)
	n, err := r.t.ReadAt(buf, int64(id*m.PageSize))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, r.damaged(id, "%v", err)
	}
	return buf[:n], nil
}

// page walks a page and everything below it.
func (r *rows) page(id uint64, depth int, in span) bool {
	if r.ctx.Err() != nil {
		return false
	}
	buf, err := r.read(id)
	if err != nil {
		return r.lose(in, err)
	}
	switch flags := binary.NativeEndian.Uint16(buf[8:]); {
	case flags == leafPage:
		return r.leaf(id, buf, in)
	case flags != branchPage || depth > maxDepth || r.seen[id]:
		return r.lose(in, r.damaged(id, "flags %#x at depth %d, reached before: %v", flags, depth, r.seen[id]))
	}
	r.seen[id] = true
	return r.branch(id, buf, depth, in)
}

// cut returns n bytes of a page; false if they are not all there.
func cut(buf []byte, off, n uint64) ([]byte, bool) {
	if off > uint64(len(buf)) || n > uint64(len(buf))-off {
		return nil, false
	}
	return buf[off : off+n : off+n], true
}

func (in span) has(key []byte) bool {
	return (in.min == nil || bytes.Compare(key, in.min) >= 0) && (in.max == nil || bytes.Compare(key, in.max) < 0)
}

// branch walks what is below a branch page. A key that is out of order bounds nothing, but its child is still read.
func (r *rows) branch(id uint64, buf []byte, depth int, in span) bool {
	ne := binary.NativeEndian
	n := uint64(ne.Uint16(buf[10:]))
	keys, children := make([][]byte, n), make([]uint64, n)
	for i := range n {
		at := pageHeader + i*elementSize
		e, ok := cut(buf, at, elementSize)
		if !ok {
			return r.lose(in, r.damaged(id, "it ends before element %d", i))
		}
		keys[i], _ = cut(buf, at+uint64(ne.Uint32(e)), uint64(ne.Uint32(e[4:])))
		children[i] = ne.Uint64(e[8:])
	}
	dropOutliers(keys, in)
	for i, child := range children {
		below := in
		if keys[i] != nil {
			below.min = keys[i]
		}
		for _, k := range keys[i+1:] {
			if k != nil {
				below.max = k
				break
			}
		}
		if below.max != nil && bytes.Compare(below.max, r.from) <= 0 {
			continue
		}
		if !r.page(child, depth+1, below) {
			return false
		}
	}
	return true
}

// dropOutliers clears the keys that do not fit between their neighbours.
func dropOutliers(keys [][]byte, in span) {
	last := -1
	for i, k := range keys {
		switch {
		case k == nil || !in.has(k):
			keys[i] = nil
			continue
		case last >= 0 && bytes.Compare(k, keys[last]) <= 0:
			if last > 0 && keys[last-1] != nil && bytes.Compare(k, keys[last-1]) <= 0 {
				keys[i] = nil
				continue
			}
			keys[last] = nil
		}
		last = i
	}
}

// row is one element of a leaf.
type row struct{ key, value []byte }

// leaf passes the rows of a leaf page to fn, unless all of them belong elsewhere.
func (r *rows) leaf(id uint64, buf []byte, in span) bool {
	found, bad := r.elements(buf)
	if len(buf) < pageHeader || len(found) > 0 && !slices.ContainsFunc(found, func(e row) bool { return in.has(e.key) }) {
		return r.lose(in, r.damaged(id, "it does not belong here"))
	}
	if bad > 0 {
		r.lost(r.damaged(id, "%d of its rows cannot be read", bad))
	}
	for _, e := range found {
		if bytes.Compare(e.key, r.from) >= 0 && (!r.strict || in.has(e.key)) && !r.yield(e.key, e.value) {
			return false
		}
	}
	return true
}

// elements returns the rows of a leaf, and how many cannot be read.
func (r *rows) elements(buf []byte) (found []row, bad int) {
	if len(buf) < pageHeader {
		return nil, 0
	}
	ne := binary.NativeEndian
	for i := range uint64(ne.Uint16(buf[10:])) {
		at := pageHeader + i*elementSize
		e, ok := cut(buf, at, elementSize)
		if !ok || ne.Uint32(e)&^bucketElement != 0 {
			bad++
			continue
		}
		off, size := at+uint64(ne.Uint32(e[4:])), uint64(ne.Uint32(e[8:]))
		key, ok1 := cut(buf, off, size)
		value, ok2 := cut(buf, off+size, uint64(ne.Uint32(e[12:])))
		if !ok1 || !ok2 {
			bad++
		} else if (ne.Uint32(e)&bucketElement != 0) == r.buckets {
			found = append(found, row{key, value})
		}
	}
	return found, bad
}
