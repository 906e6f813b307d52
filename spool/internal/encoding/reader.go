package encoding

import "encoding/binary"

// Reader parses binary values. After the first one that does not fit, Bad is set and everything reads as zero.
type Reader struct {
	B   []byte
	Bad bool
}

// Byte returns the next byte.
func (r *Reader) Byte() byte {
	b := r.Bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// Bytes returns the next n bytes, which share memory with the input.
func (r *Reader) Bytes(n uint64) []byte {
	if r.Bad || n > uint64(len(r.B)) {
		r.Bad = true
		return nil
	}
	out := r.B[:n]
	r.B = r.B[n:]
	return out
}

// Uvarint returns the next unsigned varint.
func (r *Reader) Uvarint() uint64 { return varint(r, binary.Uvarint) }

// Varint returns the next signed varint.
func (r *Reader) Varint() int64 { return varint(r, binary.Varint) }

func varint[T uint64 | int64](r *Reader, parse func([]byte) (T, int)) T {
	v, n := parse(r.B)
	if r.Bad || n <= 0 {
		r.Bad = true
		return 0
	}
	r.B = r.B[n:]
	return v
}
