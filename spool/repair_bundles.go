package spool

import (
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// oldest returns the oldest bundle of the oldest run that has one, found by its header or its blocks.
func (tb bundleBucket) oldest() (run, seq uint64, found bool) { return tb.oldestUnder(nil, nil) }

// oldestOf returns the oldest bundle of a run.
func (tb bundleBucket) oldestOf(run uint64) (seq uint64, found bool) { return tb.nextOf(run, 0) }

// nextOf returns the run's oldest bundle from this seq on.
func (tb bundleBucket) nextOf(run, from uint64) (seq uint64, found bool) {
	_, seq, found = tb.oldestUnder(encoding.Num(run), encoding.Num(from))
	return seq, found
}

func (tb bundleBucket) oldestUnder(key, from []byte) (run, seq uint64, found bool) {
	for _, pfx := range []byte{pfxHead, pfxBlock} {
		_ = tb.scan(prefixed(pfx, key), prefixed(pfx, slices.Concat(key, from)), func(k, _ []byte) (bool, error) {
			r, q := encoding.U64(k, 1), encoding.U64(k, 9)
			if _, _, err := tb.head(r, q); err != nil {
				return true, nil // the row belongs to nothing; Verify reports it
			}
			if !found || r < run || r == run && q < seq {
				run, seq, found = r, q, true
			}
			return false, nil
		})
	}
	return run, seq, found
}

// left reports whether the run has bundles, and removes rows of the run that belong to none.
func (tb bundleBucket) left(run uint64) (bool, error) {
	for _, pfx := range []byte{pfxHead, pfxBlock} {
		keys, err := tb.keys(numKey(pfx, run), 2)
		if err != nil {
			return false, err
		}
		for _, k := range keys {
			if _, _, err := tb.head(encoding.U64(k, 1), encoding.U64(k, 9)); err == nil {
				return true, nil
			}
			if _, err := tb.del(k); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// rebuiltHead replaces the header of a bundle that cannot be read. A block that cannot be read, either, counts as one
// object, which becomes a dead letter.
func (tb bundleBucket) rebuiltHead(run, seq uint64) bundleHead {
	var h bundleHead
	if r, err := tb.t.runs().byID(run); err == nil {
		h.Created = r.Created
	}
	_ = tb.scan(pairKey(pfxBlock, run, seq), nil, func(k, v []byte) (bool, error) {
		if len(k) != 21 {
			return true, nil // a further fragment
		}
		n := 1
		if raw, err := encoding.Open(k, tb.blob(k, v), nil); err == nil {
			if objects, err := encoding.CutBlock(raw, -1); err == nil {
				n = len(objects)
			}
			h.Bytes += int64(len(raw))
		}
		h.Blocks = append(h.Blocks, n)
		h.Objects += n
		return true, nil
	})
	return h
}
