package spool

import "threatmatch-connector/spool/internal/encoding"

// objectIndex stores the waiting objects of one run, or the held ones: in order of arrival, found by their own id and
// by the id that they wait for.
type objectIndex struct {
	rows, index    *table
	row, id, watch []byte // prefixes
	run            uint64 // of objects that wait
}

// Held stands in place of a run for the held objects, which are in none.
const Held = ^uint64(0)

// objects returns the index of the objects that wait in the run, or of the held ones.
func (t *txn) objects(run uint64) objectIndex {
	if run == Held {
		tb := t.tab(bktHeld)
		return objectIndex{rows: tb, index: tb, row: []byte{pfxHeld}, id: []byte{pfxByID}, watch: []byte{pfxWatch}}
	}
	return objectIndex{
		rows: t.tab(bktWaiting), index: t.tab(bktWaitingByID), row: encoding.Num(run), id: numKey(pfxByID, run), watch: numKey(pfxWatch, run),
		run: run,
	}
}

// count returns the counter of the objects, for changing.
func (x objectIndex) count() *int64 {
	c := x.rows.t.counters()
	if x.rows.name == bktHeld {
		return &c.Held
	}
	return &c.Waiting
}

func (x objectIndex) key(seq uint64) []byte  { return encoding.PutU64(encoding.Clone(x.row), seq) }
func (x objectIndex) idKey(id string) []byte { return encoding.AppendID(encoding.Clone(x.id), id) }
func (x objectIndex) watchKey(id string) []byte {
	return encoding.AppendID(encoding.Clone(x.watch), id)
}

// seq returns the number of the object of this id, 0 if there is none.
func (x objectIndex) seq(id string) uint64 { return encoding.U64(x.index.get(x.idKey(id)), 0) }

// putRows stores the rows that find an object.
func (x objectIndex) putRows(o Object) {
	key := x.idKey(o.STIX)
	x.index.put(key, encoding.EncodeMark(key, o.Seq))
	x.index.put(encoding.PutU64(x.watchKey(o.Watch), o.Seq), []byte{})
}

// cutWatch parses the key of a row under which an object is found by the id that it waits for.
func (x objectIndex) cutWatch(k []byte) (id string, seq uint64, ok bool) {
	id, rest, ok := encoding.CutID(k[len(x.watch):])
	return id, encoding.U64(rest, 0), ok && len(rest) == 8
}

// indexSeq parses a row of putRows; schema 1 wrote no checksum.
func indexSeq(key, v []byte) (uint64, bool) {
	if len(v) == 8 {
		return encoding.U64(v, 0), true
	}
	seq, err := encoding.DecodeMark(key, v)
	return seq, err == nil
}

// add stores an object under its seq.
func (x objectIndex) add(o Object, body encoding.Packed) {
	x.rows.sealBlob(x.key(o.Seq), o, body)
	x.putRows(o)
	*x.count()++
}

// remove removes the object of this id and returns it; its Seq is 0 if there was none.
func (x objectIndex) remove(id string) Object {
	seq := x.seq(id)
	if seq == 0 {
		return Object{}
	}
	o := x.rows.object(x.key(seq), nil)
	if o.Err != nil {
		x.dropWatch(seq)
	} else {
		x.index.del(encoding.PutU64(x.watchKey(o.Watch), seq))
	}
	x.index.del(x.idKey(id))
	x.rows.delBlob(x.key(seq))
	*x.count()--
	return o
}

// dropWatch removes the watch rows of an object that cannot be read. It walks the index, which only a damaged object
// is worth.
func (x objectIndex) dropWatch(seq uint64) {
	var gone [][]byte
	for k := range x.index.rows(x.watch) {
		if encoding.U64(k, len(k)-8) == seq {
			gone = append(gone, encoding.Clone(k))
		}
	}
	x.index.delAll(gone)
}

// at reads one object. If it is damaged its id comes from the index.
func (x objectIndex) at(seq uint64) Object {
	o := x.rows.object(x.key(seq), nil)
	if o.Err == nil {
		return o
	}
	if o.STIX = ""; x.run != 0 {
		o.Run = x.run
	}
	for k, v := range x.index.rows(x.id) {
		if encoding.U64(v, 0) == seq && o.STIX == "" {
			o.STIX, _, _ = encoding.CutID(k[len(x.id):])
		}
	}
	return o
}

// ObjectsByID returns those of ids that wait in the run, or are Held, by id.
func (s *Spool) ObjectsByID(run uint64, ids []string) (map[string]Object, error) {
	out := map[string]Object{}
	err := s.view("read objects", func(t *txn) error {
		x := t.objects(run)
		for _, id := range ids {
			if seq := x.seq(id); seq != 0 {
				out[id] = x.at(seq)
			}
		}
		return nil
	})
	return out, err
}

// Objects returns up to limit objects with Seq > after that wait in the run, or are Held, oldest first; fewer if they
// are large, but at least one while there are any.
func (s *Spool) Objects(run, after uint64, limit int) (out []Object, err error) {
	err = s.view("read objects", func(t *txn) error {
		x := t.objects(run)
		out = x.after(x.rows, x.row, after, limit)
		return nil
	})
	return out, err
}

// Watchers returns those of Objects that wait for the id.
func (s *Spool) Watchers(run uint64, id string, after uint64, limit int) (out []Object, err error) {
	err = s.view("read watchers", func(t *txn) error {
		x := t.objects(run)
		out = x.after(x.index, x.watchKey(id), after, limit)
		return nil
	})
	return out, err
}

// after returns objects whose seqs follow the prefix in rows of the table.
func (x objectIndex) after(tb *table, prefix []byte, after uint64, limit int) (out []Object) {
	size := 0
	for k := range tb.entries(prefix, past(encoding.PutU64(encoding.Clone(prefix), after)), 8) {
		if len(out) >= limit || size >= readBytes {
			break
		}
		out = append(out, x.at(encoding.U64(k, len(prefix))))
		size += len(out[len(out)-1].JSON)
	}
	return out
}

// WatchedIDs returns up to limit distinct ids after the given one that objects of the run, or Held ones, wait for.
// Their order is total and stable, but is the spool's own, not that of the text; "" starts at the beginning.
func (s *Spool) WatchedIDs(run uint64, after string, limit int) (out []string, err error) {
	err = s.view("read watched ids", func(t *txn) error {
		x := t.objects(run)
		from := x.watch
		if after != "" {
			from = x.pastID(after)
		}
		for len(out) < limit {
			k, _ := x.index.first(x.watch, from)
			if k == nil {
				break
			}
			id, _, ok := x.cutWatch(k)
			if !ok {
				from = past(k) // a damaged row
				continue
			}
			out = append(out, id)
			from = x.pastID(id)
		}
		return nil
	})
	return out, err
}

// Awaited returns those of ids for which objects wait in the run, or are held.
func (s *Spool) Awaited(run uint64, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	err := s.view("read watched ids", func(t *txn) error {
		waiting, held := t.objects(run), t.objects(Held)
		for _, id := range ids {
			if waiting.index.has(waiting.watchKey(id)) || held.index.has(held.watchKey(id)) {
				out[id] = true
			}
		}
		return nil
	})
	return out, err
}

// pastID returns a key after all rows of the watched id.
func (x objectIndex) pastID(id string) []byte {
	return append(x.watchKey(id), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}
