package paging

import (
	"crypto/sha256"
	"encoding/base64"

	"threatmatch-connector/internal/threatmatch"
)

// objectSum identifies a version of an object; an element without an id is
// identified by its bytes.
type objectSum [12]byte

func sumOf(o threatmatch.PageObject) objectSum {
	text := o.ID + "\x00" + o.Modified
	if o.ID == "" {
		text = "\x00" + string(o.Raw)
	}
	sum := sha256.Sum256([]byte(text))
	return objectSum(sum[:12])
}

func (s objectSum) text() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

// sum reads a stored key. An invalid key matches no object.
func (o seenObject) sum() objectSum {
	var s objectSum
	if text, err := base64.RawURLEncoding.DecodeString(o.Key); err == nil {
		copy(s[:], text)
	}
	return s
}

// Fresh records which objects of a page are new, by position.
type Fresh struct {
	Count int
	all   int
	bits  []uint64
}

// note adds the next object.
func (f *Fresh) note(fresh bool) {
	if f.all%64 == 0 {
		f.bits = append(f.bits, 0)
	}
	if fresh {
		f.bits[f.all/64] |= 1 << (f.all % 64)
		f.Count++
	}
	f.all++
}

// Has reports whether the object at position i (from 0) is new.
func (f *Fresh) Has(i int) bool { return i < f.all && f.bits[i/64]&(1<<(i%64)) != 0 }

// Pieces cuts what is new on the page into bodies, nil if nothing is.
func (f *Fresh) Pieces(page threatmatch.Page) *threatmatch.Pieces {
	switch f.Count {
	case 0:
		return nil
	case f.all:
		return page.Pieces(nil)
	}
	return page.Pieces(f.Has)
}
