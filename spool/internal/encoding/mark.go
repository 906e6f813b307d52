package encoding

import (
	"encoding/binary"
	"hash/crc32"
)

// crc returns the CRC-32C of the parts together.
func crc(parts ...[]byte) (sum uint32) {
	t := crc32.MakeTable(crc32.Castagnoli)
	for _, p := range parts {
		sum = crc32.Update(sum, t, p)
	}
	return sum
}

// Sum appends the CRC-32C of key and value to the value.
func Sum(key, value []byte) []byte { return binary.BigEndian.AppendUint32(value, crc(key, value)) }

// CutSum returns the value that was given to Sum; false if the checksum does not fit.
func CutSum(key, b []byte) (value []byte, ok bool) {
	n := len(b) - 4
	if n < 0 || crc(key, b[:n]) != binary.BigEndian.Uint32(b[n:]) {
		return nil, false
	}
	return b[:n:n], true
}

// EncodeMark builds a small value under the key: a number (8 bytes), and the CRC-32C over key and number (4).
func EncodeMark(key []byte, n uint64) []byte { return Sum(key, Num(n)) }

// DecodeMark parses a value of EncodeMark.
func DecodeMark(key, b []byte) (uint64, error) {
	v, ok := CutSum(key, b)
	if !ok || len(v) != 8 {
		return 0, ErrCorrupt
	}
	return U64(v, 0), nil
}
