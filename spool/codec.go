package spool

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
)

// Every value that carries more than an index entry is an envelope:
//
//	version (1) | codec (1) | CRC-32C (4, big-endian) | head length (uvarint) | head | raw length (uvarint) | payload
//
// The head is JSON; the payload is bytes, compressed when that helps. The
// checksum covers everything but itself, and the identity of the entry (its key),
// so that a value that stands under the wrong key is noticed too.
const (
	envelopeVersion = 1
	envelopeHeader  = 6

	codecRaw = 0
	codecS2  = 1

	// Shorter payloads are not worth compressing.
	minCompress = 128
	// maxPayload bounds what a damaged length can make us allocate.
	maxPayload = 1 << 30
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// packed is a payload ready to be stored. Packing is the slow part of writing,
// so it is done before a transaction begins.
type packed struct {
	codec byte
	raw   int
	data  []byte
}

// pack compresses the payload where that makes it smaller.
func pack(payload []byte) packed {
	p := packed{codec: codecRaw, raw: len(payload), data: payload}
	if len(payload) < minCompress {
		return p
	}
	if c := s2.EncodeBetter(nil, payload); len(c) < len(payload)*9/10 {
		p.codec, p.data = codecS2, c
	}
	return p
}

// seal builds the envelope of an entry.
func seal(ident []byte, head any, p packed) ([]byte, error) {
	var h []byte
	if head != nil {
		var err error
		if h, err = json.Marshal(head); err != nil {
			return nil, err
		}
	}
	b := make([]byte, envelopeHeader, envelopeHeader+len(h)+len(p.data)+2*binary.MaxVarintLen32)
	b[0], b[1] = envelopeVersion, p.codec
	b = binary.AppendUvarint(b, uint64(len(h)))
	b = append(b, h...)
	b = binary.AppendUvarint(b, uint64(p.raw))
	b = append(b, p.data...)
	binary.BigEndian.PutUint32(b[2:], checksum(ident, b))
	return b, nil
}

func checksum(ident, sealed []byte) uint32 {
	t := castagnoli()
	c := crc32.Update(0, t, ident)
	c = crc32.Update(c, t, sealed[:2])
	return crc32.Update(c, t, sealed[envelopeHeader:])
}

// open checks an envelope and returns its parts. The payload is freshly
// allocated. On ErrCorrupt, head and payload are what could still be read.
func open(ident, sealed []byte, head any) ([]byte, error) {
	if len(sealed) < envelopeHeader {
		return append([]byte(nil), sealed...), fmt.Errorf("%w: envelope of %d bytes", ErrCorrupt, len(sealed))
	}
	var sumErr error
	if got, want := checksum(ident, sealed), binary.BigEndian.Uint32(sealed[2:]); got != want {
		sumErr = fmt.Errorf("%w: checksum %08x, want %08x", ErrCorrupt, got, want)
	}
	p, h, err := split(sealed)
	if err == nil && head != nil {
		if jerr := json.Unmarshal(h, head); jerr != nil {
			err = fmt.Errorf("%w: head: %v", ErrCorrupt, jerr)
		}
	}
	var payload []byte
	if err == nil {
		payload, err = unpack(p)
	}
	if sumErr != nil {
		err = sumErr
	}
	if err != nil && payload == nil {
		payload = append([]byte(nil), sealed...)
	}
	return payload, err
}

// split takes an envelope apart without judging its checksum.
func split(sealed []byte) (packed, []byte, error) {
	if sealed[0] != envelopeVersion {
		return packed{}, nil, fmt.Errorf("%w: envelope version %d", ErrCorrupt, sealed[0])
	}
	rest := sealed[envelopeHeader:]
	n, w := binary.Uvarint(rest)
	if w <= 0 || n > uint64(len(rest)-w) {
		return packed{}, nil, fmt.Errorf("%w: head length", ErrCorrupt)
	}
	head := rest[w : w+int(n)]
	rest = rest[w+int(n):]
	raw, w := binary.Uvarint(rest)
	if w <= 0 || raw > maxPayload {
		return packed{}, nil, fmt.Errorf("%w: payload length", ErrCorrupt)
	}
	return packed{codec: sealed[1], raw: int(raw), data: rest[w:]}, head, nil
}

// unpack returns the payload as it was before pack, freshly allocated.
func unpack(p packed) ([]byte, error) {
	switch p.codec {
	case codecRaw:
		if len(p.data) != p.raw {
			return nil, fmt.Errorf("%w: payload of %d bytes, want %d", ErrCorrupt, len(p.data), p.raw)
		}
		return append([]byte{}, p.data...), nil
	case codecS2:
		if n, err := s2.DecodedLen(p.data); err != nil || n != p.raw {
			return nil, fmt.Errorf("%w: compressed payload", ErrCorrupt)
		}
		out, err := s2.Decode(make([]byte, p.raw), p.data)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: codec %d", ErrCorrupt, p.codec)
}
