package encoding

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// EncodeMark builds a small value under the key: a number (8 bytes), and the CRC-32C over key and number (4).
func EncodeMark(key []byte, n uint64) []byte { return Sum(key, Num(n)) }

// DecodeMark parses a value of EncodeMark.
func DecodeMark(key, b []byte) (uint64, error) {
	if len(b) != 12 || !bytes.Equal(Sum(key, b[:8:8]), b) {
		return 0, ErrCorrupt
	}
	return U64(b, 0), nil
}

// Sum appends the CRC-32C of key and value to the value.
func Sum(key, value []byte) []byte {
	t := castagnoli()
	return binary.BigEndian.AppendUint32(value, crc32.Update(crc32.Update(0, t, key), t, value))
}
