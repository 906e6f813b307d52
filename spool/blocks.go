package spool

import (
	"fmt"

	"threatmatch-connector/spool/internal/encoding"
)

// A bundle's objects are stored in blocks: runs of whole objects of up to blockSize bytes before compression, so that
// any object is found by reading one block. A larger object has a block of its own.
const blockSize = 256 << 10

// block is a packed run of objects.
type block struct {
	objects int
	body    encoding.Packed
}

// BundlePacker makes a NewBundle of objects that are added one by one, in order: it compresses them block by block, so
// that their JSON need not be held together.
type BundlePacker struct {
	bundle NewBundle
	buf    []byte // the open block
	n      int    // objects in it
	packer encoding.Packer
}

// Add adds an object. It returns its JSON as a buffer to be used again, or nil if it keeps that.
func (p *BundlePacker) Add(o BundleObject) (buf []byte) {
	if len(p.buf)+len(o.JSON) > blockSize {
		p.flush()
	}
	b := &p.bundle
	b.bytes += int64(len(o.JSON))
	if len(b.large) < mostLarge && mayBeUnnamed(o.JSON) {
		b.large = append(b.large, o.STIX)
	}
	if len(o.JSON) > blockSize { // a block of its own, without a copy
		b.blocks = append(b.blocks, block{1, p.packer.Pack(encoding.AppendHead(nil, o), o.JSON)})
	} else {
		p.buf, p.n = encoding.AppendObject(p.buf, o), p.n+1
		buf = o.JSON[:0]
	}
	o.JSON = nil
	b.Objects = append(b.Objects, o)
	return buf
}

func (p *BundlePacker) flush() {
	if p.n == 0 {
		return
	}
	body := p.packer.Pack(p.buf)
	if body.Codec == encoding.CodecRaw {
		body.Data = [][]byte{encoding.Clone(p.buf)} // buf is used again
	}
	p.bundle.blocks = append(p.bundle.blocks, block{p.n, body})
	p.buf, p.n = p.buf[:0], 0
}

// Bundle returns the bundle of all that was added. Its objects are without JSON.
func (p *BundlePacker) Bundle() NewBundle {
	p.flush()
	return p.bundle
}

// Size returns how many bytes of JSON a packed bundle has.
func (b NewBundle) Size() int64 { return b.bytes }

// packed returns the bundle with blocks.
func (b NewBundle) packed() NewBundle {
	if b.blocks != nil {
		return b
	}
	var p BundlePacker
	for _, o := range b.Objects {
		p.Add(o)
	}
	return p.Bundle()
}

// BlockError is an ErrCorrupt of one block of a bundle: its objects from index From up to, not including, To cannot
// be read. SkipMessage gets past them.
type BlockError struct {
	Run, Seq uint64
	From, To int
	Err      error
}

// Error names the objects.
func (e *BlockError) Error() string {
	return fmt.Sprintf("bundle %d/%d objects %d to %d: %v", e.Run, e.Seq, e.From, e.To-1, e.Err)
}

// Unwrap returns the cause.
func (e *BlockError) Unwrap() error { return e.Err }

// locate returns the number of the block that holds the object at index, and
// the index of the block's first object.
func (b storedBundle) locate(index int) (number, first int) {
	for i, n := range b.Blocks {
		if index < first+n {
			return i, first
		}
		first += n
	}
	return len(b.Blocks), first
}

// block reads one block of a bundle.
func (tb bundleBucket) block(b storedBundle, number, first int) ([]BundleObject, error) {
	key := blockKey(b.Run, b.Seq, uint32(number))
	sealed := tb.get(key)
	want := b.Blocks[number]
	fail := func(err error) error {
		return &BlockError{Run: b.Run, Seq: b.Seq, From: first, To: first + want, Err: err}
	}
	if sealed == nil {
		return nil, fail(fmt.Errorf("%w: block is missing", ErrCorrupt))
	}
	raw, err := tb.open(key, sealed, nil)
	if err != nil {
		return nil, fail(err)
	}
	objects, err := encoding.CutBlock(raw, want)
	if err != nil {
		return nil, fail(err)
	}
	return objects, nil
}
