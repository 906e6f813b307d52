package encoding

import "encoding/binary"

// Reader takes binary values apart. After the first thing that does not fit it
// is bad and returns zeros.
type Reader struct {
	B   []byte
	Bad bool
}

func (r *Reader) Byte() byte {
	b := r.Bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// bytes returns the next n bytes, which share memory with the input.
func (r *Reader) Bytes(n uint64) []byte {
	if r.Bad || n > uint64(len(r.B)) {
		r.Bad = true
		return nil
	}
	out := r.B[:n]
	r.B = r.B[n:]
	return out
}

func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.B)
	if r.Bad || n <= 0 {
		r.Bad = true
		return 0
	}
	r.B = r.B[n:]
	return v
}

func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.B)
	if r.Bad || n <= 0 {
		r.Bad = true
		return 0
	}
	r.B = r.B[n:]
	return v
}
