package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A cursor has a bucket and a tiny value of its own, so that committing one
// touches few pages however large its bundle is.

const cursorVersion = 1

// cursor is how far a bundle is confirmed, and which messages were given up.
type cursor struct {
	confirmed int
	skipped   []int // ascending
}

// encodeCursor: version | crc (4) | confirmed | number of skipped | distances.
func encodeCursor(key []byte, c cursor) []byte {
	b := make([]byte, 5, 16)
	b[0] = cursorVersion
	b = binary.AppendUvarint(b, uint64(c.confirmed))
	b = binary.AppendUvarint(b, uint64(len(c.skipped)))
	last := 0
	for _, i := range c.skipped {
		b = binary.AppendUvarint(b, uint64(i-last))
		last = i
	}
	binary.BigEndian.PutUint32(b[1:], cursorChecksum(key, b))
	return b
}

func cursorChecksum(key, b []byte) uint32 {
	c := crc32.Update(0, castagnoli(), key)
	c = crc32.Update(c, castagnoli(), b[:1])
	return crc32.Update(c, castagnoli(), b[5:])
}

func decodeCursor(key, b []byte) (cursor, error) {
	var c cursor
	if len(b) < 5 || b[0] != cursorVersion || cursorChecksum(key, b) != binary.BigEndian.Uint32(b[1:]) {
		return c, fmt.Errorf("cursor: %w", ErrCorrupt)
	}
	r := reader{b: b[5:]}
	c.confirmed = int(min(r.uvarint(), 1<<40))
	n := r.uvarint()
	last := 0
	for i := uint64(0); i < n && !r.bad; i++ {
		last += int(min(r.uvarint(), 1<<40))
		c.skipped = append(c.skipped, last)
	}
	if r.bad || len(r.b) > 0 {
		return cursor{}, fmt.Errorf("cursor: %w", ErrCorrupt)
	}
	return c, nil
}

// cursor reads a bundle's cursor. One that cannot be read stands at the start:
// publishing again is safe, skipping is not.
func (tb bundleBucket) cursor(run, seq uint64) cursor {
	key := pair(run, seq)
	v := tb.t.tab(bktCursors).get(key)
	if v == nil {
		return cursor{}
	}
	c, err := decodeCursor(key, v)
	if err != nil {
		return cursor{}
	}
	return c
}

func (tb bundleBucket) putCursor(run, seq uint64, c cursor) error {
	key := pair(run, seq)
	return tb.t.tab(bktCursors).put(key, encodeCursor(key, c))
}
