package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
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

type boltMeta struct {
	pageSize, root, freelist, highWater, txid uint64
}

// parseMeta reads one meta; false if it is not valid.
func parseMeta(b []byte) (boltMeta, bool) {
	ne := binary.NativeEndian
	if len(b) < metaSize || ne.Uint32(b) != boltMagic {
		return boltMeta{}, false
	}
	h := fnv.New64a()
	_, _ = h.Write(b[:metaChecksum])
	if h.Sum64() != ne.Uint64(b[metaChecksum:]) {
		return boltMeta{}, false
	}
	return boltMeta{
		pageSize: uint64(ne.Uint32(b[metaPageSize:])), root: ne.Uint64(b[metaRoot:]), freelist: ne.Uint64(b[metaFreelist:]),
		highWater: ne.Uint64(b[metaHighWater:]), txid: ne.Uint64(b[metaTxid:]),
	}, true
}

// readMetas returns the valid metas of a file. The second one stands at the page
// size, which is looked for in the usual places when the first is damaged.
func readMetas(f io.ReaderAt) ([]boltMeta, error) {
	buf := make([]byte, 64<<10+metaOffset+metaSize)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	buf = buf[:n]
	at := func(off int) (boltMeta, bool) {
		if len(buf) < off+metaOffset+metaSize {
			return boltMeta{}, false
		}
		return parseMeta(buf[off+metaOffset:])
	}
	var out []boltMeta
	if m, ok := at(0); ok {
		out = append(out, m)
	}
	for size := 1 << 10; size <= 64<<10; size <<= 1 {
		if m, ok := at(size); ok && m.pageSize == uint64(size) {
			return append(out, m), nil
		}
	}
	return out, nil
}

// checkLength compares the file's length with what its metas say is used. A
// file that lost its end kills the process that maps it.
func checkLength(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	metas, err := readMetas(f)
	if err != nil {
		return err
	}
	if len(metas) == 0 {
		return fmt.Errorf("%w: no valid meta page in %d bytes", ErrCorrupt, fi.Size())
	}
	for _, m := range metas {
		if want := m.highWater * m.pageSize; uint64(fi.Size()) < want {
			return fmt.Errorf("%w: %d bytes long, its meta page says %d", ErrCorrupt, fi.Size(), want)
		}
	}
	return nil
}

// lastCommitted returns the greatest transaction number of the file's metas.
func lastCommitted(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	metas, err := readMetas(f)
	var last uint64
	for _, m := range metas {
		last = max(last, m.txid)
	}
	return last, err
}
