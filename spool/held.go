package spool

import (
	"cmp"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// hold stores a held object, replacing an older copy of its id, whose Since and Seq it keeps.
func (tb heldBucket) hold(run uint64, now time.Time, o Object, body encoding.Packed) error {
	if err := checkObject(o); err != nil {
		return err
	}
	old := tb.unhold(o.STIX)
	if o.Seq = old.Seq; o.Seq == 0 {
		o.Seq = tb.next()
	}
	o.Since, o.Run = cmp.Or(old.Since, o.Since, now).UTC(), run
	tb.t.objects(Held).add(o, body)
	tb.t.counters().addPublished(o.Kept, 1)
	return nil
}

// countPublished counts the held copies of published objects, in a file of a version that did not count them, and
// after a damaged object was removed.
func (tb heldBucket) countPublished() *int64 {
	n := new(int64)
	for k, v := range tb.entries([]byte{pfxHeld}, []byte{pfxHeld}, 8) {
		if tb.object(k, v).Kept {
			*n++
		}
	}
	return n
}

func (c *counters) addPublished(kept bool, n int64) {
	if kept && c.HeldPublished != nil {
		*c.HeldPublished += n
	}
}

// unhold removes the held object of this id and returns it; its Seq is 0 if there was none.
func (tb heldBucket) unhold(id string) Object {
	o := tb.t.objects(Held).remove(id)
	c := tb.t.counters()
	c.addPublished(o.Kept, -1)
	if o.Err != nil {
		c.HeldPublished = nil // it may have been such a copy, so they are counted again
	}
	return o
}

// HeldPlace returns the Seq of the n-th held object, oldest first; zero if n is zero, and the last one's if there are
// fewer.
func (s *Spool) HeldPlace(n int64) (seq uint64, err error) {
	err = s.view("find a place among the held objects", func(t *txn) error {
		x := t.objects(Held)
		for k := range x.rows.entries(x.row, x.row, 8) {
			if n--; n < 0 {
				break
			}
			seq = encoding.U64(k, len(x.row))
		}
		return nil
	})
	return seq, err
}
