package boltfile

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
)

// The layout of bbolt's meta pages: a 16-byte page header, then magic, version,
// page size, flags (4 bytes each), root page and sequence, free list, high-water
// mark, transaction, checksum (8 bytes each), in the machine's byte order.
const (
	boltMagic     = 0xED0CDAED
	metaOffset    = 16
	metaSize      = 64
	metaPageSize  = 8
	metaRoot      = 16
	metaFreelist  = 32
	metaHighWater = 40
	metaTxid      = 48
	metaChecksum  = 56
)

// Meta is the content of a meta page.
type Meta struct {
	PageSize  uint64 // in bytes
	Root      uint64 // page of the root bucket
	Freelist  uint64 // page of the free list, or NoFreelist
	HighWater uint64 // number of pages in use or free
	Txid      uint64 // number of the transaction that wrote it
}

// parseMeta reads one meta; false if it is not valid.
func parseMeta(b []byte) (Meta, bool) {
	ne := binary.NativeEndian
	if len(b) < metaSize || ne.Uint32(b) != boltMagic {
		return Meta{}, false
	}
	h := fnv.New64a()
	_, _ = h.Write(b[:metaChecksum])
	if h.Sum64() != ne.Uint64(b[metaChecksum:]) {
		return Meta{}, false
	}
	return Meta{
		PageSize: uint64(ne.Uint32(b[metaPageSize:])), Root: ne.Uint64(b[metaRoot:]), Freelist: ne.Uint64(b[metaFreelist:]),
		HighWater: ne.Uint64(b[metaHighWater:]), Txid: ne.Uint64(b[metaTxid:]),
	}, true
}

// readMetas reads the valid metas. The second one is one page behind the first; since the page size may be unknown,
// all usual sizes are tried.
func (f *file) readMetas() error {
	buf := make([]byte, 64<<10+metaOffset+metaSize)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	buf = buf[:n]
	found := func(at int) bool {
		if len(buf) < at+metaOffset {
			return false
		}
		m, ok := parseMeta(buf[at+metaOffset:])
		if ok = ok && (at == 0 || m.PageSize == uint64(at)); ok {
			f.metas = append(f.metas, m)
		}
		return ok
	}
	found(0)
	for size := 1 << 10; size <= 64<<10; size <<= 1 {
		if found(size) {
			break
		}
	}
	if len(f.metas) == 0 {
		return fmt.Errorf("%w: no valid meta page in %d bytes", ErrDamaged, f.length)
	}
	slices.SortStableFunc(f.metas, func(a, b Meta) int { return cmp.Compare(b.Txid, a.Txid) })
	return nil
}
