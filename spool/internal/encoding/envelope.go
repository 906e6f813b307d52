package encoding

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Every value that carries more than an index entry is an envelope:
//
//	version (1) | codec (1) | CRC-32C (4, big-endian) | head length (uvarint) | head | raw length (uvarint) | payload
//
// The head is JSON; the payload is bytes, compressed if that helps. The checksum covers everything but itself, and
// the identity of the entry (its key), so that a value under the wrong key is noticed, too.
const (
	envelopeVersion = 1
	envelopeHeader  = 6

	CodecRaw = 0
	codecS2  = 1

	// Shorter payloads are not worth compressing.
	minCompress = 128
	// maxPayload bounds what a damaged length can make us allocate.
	maxPayload = 1 << 30
)

// Packed is a payload ready to be stored. Packing is the slow part of writing, so it is done before a transaction
// begins.
type Packed struct {
	Codec byte
	Raw   int
	Data  [][]byte // in pieces, since a payload may have tens of megabytes
}

// Size returns the number of bytes that are stored.
func (p Packed) Size() int {
	n := 0
	for _, piece := range p.Data {
		n += len(piece)
	}
	return n
}

// Packer packs one payload after the other with one buffer.
type Packer struct{ room []byte }

// Pack compresses the payload, which may come in pieces, if that saves a tenth. The result may share memory with it.
func (k *Packer) Pack(payload ...[]byte) Packed {
	p := Packed{Codec: CodecRaw, Data: payload}
	p.Raw = p.Size()
	if p.Raw >= minCompress {
		if c := k.compress(payload, p.Raw); c != nil {
			p.Codec, p.Data = codecS2, c
		}
	}
	return p
}

// Pack packs a single payload.
func Pack(payload ...[]byte) Packed { return new(Packer).Pack(payload...) }

// pieceSize is how much is compressed at once: the compressor wants a buffer of more than that.
const pieceSize = 1 << 20

// compress returns an S2 block of the payload of that length; nil if, from the first megabyte on, it does not save a
// tenth.
func (k *Packer) compress(payload [][]byte, length int) [][]byte {
	if want := s2.MaxEncodedLen(min(length, pieceSize)); cap(k.room) < want {
		k.room = make([]byte, want)
	}
	out := [][]byte{binary.AppendUvarint(nil, uint64(length))} // a block is its length and, piece by piece, what follows
	read, size := 0, 0
	for _, part := range payload {
		for piece := range slices.Chunk(part, pieceSize) {
			block := s2.Encode(k.room[:cap(k.room)], piece)
			_, n := binary.Uvarint(block)
			block = block[n:]
			read, size = read+len(piece), size+len(block)
			if read >= min(length, pieceSize) && size >= read*9/10 {
				return nil
			}
			out = append(out, Clone(block))
		}
	}
	return out
}

// Seal builds the envelope of an entry.
func Seal(ident []byte, head any, p Packed) ([]byte, error) {
	pieces, err := SealPieces(ident, head, p)
	return slices.Concat(pieces...), err
}

// SealPieces is Seal without a copy of the payload.
func SealPieces(ident []byte, head any, p Packed) ([][]byte, error) {
	var h []byte
	if head != nil {
		var err error
		if h, err = json.Marshal(head); err != nil {
			return nil, err
		}
	}
	b := make([]byte, envelopeHeader, envelopeHeader+len(h)+2*binary.MaxVarintLen32)
	b[0], b[1] = envelopeVersion, p.Codec
	b = binary.AppendUvarint(b, uint64(len(h)))
	b = append(b, h...)
	b = binary.AppendUvarint(b, uint64(p.Raw))
	binary.BigEndian.PutUint32(b[2:], checksum(ident, b, p.Data...))
	return append([][]byte{b}, p.Data...), nil
}

func checksum(ident, sealed []byte, more ...[]byte) uint32 {
	return crc(slices.Concat([][]byte{ident, sealed[:2], sealed[envelopeHeader:]}, more)...)
}

// Open checks an envelope and returns its payload, freshly allocated; head receives its head. With ErrCorrupt, head
// and payload are what could still be read.
func Open(ident, sealed []byte, head any) ([]byte, error) {
	payload, err := OpenShared(ident, sealed, head)
	if payload != nil && (err != nil || sealed[1] == CodecRaw) {
		payload = Clone(payload)
	}
	return payload, err
}

// OpenShared is Open for an envelope that nobody else uses: the payload may share its memory.
func OpenShared(ident, sealed []byte, head any) ([]byte, error) {
	if len(sealed) < envelopeHeader {
		return sealed, fmt.Errorf("%w: envelope of %d bytes", ErrCorrupt, len(sealed))
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
		payload, err = Unpack(p)
	}
	if sumErr != nil {
		err = sumErr
	}
	if err != nil && payload == nil {
		payload = sealed
	}
	return payload, err
}

// OpenHead reads the head of an envelope; the first fragment is enough. It does not check the checksum, so the head
// is good for showing, not for decisions.
func OpenHead(sealed []byte, head any) error {
	if len(sealed) < envelopeHeader {
		return ErrCorrupt
	}
	_, h, err := split(sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(h, head)
}

// RawLen returns the length of an envelope's payload before compression; 0 if it cannot be read.
func RawLen(sealed []byte) int {
	if len(sealed) < envelopeHeader {
		return 0
	}
	p, _, _ := split(sealed)
	return p.Raw
}

// split takes an envelope apart without checking its checksum.
func split(sealed []byte) (Packed, []byte, error) {
	if sealed[0] != envelopeVersion {
		return Packed{}, nil, fmt.Errorf("%w: envelope version %d", ErrCorrupt, sealed[0])
	}
	rest := sealed[envelopeHeader:]
	n, w := binary.Uvarint(rest)
	if w <= 0 || n > uint64(len(rest)-w) {
		return Packed{}, nil, fmt.Errorf("%w: head length", ErrCorrupt)
	}
	head := rest[w : w+int(n)]
	rest = rest[w+int(n):]
	raw, w := binary.Uvarint(rest)
	if w <= 0 || raw > maxPayload {
		return Packed{}, nil, fmt.Errorf("%w: payload length", ErrCorrupt)
	}
	return Packed{Codec: sealed[1], Raw: int(raw), Data: [][]byte{rest[w:]}}, head, nil
}

// Unpack returns the payload that was given to Pack. It may share memory with the data.
func Unpack(p Packed) ([]byte, error) {
	var data []byte
	if len(p.Data) == 1 {
		data = p.Data[0]
	} else {
		data = slices.Concat(p.Data...)
	}
	switch p.Codec {
	case CodecRaw:
		if len(data) != p.Raw {
			return nil, fmt.Errorf("%w: payload of %d bytes, want %d", ErrCorrupt, len(data), p.Raw)
		}
		return data, nil
	case codecS2:
		if n, err := s2.DecodedLen(data); err != nil || n != p.Raw {
			return nil, fmt.Errorf("%w: compressed payload", ErrCorrupt)
		}
		out, err := s2.Decode(make([]byte, p.Raw), data)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: codec %d", ErrCorrupt, p.Codec)
}
