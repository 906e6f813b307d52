package encoding

import (
	"encoding/binary"
	"fmt"
)

const cursorVersion = 1

// Cursor is how far a bundle is confirmed, and which messages became dead letters.
type Cursor struct {
	Confirmed int
	Skipped   []int // ascending
}

// EncodeCursor builds the value of a cursor under the key:
//
//	version | crc (4) | confirmed | number of skipped | distances.
func EncodeCursor(key []byte, c Cursor) []byte {
	b := make([]byte, 5, 16)
	b[0] = cursorVersion
	b = binary.AppendUvarint(b, uint64(c.Confirmed))
	b = binary.AppendUvarint(b, uint64(len(c.Skipped)))
	last := 0
	for _, i := range c.Skipped {
		b = binary.AppendUvarint(b, uint64(i-last))
		last = i
	}
	binary.BigEndian.PutUint32(b[1:], cursorChecksum(key, b))
	return b
}

func cursorChecksum(key, b []byte) uint32 { return crc(key, b[:1], b[5:]) }

// DecodeCursor parses a value of EncodeCursor.
func DecodeCursor(key, b []byte) (Cursor, error) {
	var c Cursor
	if len(b) < 5 || b[0] != cursorVersion || cursorChecksum(key, b) != binary.BigEndian.Uint32(b[1:]) {
		return c, fmt.Errorf("cursor: %w", ErrCorrupt)
	}
	r := Reader{B: b[5:]}
	c.Confirmed = int(min(r.Uvarint(), 1<<40))
	n := r.Uvarint()
	last := 0
	for i := uint64(0); i < n && !r.Bad; i++ {
		last += int(min(r.Uvarint(), 1<<40))
		c.Skipped = append(c.Skipped, last)
	}
	if r.Bad || len(r.B) > 0 {
		return Cursor{}, fmt.Errorf("cursor: %w", ErrCorrupt)
	}
	return c, nil
}
