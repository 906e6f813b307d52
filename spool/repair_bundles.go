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

// rebuiltHead replaces the header of a bundle that cannot be read. A block that cannot be read, either, counts as one
// object, which becomes a dead letter.
func (tb bundleBucket) rebuiltHead(run, seq uint64) (b storedBundle) {
	r, err := tb.t.runs().byID(run)
	if err != nil {
		return b // the rows belong to nothing
	}
	b.Created = r.Created
	prefix := pairKey(pfxBlock, run, seq)
	for k, v := range tb.entries(prefix, prefix, 4) {
		n := 1
		if raw, err := encoding.Open(k, tb.blob(k, v), nil); err == nil {
			if objects, err := encoding.CutBlock(raw, -1); err == nil {
				n = len(objects)
			}
			b.Bytes += int64(len(raw))
		}
		b.Blocks = append(b.Blocks, n)
		b.Objects += n
	}
	return b
}
