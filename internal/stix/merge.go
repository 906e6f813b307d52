package stix

import "bytes"

// Merge chooses between two copies of one object: the newer modified wins,
// then the one with more properties, then the greater hash, so that the choice
// does not depend on the order they come in. The second result tells whether
// b, the later one, wins; equal copies keep a.
func Merge(a, b *Object) (*Object, bool) {
	if Newer(b, a) {
		return b, true
	}
	return a, false
}

// Newer reports whether a wins over b as Merge compares them.
func Newer(a, b *Object) bool {
	if c := a.Modified().Compare(b.Modified()); c != 0 {
		return c > 0
	}
	if a.Len() != b.Len() {
		return a.Len() > b.Len()
	}
	ha, hb := a.Hash(), b.Hash()
	return bytes.Compare(ha[:], hb[:]) > 0
}
