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

// packBlocks cuts the objects into blocks and compresses them.
func packBlocks(objects []BundleObject) []block {
	var out []block
	var buf []byte
	n := 0
	flush := func() {
		if n == 0 {
			return
		}
		p := encoding.Pack(buf)
		if p.Codec == encoding.CodecRaw {
			p.Data = [][]byte{encoding.Clone(buf)} // buf is used again
		}
		out = append(out, block{n, p})
		buf, n = buf[:0], 0
	}
	for _, o := range objects {
		if len(buf)+len(o.JSON) > blockSize {
			flush()
		}
		e := encoding.Object{STIX: o.STIX, Deps: o.Deps, Dataset: string(o.Dataset), Source: o.Source, JSON: o.JSON}
		if len(o.JSON) > blockSize { // a block of its own, without a copy
			out = append(out, block{1, encoding.Pack(encoding.AppendHead(nil, e), o.JSON)})
			continue
		}
		buf, n = encoding.AppendObject(buf, e), n+1
	}
	flush()
	return out
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
	sealed := tb.get(key)
	want := h.Blocks[number]
	fail := func(err error) error {
		return &BlockError{Run: run, Seq: seq, From: first, To: first + want, Err: err}
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
	return bundleObjects(objects), nil
}

func bundleObjects(list []encoding.Object) []BundleObject {
	out := make([]BundleObject, len(list))
	for i, o := range list {
		out[i] = BundleObject{STIX: o.STIX, Deps: o.Deps, Dataset: Dataset(o.Dataset), Source: o.Source, JSON: o.JSON}
	}
	return out
}
