package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// The bucket ids has three parts, so that an entry costs one random write only:
// "entries" by id, "log" in order of writing (one row for each entry, which
// pruning follows), and "runs" with what ForgetRun needs.

// idRun is what the spool knows of one run's entries in ids.
type idRun struct {
	First  uint64 // seq of its first log row
	Count  int64  // its entries
	Forget uint64 // rows up to this seq are forgotten; 0: none
}

// storedID is an entry with the seq of its log row.
type storedID struct {
	ID
	Seq uint64
}

// LookupIDs returns the entries of those ids that are known. An entry that fails
// its checksum counts as unknown; Verify reports it.
func (s *Spool) LookupIDs(ids []string) (map[string]ID, error) {
	out := make(map[string]ID, len(ids))
	err := s.view("look up ids", func(t *txn) error {
		for _, id := range ids {
			e, ok, err := t.ids().get(id)
			if err != nil {
				return err
			}
			if ok {
				out[id] = e.ID
			}
		}
		return nil
	})
	return out, err
}

// get reads one entry.
func (tb idBucket) get(id string) (storedID, bool, error) {
	key := encoding.IDKey(id)
	v := tb.entries().get(key)
	if v == nil {
		return storedID{}, false, nil
	}
	e, err := decodeEntry(key, v)
	if errors.Is(err, ErrCorrupt) {
		return storedID{}, false, nil
	}
	r, err := tb.idRun(e.Run)
	if err != nil || r.forgets(e.Seq) {
		return storedID{}, false, err
	}
	return e, true, nil
}

func (r *idRun) forgets(seq uint64) bool { return r != nil && seq <= r.Forget }

func decodeEntry(key, v []byte) (storedID, error) {
	e, seq, err := encoding.DecodeID(key, v)
	return storedID{e, seq}, err
}

// keyedPut is an entry to store with its key.
type keyedPut struct {
	key []byte
	IDPut
}

// putAll stores or replaces entries; of two for one id the later one counts.
// They are written in the order of their keys, so that each page of the bucket
// is worked on once.
func (tb idBucket) putAll(list []IDPut) error {
	puts := make([]keyedPut, len(list))
	for i, p := range list {
		if err := checkLen("id", p.STIX, p.Kind); err != nil {
			return err
		}
		puts[i] = keyedPut{encoding.IDKey(p.STIX), p}
	}
	slices.SortStableFunc(puts, func(a, b keyedPut) int { return bytes.Compare(a.key, b.key) })
	for i, p := range puts {
		if i+1 < len(puts) && bytes.Equal(p.key, puts[i+1].key) {
			continue
		}
		if err := tb.putOne(p); err != nil {
			return err
		}
	}
	return nil
}

// putOne stores or replaces an entry.
func (tb idBucket) putOne(p keyedPut) error {
	key := p.key
	if err := tb.remove(key); err != nil {
		return err
	}
	seq, err := tb.log().next()
	if err != nil {
		return err
	}
	if err := tb.entries().put(key, encoding.EncodeID(key, p.ID, seq)); err != nil {
		return err
	}
	if err := tb.log().put(encoding.Num(seq), append(binary.AppendUvarint(nil, p.Run), key...)); err != nil {
		return err
	}
	r, err := tb.changeIDRun(p.Run)
	if err != nil {
		return err
	}
	if r.First == 0 {
		r.First = seq
	}
	r.Count++
	return tb.t.meta().count(func(c *counters) { c.IDs++ })
}

// remove removes an entry with its log row, if it is there.
func (tb idBucket) remove(key []byte) error {
	v := tb.entries().get(key)
	if v == nil {
		return nil
	}
	e, err := decodeEntry(key, v)
	if err != nil {
		if e, err = tb.findLogRow(key); err != nil {
			return err
		}
	}
	if _, err := tb.entries().del(key); err != nil {
		return err
	}
	if err := tb.t.meta().count(func(c *counters) { c.IDs-- }); err != nil || e.Seq == 0 {
		return err
	}
	if _, err := tb.log().del(encoding.Num(e.Seq)); err != nil {
		return err
	}
	r, err := tb.changeIDRun(e.Run)
	if err != nil {
		return err
	}
	r.Count--
	return nil
}

// findLogRow finds the log row of an entry that cannot be read. It walks the
// whole log, which only a damaged entry is worth. A seq of 0 means that there is none.
func (tb idBucket) findLogRow(key []byte) (storedID, error) {
	var e storedID
	err := tb.log().scan(nil, nil, func(k, v []byte) (bool, error) {
		run, id, ok := cutLogRow(v)
		if !ok || string(id) != string(key) {
			return true, nil
		}
		e.Seq, e.Run = encoding.U64(k, 0), run
		return false, nil
	})
	return e, err
}

// cutLogRow takes a log row apart into run and id key.
func cutLogRow(v []byte) (run uint64, key []byte, ok bool) {
	run, n := binary.Uvarint(v)
	if n <= 0 {
		return 0, nil, false
	}
	return run, v[n:], true
}

// removeOf removes the entry of an object that the run did not deliver after
// all. What other runs delivered, or the platform holds, stays known.
func (tb idBucket) removeOf(run uint64, id string) error {
	if id == "" {
		return nil
	}
	e, ok, err := tb.get(id)
	if err != nil || !ok || e.Run != run {
		return err
	}
	return tb.remove(encoding.IDKey(id))
}

// idRun returns what is known of a run's entries; nil if nothing.
func (tb idBucket) idRun(run uint64) (*idRun, error) {
	if r, ok := tb.t.idRuns[run]; ok {
		return r, nil
	}
	v := tb.runRows().get(encoding.Num(run))
	if v == nil {
		tb.t.idRuns[run] = nil
		return nil, nil
	}
	if len(v) != 24 {
		return nil, fmt.Errorf("ids of run %d: %w", run, ErrCorrupt)
	}
	r := &idRun{First: encoding.U64(v, 0), Count: int64(encoding.U64(v, 8)), Forget: encoding.U64(v, 16)}
	tb.t.idRuns[run] = r
	return r, nil
}

func (tb idBucket) changeIDRun(run uint64) (*idRun, error) {
	r, err := tb.idRun(run)
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = &idRun{}
		tb.t.idRuns[run] = r
	}
	tb.t.idRunDirty[run] = true
	return r, nil
}

// flush writes what the transaction changed of ids by run.
func (tb idBucket) flush() error {
	for run := range tb.t.idRunDirty {
		r := tb.t.idRuns[run]
		var err error
		switch {
		case r.Count <= 0 && r.Forget == 0:
			_, err = tb.runRows().del(encoding.Num(run))
		default:
			err = tb.runRows().put(encoding.Num(run), encoding.PutU64(encoding.PutU64(encoding.Num(r.First), uint64(r.Count)), r.Forget))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
