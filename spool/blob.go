package spool

import (
	"encoding/binary"
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// An envelope larger than a fragment is spread over several keys: the first fragment is stored under the entry's key,
// the others under that key followed by their number in two bytes. So no value needs many contiguous free pages, and
// a drained file can be filled again whatever the sizes were before.
const (
	fragmentSize = 256 << 10
	maxFragments = 1 << 16
)

func fragmentKey(key []byte, n int) []byte {
	return binary.BigEndian.AppendUint16(encoding.Clone(key), uint16(n))
}

// sealBlob stores an envelope of the head and the payload under the key, replacing what was there. The payload must not
// change before the commit.
func (tb *table) sealBlob(key []byte, head any, body encoding.Packed) {
	v, err := encoding.SealPieces(key, head, body)
	if err != nil {
		tb.t.fail(tb.name, err)
		return
	}
	tb.putBlob(key, v...)
}

// putBlob is sealBlob for an envelope, which may come in pieces.
func (tb *table) putBlob(key []byte, sealed ...[]byte) {
	if size(sealed) > fragmentSize*maxFragments {
		tb.t.fail(tb.name, ErrInvalid)
		return
	}
	tb.delBlob(key)
	for n := 0; n == 0 || len(sealed) > 0; n++ {
		k := key
		if n > 0 {
			k = fragmentKey(key, n)
		}
		var part []byte
		part, sealed = cutFragment(sealed)
		tb.put(k, part)
	}
}

// cutFragment cuts the next fragment from the pieces. One that lies within a piece is not copied.
func cutFragment(pieces [][]byte) (fragment []byte, rest [][]byte) {
	n := min(size(pieces), fragmentSize)
	if len(pieces[0]) >= n {
		fragment, pieces[0] = pieces[0][:n], pieces[0][n:]
	} else {
		for fragment = make([]byte, 0, n); len(fragment) < n; {
			part := pieces[0][:min(len(pieces[0]), n-len(fragment))]
			fragment = append(fragment, part...)
			if pieces[0] = pieces[0][len(part):]; len(pieces[0]) == 0 {
				pieces = pieces[1:]
			}
		}
	}
	if size(pieces) == 0 {
		pieces = nil
	}
	return fragment, pieces
}

func size(pieces [][]byte) (n int) {
	for _, piece := range pieces {
		n += len(piece)
	}
	return n
}

// open reads the envelope under the key; first is as for blob. The payload is the caller's.
func (tb *table) open(key, first []byte, head any) ([]byte, error) {
	return tb.openAs(key, key, first, head)
}

// openAs is open for an envelope that was sealed under another key.
func (tb *table) openAs(ident, key, first []byte, head any) ([]byte, error) {
	if first == nil {
		first = tb.get(key)
	}
	if len(first) < fragmentSize {
		return encoding.Open(ident, first, head)
	}
	return encoding.OpenShared(ident, tb.blob(key, first), head)
}

// blob returns the envelope under the key, valid only inside the transaction; nil if there is none. first is the
// value under the key, or nil if the caller does not have it.
func (tb *table) blob(key, first []byte) []byte {
	if first == nil {
		first = tb.get(key)
	}
	if len(first) < fragmentSize {
		return first
	}
	parts := [][]byte{first}
	for n := 1; n < maxFragments; n++ {
		part := tb.get(fragmentKey(key, n))
		if part == nil {
			break
		}
		parts = append(parts, part)
	}
	return slices.Concat(parts...)
}

// delBlob removes the envelope under the key.
func (tb *table) delBlob(key []byte) {
	first := tb.get(key)
	more := len(first) == fragmentSize
	tb.del(key)
	for n := 1; more && n < maxFragments; n++ {
		more = tb.del(fragmentKey(key, n))
	}
}
