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
	heldOf(tb.t).add(o, body)
	tb.t.counters().addPublished(o.Kept, 1)
	return nil
}

// countPublished counts the held copies of published objects, in a file of a version that did not count them, and
// after a damaged object was removed.
func (tb heldBucket) countPublished() *int64 {
	n := new(int64)
	for k, v := range tb.rows([]byte{pfxHeld}) {
		if len(k) == 9 && tb.object(k, v).Kept {
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
	o := heldOf(tb.t).remove(id)
	c := tb.t.counters()
	c.addPublished(o.Kept, -1)
	if o.Err != nil {
		c.HeldPublished = nil // it may have been such a copy, so they are counted again
	}
	return o
}

// HeldByID returns those of ids that are held, by id.
func (s *Spool) HeldByID(ids []string) (map[string]Object, error) {
	return s.objects("read held objects", heldOf, ids)
}

// Held returns up to limit held objects with Seq > after, oldest first; fewer if they are large, but at least one
// while there are any.
func (s *Spool) Held(after uint64, limit int) ([]Object, error) {
	return s.objectsAfter("read held objects", heldOf, nil, after, limit)
}

// HeldPlace returns the Seq of the n-th held object, oldest first; zero if n is zero, and the last one's if there are
// fewer.
func (s *Spool) HeldPlace(n int64) (seq uint64, err error) {
	err = s.view("find a place among the held objects", func(t *txn) error {
		x := heldOf(t)
		for k := range x.rows.rows(x.row) {
			if len(k) != len(x.row)+8 {
				continue // a further fragment
			}
			if n--; n < 0 {
				break
			}
			seq = encoding.U64(k, len(x.row))
		}
		return nil
	})
	return seq, err
}

// HeldFor returns up to limit held objects with Seq > after that wait for the id; fewer if they are large, but at
// least one while there are any.
func (s *Spool) HeldFor(id string, after uint64, limit int) ([]Object, error) {
	return s.objectsAfter("read held objects", heldOf, &id, after, limit)
}

// HeldIDs returns up to limit distinct ids after the given one for which
// objects are held, in the spool's own order; see WatchedIDs.
func (s *Spool) HeldIDs(after string, limit int) ([]string, error) {
	return s.watchedIDs("read watched ids", heldOf, after, limit)
}
