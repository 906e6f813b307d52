package spool

import "threatmatch-connector/spool/internal/encoding"

// A cursor has a bucket and a tiny value of its own, so that saving one touches few pages however large its bundle
// is.

// cursor reads a bundle's cursor. One that cannot be read counts as being at the start: publishing again is safe,
// skipping is not.
func (tb bundleBucket) cursor(run, seq uint64) encoding.Cursor {
	key := encoding.Pair(run, seq)
	v := tb.t.tab(bktCursors).get(key)
	if v == nil {
		return encoding.Cursor{}
	}
	c, err := encoding.DecodeCursor(key, v)
	if err != nil {
		return encoding.Cursor{}
	}
	return c
}

func (tb bundleBucket) putCursor(run, seq uint64, c encoding.Cursor) error {
	key := encoding.Pair(run, seq)
	return tb.t.tab(bktCursors).put(key, encoding.EncodeCursor(key, c))
}
