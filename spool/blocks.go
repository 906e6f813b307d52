package spool

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A bundle's objects are stored in blocks: runs of whole objects of up to
// blockSize bytes before compression, so that any object is found by reading one
// block. An object larger than that has a block of its own.
const blockSize = 256 << 10

// block is a packed run of objects.
type block struct {
	objects int
	body    packed
}

// packBlocks cuts the objects into blocks and compresses them.
func packBlocks(objects []BundleObject) []block {
	var out []block
	buf := make([]byte, 0, blockSize)
	n := 0
	flush := func() {
		if n == 0 {
			return
		}
		p := pack(buf)
		if p.codec == codecRaw {
			p.data = clone(buf) // it shares the buffer
		}
		out = append(out, block{n, p})
		buf, n = buf[:0], 0
	}
	for _, o := range objects {
		if n > 0 && len(buf)+len(o.JSON) > blockSize {
			flush()
		}
		buf, n = appendObject(buf, o), n+1
	}
	flush()
	return out
}

func appendObject(b []byte, o BundleObject) []byte {
	b = appendString(b, o.STIX)
	b = binary.AppendUvarint(b, uint64(o.Deps))
	b = appendString(b, string(o.Dataset))
	b = appendString(b, o.Source)
	b = binary.AppendUvarint(b, uint64(len(o.JSON)))
	return append(b, o.JSON...)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// cutBlock takes a block apart. The objects share memory with it.
func cutBlock(b []byte, want int) ([]BundleObject, error) {
	var out []BundleObject
	r := reader{b: b}
	for len(r.b) > 0 && !r.bad {
		o := BundleObject{STIX: string(r.bytes(r.uvarint()))}
		o.Deps = uint32(min(r.uvarint(), math.MaxUint32))
		o.Dataset = Dataset(r.bytes(r.uvarint()))
		o.Source = string(r.bytes(r.uvarint()))
		n := r.uvarint()
		o.JSON = r.bytes(n)
		out = append(out, o)
	}
	if r.bad || len(out) != want {
		return nil, fmt.Errorf("%w: block of %d objects, want %d", ErrCorrupt, len(out), want)
	}
	return out, nil
}

// BlockError is an ErrCorrupt of one block of a bundle: its objects with index
// From up to, not including, To cannot be read. SkipMessage gets past them.
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
func (h bundleHead) locate(index int) (number, first int) {
	for i, n := range h.Blocks {
		if index < first+n {
			return i, first
		}
		first += n
	}
	return len(h.Blocks), first
}

// block reads one block of a bundle.
func (tb bundleBucket) block(run, seq uint64, h bundleHead, number, first int) ([]BundleObject, error) {
	key := blockKey(run, seq, uint32(number))
	sealed := tb.blob(key, nil)
	want := h.Blocks[number]
	fail := func(err error) error {
		return &BlockError{Run: run, Seq: seq, From: first, To: first + want, Err: err}
	}
	if sealed == nil {
		return nil, fail(fmt.Errorf("%w: block is missing", ErrCorrupt))
	}
	raw, err := open(key, sealed, nil)
	if err != nil {
		return nil, fail(err)
	}
	objects, err := cutBlock(raw, want)
	if err != nil {
		return nil, fail(err)
	}
	return objects, nil
}
