package spool

import (
	"cmp"

	"threatmatch-connector/spool/internal/encoding"
)

// wait stores a waiting object, replacing an older copy of its id in the run.
func (tb waitingBucket) wait(run uint64, o Object, body encoding.Packed) error {
	if err := checkObject(o); err != nil {
		return err
	}
	x := waitingOf(run)(tb.t)
	old := x.remove(o.STIX)
	o.Run, o.Seq = run, cmp.Or(old.Seq, o.Seq)
	if o.Seq == 0 || tb.get(x.key(o.Seq)) != nil {
		o.Seq = tb.next()
	} else if o.Seq > tb.b.Sequence() {
		tb.t.fail(tb.name, tb.b.SetSequence(o.Seq))
	}
	x.add(o, body)
	return nil
}

// WaitingByID returns those of ids that wait in the run, by id.
func (s *Spool) WaitingByID(run uint64, ids []string) (map[string]Object, error) {
	return s.objects("read waiting objects", waitingOf(run), ids)
}

// Waiting returns up to limit objects that wait in the run with Seq > after, oldest first; fewer if they are large,
// but at least one while there are any.
func (s *Spool) Waiting(run, after uint64, limit int) ([]Object, error) {
	return s.objectsAfter("read waiting objects", waitingOf(run), nil, after, limit)
}

// Watchers returns up to limit objects with Seq > after that wait in the run for the id; fewer if they are large, but
// at least one while there are any.
func (s *Spool) Watchers(run uint64, id string, after uint64, limit int) ([]Object, error) {
	return s.objectsAfter("read watchers", waitingOf(run), &id, after, limit)
}

// WatchedIDs returns up to limit distinct ids after the given one that objects of the run wait for. Their order is
// total and stable, but is the spool's own, not that of the text; "" starts at the beginning.
func (s *Spool) WatchedIDs(run uint64, after string, limit int) ([]string, error) {
	return s.watchedIDs("read watched ids", waitingOf(run), after, limit)
}
