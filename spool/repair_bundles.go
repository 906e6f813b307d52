package spool

import (
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// oldest returns the oldest bundle, found by its header or its blocks: of all runs, or of the run whose number is given,
// and there from a seq on.
func (tb bundleBucket) oldest(key, from []byte) (run, seq uint64, found bool) {
	for _, pfx := range []byte{pfxHead, pfxBlock} {
		for k := range tb.rowsFrom(prefixed(pfx, key), prefixed(pfx, slices.Concat(key, from))) {
			r, q := encoding.U64(k, 1), encoding.U64(k, 9)
			if _, err := tb.head(r, q); err != nil {
				continue // the row belongs to nothing; Verify reports it
			}
			if !found || r < run || r == run && q < seq {
				run, seq, found = r, q, true
			}
			break
		}
	}
	return run, seq, found
}

// left reports whether the run has bundles. If it has none, rows of the run that belong to none are removed.
func (tb bundleBucket) left(run uint64) bool {
	if _, _, found := tb.oldest(encoding.Num(run), nil); found {
		return true
	}
	for _, pfx := range []byte{pfxHead, pfxBlock} {
		tb.delAll(tb.keys(numKey(pfx, run), 0))
	}
	return false
}

// rebuiltHead replaces the header of a bundle that cannot be read. A block that cannot be read, either, or is missing
// before one that can, counts as one object, which becomes a dead letter.
func (tb bundleBucket) rebuiltHead(run, seq uint64) (b storedBundle) {
	r, err := tb.t.runs().byID(run)
	if err != nil {
		return b // the rows belong to nothing
	}
	b.Created = r.Created
	prefix := pairKey(pfxBlock, run, seq)
	for k, v := range tb.entries(prefix, prefix, 4) {
		raw, err := encoding.Open(k, tb.blob(k, v), nil)
		var objects []BundleObject
		if err == nil {
			objects, err = encoding.CutBlock(raw, -1)
		}
		if err != nil {
			b.Blocks, b.partial = append(b.Blocks, 1), true
			continue
		}
		for len(b.Blocks) < int(encoding.U32(k, 17)) { // which is right, as the checksum covers it
			b.Blocks, b.partial = append(b.Blocks, 1), true
		}
		b.Blocks = append(b.Blocks, len(objects))
		b.Bytes += int64(len(raw))
	}
	for _, n := range b.Blocks {
		b.Objects += n
	}
	return b
}
