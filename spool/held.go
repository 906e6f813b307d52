package spool

import (
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

func heldIDKey(id string) []byte { return encoding.AppendID([]byte{pfxByID}, id) }

func heldWatchPrefix(watch string) []byte { return encoding.AppendID([]byte{pfxWatch}, watch) }

// hold stores an object that is held, in place of an older copy of its id. The
// Since and the place in line of the older one are kept.
func (tb heldBucket) hold(run uint64, now time.Time, o Object, body encoding.Packed) error {
	if err := checkObject(o); err != nil {
		return err
	}
	old, ok, err := tb.unhold(o.STIX)
	if err != nil {
		return err
	}
	switch {
	case ok:
		o.Seq = old.Seq
		if !old.Since.IsZero() {
			o.Since = old.Since
		}
	default:
		if o.Seq, err = tb.next(); err != nil {
			return err
		}
	}
	if o.Since.IsZero() {
		o.Since = now
	}
	o.Since, o.Run = o.Since.UTC(), run
	if err := tb.putObject(numKey(pfxHeld, o.Seq), o, body); err != nil {
		return err
	}
	if err := tb.putSeq(heldIDKey(o.STIX), o.Seq); err != nil {
		return err
	}
	if err := tb.put(encoding.PutU64(heldWatchPrefix(o.Watch), o.Seq), []byte{}); err != nil {
		return err
	}
	return tb.t.meta().count(func(c *counters) {
		c.Held++
		c.addPublished(o.Kept, 1)
	})
}

// countPublished counts what is held of published objects, in a file of a
// version that did not, and after a damaged object was removed.
func (tb heldBucket) countPublished() (n int64, err error) {
	err = tb.scan([]byte{pfxHeld}, nil, func(k, v []byte) (bool, error) {
		if len(k) == 9 && tb.object(k, v).Kept {
			n++
		}
		return true, nil
	})
	return n, err
}

func (c *counters) addPublished(kept bool, n int64) {
	if kept && c.HeldPublished != nil {
		*c.HeldPublished += n
	}
}

// unhold removes the held object of this id and returns it.
func (tb heldBucket) unhold(id string) (Object, bool, error) {
	idk := heldIDKey(id)
	seq := encoding.U64(tb.get(idk), 0)
	if seq == 0 {
		return Object{}, false, nil
	}
	key := numKey(pfxHeld, seq)
	o := tb.object(key, nil)
	o.Seq = seq
	if o.Err != nil {
		if err := tb.dropWatch([]byte{pfxWatch}, seq); err != nil {
			return o, false, err
		}
	} else if _, err := tb.del(encoding.PutU64(heldWatchPrefix(o.Watch), seq)); err != nil {
		return o, false, err
	}
	if _, err := tb.del(idk); err != nil {
		return o, false, err
	}
	if _, err := tb.delBlob(key); err != nil {
		return o, false, err
	}
	return o, true, tb.t.meta().count(func(c *counters) {
		c.Held--
		c.addPublished(o.Kept, -1)
		if o.Err != nil {
			c.HeldPublished = nil // what it was cannot be told
		}
	})
}

// at reads one held object. Where it is damaged its id comes from the index.
func (tb heldBucket) at(seq uint64) Object {
	o := tb.object(numKey(pfxHeld, seq), nil)
	if o.Err != nil {
		o.STIX = tb.idOf([]byte{pfxByID}, seq)
	}
	return o
}

// HeldByID returns those of ids that are held.
func (s *Spool) HeldByID(ids []string) (map[string]Object, error) {
	out := map[string]Object{}
	err := s.view("read held objects", func(t *txn) error {
		for _, id := range ids {
			if v := t.tab(bktHeld).get(heldIDKey(id)); v != nil {
				out[id] = t.held().at(encoding.U64(v, 0))
			}
		}
		return nil
	})
	return out, err
}

// Held returns up to limit held objects with Seq > after, oldest first; fewer where
// they are large, but one while there are any.
func (s *Spool) Held(after uint64, limit int) ([]Object, error) {
	var out []Object
	var size int
	err := s.view("read held objects", func(t *txn) error {
		if after == ^uint64(0) {
			return nil
		}
		return t.tab(bktHeld).scan([]byte{pfxHeld}, numKey(pfxHeld, after+1), func(k, _ []byte) (bool, error) {
			if len(out) >= limit || size >= readBytes {
				return false, nil
			}
			if len(k) == 9 {
				out = append(out, t.held().at(encoding.U64(k, 1)))
				size += len(out[len(out)-1].JSON)
			}
			return true, nil
		})
	})
	return out, err
}

// HeldFor returns up to limit held objects with Seq > after that are held for the
// id; fewer where they are large, but one while there are any.
func (s *Spool) HeldFor(id string, after uint64, limit int) ([]Object, error) {
	var out []Object
	var size int
	err := s.view("read held objects", func(t *txn) error {
		seqs, err := t.tab(bktHeld).watchers(heldWatchPrefix(id), after, limit)
		for _, seq := range seqs {
			if size >= readBytes {
				break
			}
			out = append(out, t.held().at(seq))
			size += len(out[len(out)-1].JSON)
		}
		return err
	})
	return out, err
}

// HeldIDs returns up to limit distinct ids after the given one for which
// objects are held, in the spool's own order; see WatchedIDs.
func (s *Spool) HeldIDs(after string, limit int) ([]string, error) {
	var out []string
	err := s.view("read watched ids", func(t *txn) error {
		var err error
		out, err = t.tab(bktHeld).watched([]byte{pfxWatch}, after, limit)
		return err
	})
	return out, err
}
