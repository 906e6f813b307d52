package encoding

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Dataset names one of ThreatMatch's collections.
type Dataset string

// Object is one object of a bundle; it becomes one message.
type Object struct {
	STIX    string
	Deps    uint32
	Dataset Dataset // where it came from, for dead letters; may be empty
	Source  string
	JSON    []byte
}

// AppendObject appends an object to a block.
func AppendObject(b []byte, o Object) []byte { return append(AppendHead(b, o), o.JSON...) }

// AppendHead appends an object without its JSON, which must follow.
func AppendHead(b []byte, o Object) []byte {
	b = AppendString(b, o.STIX)
	b = binary.AppendUvarint(b, uint64(o.Deps))
	b = AppendString(b, string(o.Dataset))
	b = AppendString(b, o.Source)
	return binary.AppendUvarint(b, uint64(len(o.JSON)))
}

// AppendString appends a length and the bytes of s.
func AppendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// CutBlock parses a block of want objects; want < 0 accepts any number. The objects share memory with b.
func CutBlock(b []byte, want int) ([]Object, error) {
	var out []Object
	r := Reader{B: b}
	for len(r.B) > 0 && !r.Bad {
		o := Object{STIX: string(r.Bytes(r.Uvarint()))}
		o.Deps = uint32(min(r.Uvarint(), math.MaxUint32))
		o.Dataset = Dataset(r.Bytes(r.Uvarint()))
		o.Source = string(r.Bytes(r.Uvarint()))
		n := r.Uvarint()
		o.JSON = r.Bytes(n)
		out = append(out, o)
	}
	if r.Bad || want >= 0 && len(out) != want {
		return nil, fmt.Errorf("%w: block of %d objects, want %d", ErrCorrupt, len(out), want)
	}
	return out, nil
}
