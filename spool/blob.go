package spool

import (
	"encoding/binary"

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

// putBlob stores an envelope under the key, replacing what was there.
func (tb *table) putBlob(key, sealed []byte) error {
	if len(sealed) > fragmentSize*maxFragments {
		return ErrInvalid
	}
	if _, err := tb.delBlob(key); err != nil {
		return err
	}
	for n := 0; n == 0 || len(sealed) > 0; n++ {
		k := key
		if n > 0 {
			k = fragmentKey(key, n)
		}
		part := sealed[:min(len(sealed), fragmentSize)]
		if err := tb.put(k, part); err != nil {
			return err
		}
		sealed = sealed[len(part):]
	}
	return nil
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
	out := encoding.Clone(first)
	for n := 1; n < maxFragments; n++ {
		part := tb.get(fragmentKey(key, n))
		if part == nil {
			break
		}
		out = append(out, part...)
	}
	return out
}

// delBlob removes the envelope under the key and reports whether there was one.
func (tb *table) delBlob(key []byte) (bool, error) {
	first := tb.get(key)
	if first == nil {
		return false, nil
	}
	more := len(first) == fragmentSize
	if _, err := tb.del(key); err != nil {
		return false, err
	}
	for n := 1; more && n < maxFragments; n++ {
		ok, err := tb.del(fragmentKey(key, n))
		if err != nil {
			return false, err
		}
		more = ok
	}
	return true, nil
}
