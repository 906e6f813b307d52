package spool

import "threatmatch-connector/spool/internal/encoding"

// Objects that wait are stored by run and order of arrival; waiting_by_id finds
// them by their own id and by the one they wait for.

func waitingIDKey(run uint64, id string) []byte {
	return encoding.AppendID(numKey(pfxByID, run), id)
}

func waitingWatchPrefix(run uint64, watch string) []byte {
	return encoding.AppendID(numKey(pfxWatch, run), watch)
}

// wait stores an object that waits, in place of an older copy of its id in the run.
func (tb waitingBucket) wait(run uint64, o Object, body encoding.Packed) error {
	if err := checkObject(o); err != nil {
		return err
	}
	old, err := tb.unwait(run, o.STIX)
	if err != nil {
		return err
	}
	if old > 0 {
		o.Seq = old
	}
	tb, ix := tb, tb.t.tab(bktWaitingByID)
	if o.Seq == 0 || tb.get(encoding.Pair(run, o.Seq)) != nil {
		if o.Seq, err = tb.next(); err != nil {
			return err
		}
	} else if o.Seq > tb.b.Sequence() {
		if err := tb.b.SetSequence(o.Seq); err != nil {
			return err
		}
	}
	o.Run = run
	if err := tb.putObject(encoding.Pair(run, o.Seq), o, body); err != nil {
		return err
	}
	if err := ix.putSeq(waitingIDKey(run, o.STIX), o.Seq); err != nil {
		return err
	}
	if err := ix.put(encoding.PutU64(waitingWatchPrefix(run, o.Watch), o.Seq), []byte{}); err != nil {
		return err
	}
	return tb.t.meta().count(func(c *counters) { c.Waiting++ })
}

// unwait removes the object of this id from those that wait in the run and
// returns its seq, 0 if there was none.
func (tb waitingBucket) unwait(run uint64, id string) (uint64, error) {
	tb, ix := tb, tb.t.tab(bktWaitingByID)
	idk := waitingIDKey(run, id)
	seq := encoding.U64(ix.get(idk), 0)
	if seq == 0 {
		return 0, nil
	}
	key := encoding.Pair(run, seq)
	o := tb.object(key, nil)
	if o.Err != nil {
		if err := ix.dropWatch(numKey(pfxWatch, run), seq); err != nil {
			return 0, err
		}
	} else if _, err := ix.del(encoding.PutU64(waitingWatchPrefix(run, o.Watch), seq)); err != nil {
		return 0, err
	}
	if _, err := ix.del(idk); err != nil {
		return 0, err
	}
	if _, err := tb.delBlob(key); err != nil {
		return 0, err
	}
	return seq, tb.t.meta().count(func(c *counters) { c.Waiting-- })
}

// dropWatch removes the watch rows of an object that cannot be read. It walks
// the index, which only a damaged object is worth.
func (ix *table) dropWatch(prefix []byte, seq uint64) error {
	keys, err := ix.keys(prefix, 0)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if encoding.U64(k, len(k)-8) != seq {
			continue
		}
		if _, err := ix.del(k); err != nil {
			return err
		}
	}
	return nil
}

// WaitingByID returns those of ids that wait in the run.
func (s *Spool) WaitingByID(run uint64, ids []string) (map[string]Object, error) {
	out := map[string]Object{}
	err := s.view("read waiting objects", func(t *txn) error {
		for _, id := range ids {
			if v := t.tab(bktWaitingByID).get(waitingIDKey(run, id)); v != nil {
				out[id] = t.waiting().at(run, encoding.U64(v, 0))
			}
		}
		return nil
	})
	return out, err
}

// at reads one object that waits. Where it is damaged its id comes from the index.
func (tb waitingBucket) at(run, seq uint64) Object {
	o := tb.object(encoding.Pair(run, seq), nil)
	if o.Err != nil {
		o.Run = run
		o.STIX = tb.t.tab(bktWaitingByID).idOf(numKey(pfxByID, run), seq)
	}
	return o
}

// idOf finds the id that an index of ids has for the seq, or "".
func (tb *table) idOf(prefix []byte, seq uint64) string {
	var id string
	_ = tb.scan(prefix, nil, func(k, v []byte) (bool, error) {
		if encoding.U64(v, 0) != seq {
			return true, nil
		}
		id, _, _ = encoding.CutID(k[len(prefix):])
		return false, nil
	})
	return id
}

// Waiting returns up to limit objects that wait in the run with Seq > after, oldest
// first; fewer where they are large, but one while there are any.
func (s *Spool) Waiting(run, after uint64, limit int) ([]Object, error) {
	var out []Object
	var size int
	err := s.view("read waiting objects", func(t *txn) error {
		if after == ^uint64(0) {
			return nil
		}
		return t.tab(bktWaiting).scan(encoding.Num(run), encoding.Pair(run, after+1), func(k, _ []byte) (bool, error) {
			if len(out) >= limit || size >= readBytes {
				return false, nil
			}
			if len(k) == 16 {
				out = append(out, t.waiting().at(run, encoding.U64(k, 8)))
				size += len(out[len(out)-1].JSON)
			}
			return true, nil
		})
	})
	return out, err
}

// Watchers returns up to limit objects with Seq > after that wait in the run for
// the id; fewer where they are large, but one while there are any.
func (s *Spool) Watchers(run uint64, id string, after uint64, limit int) ([]Object, error) {
	var out []Object
	var size int
	err := s.view("read watchers", func(t *txn) error {
		seqs, err := t.tab(bktWaitingByID).watchers(waitingWatchPrefix(run, id), after, limit)
		for _, seq := range seqs {
			if size >= readBytes {
				break
			}
			out = append(out, t.waiting().at(run, seq))
			size += len(out[len(out)-1].JSON)
		}
		return err
	})
	return out, err
}

// watchers returns the seqs of the rows with the prefix.
func (tb *table) watchers(prefix []byte, after uint64, limit int) ([]uint64, error) {
	if after == ^uint64(0) {
		return nil, nil
	}
	var seqs []uint64
	err := tb.scan(prefix, encoding.PutU64(encoding.Clone(prefix), after+1), func(k, _ []byte) (bool, error) {
		if len(seqs) >= limit {
			return false, nil
		}
		seqs = append(seqs, encoding.U64(k, len(k)-8))
		return true, nil
	})
	return seqs, err
}

// WatchedIDs returns up to limit distinct ids after the given one that objects
// of the run wait for. Their order is total and stays the same, but is the
// spool's own, not that of the text; "" starts at the beginning.
func (s *Spool) WatchedIDs(run uint64, after string, limit int) ([]string, error) {
	var out []string
	err := s.view("read watched ids", func(t *txn) error {
		var err error
		out, err = t.tab(bktWaitingByID).watched(numKey(pfxWatch, run), after, limit)
		return err
	})
	return out, err
}

// watched returns the distinct ids of a watch index.
func (tb *table) watched(prefix []byte, after string, limit int) ([]string, error) {
	var out []string
	from := prefix
	if after != "" {
		from = pastID(prefix, after)
	}
	for len(out) < limit {
		var id string
		var found bool
		err := tb.scan(prefix, from, func(k, _ []byte) (bool, error) {
			id, _, found = encoding.CutID(k[len(prefix):])
			return false, nil
		})
		if err != nil || !found {
			return out, err
		}
		out = append(out, id)
		from = pastID(prefix, id)
	}
	return out, nil
}

// pastID is a key behind all rows of the id.
func pastID(prefix []byte, id string) []byte {
	k := encoding.AppendID(encoding.Clone(prefix), id)
	return append(k, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}
