package encoding

import (
	"encoding/binary"
	"math"
	"strings"
	"time"
)

// Numbers in keys have a fixed width and are big-endian, so that the order of bytes is the order of work.

func PutU64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func PutU32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// U64 reads the number at offset off; 0 if the key is too short.
func U64(b []byte, off int) uint64 {
	if off < 0 || len(b) < off+8 {
		return 0
	}
	return binary.BigEndian.Uint64(b[off:])
}

// U32 reads the number at offset off; 0 if the key is too short.
func U32(b []byte, off int) uint32 {
	if off < 0 || len(b) < off+4 {
		return 0
	}
	return binary.BigEndian.Uint32(b[off:])
}

// Num returns a key of one number.
func Num(v uint64) []byte { return PutU64(make([]byte, 0, 8), v) }

// Pair returns a key of two numbers: run and seq.
func Pair(run, seq uint64) []byte { return PutU64(PutU64(make([]byte, 0, 16), run), seq) }

// The range of times that a key can hold; others are clamped to it.
var (
	minKeyTime = time.UnixMilli(math.MinInt64 / 4)
	maxKeyTime = time.UnixMilli(math.MaxInt64 / 4)
)

// PutTime appends t in milliseconds, rounded up so that nothing falls due too early. The zero time sorts before all
// others and is read back as the zero time.
func PutTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return PutU64(b, 0)
	}
	if t.Before(minKeyTime) {
		t = minKeyTime
	} else if t.After(maxKeyTime) {
		t = maxKeyTime
	}
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return PutU64(b, uint64(ms)^(1<<63))
}

// TimeAt reads a time of PutTime at offset off.
func TimeAt(b []byte, off int) time.Time {
	v := U64(b, off)
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(v ^ (1 << 63))).UTC()
}

// PutString appends s in a form that is self-delimiting and keeps its order whatever bytes it holds: 0 becomes 0 255,
// and 0 1 ends it.
func PutString(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			break
		}
		b = append(b, s[:i]...)
		b = append(b, 0, 0xff)
		s = s[i+1:]
	}
	b = append(b, s...)
	return append(b, 0, 1)
}

// CutString parses a string of PutString at the start of b and returns the rest.
func CutString(b []byte) (s string, rest []byte, ok bool) {
	var out []byte
	for i := 0; i+1 < len(b); i++ {
		if b[i] != 0 {
			continue
		}
		switch b[i+1] {
		case 1:
			return string(append(out, b[:i]...)), b[i+2:], true
		case 0xff:
			out = append(append(out, b[:i]...), 0)
			b = b[i+2:]
			i = -1
		default:
			return "", nil, false
		}
	}
	return "", nil, false
}
