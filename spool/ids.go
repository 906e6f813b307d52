package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// The bucket ids has three parts, so that an entry costs only one random write: "entries" by id; "log" in order of
// writing, with one row for each entry, which pruning follows; and "forgotten", by run the log row up to which its
// entries count as unknown.

// storedID is an entry with the seq of its log row.
type storedID struct {
	ID
	Seq    uint64
	Origin string // see origins
}

// LookupIDs returns the entries of those ids that are known, by id. An entry that fails its checksum counts as
// unknown; Verify reports it.
func (s *Spool) LookupIDs(ids []string) (map[string]ID, error) {
	out := map[string]ID{}
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
	return e, !tb.forgets(e), nil
}

// forgets reports whether the entry was forgotten with its run. If the mark of the run cannot be read, all of its
// entries count as forgotten: sending again is safe.
func (tb idBucket) forgets(e storedID) bool {
	mark, known := tb.t.forgotten[e.Run]
	if !known {
		key := encoding.Num(e.Run)
		if v := tb.marks().get(key); v != nil {
			var err error
			if mark, err = encoding.DecodeMark(key, v); err != nil {
				mark = math.MaxUint64
			}
		}
		tb.t.forgotten[e.Run] = mark
	}
	return e.Seq <= mark
}

// ForgetRun makes the run's entries in ids count as unknown, after its work was deleted on the platform. Prune
// removes them later.
func (s *Spool) ForgetRun(epoch uint64, run uint64) error {
	return s.update("forget run", frees(), func(t *txn) error {
		if err := t.meta().checkEpoch(epoch); err != nil {
			return err
		}
		if err := t.dead().reopenRetried(run, 0); err != nil {
			return err
		}
		key := encoding.Num(run)
		delete(t.forgotten, run)
		return t.ids().marks().put(key, encoding.EncodeMark(key, t.ids().log().b.Sequence()))
	})
}

func decodeEntry(key, v []byte) (storedID, error) {
	e, seq, from, err := encoding.DecodeID(key, v)
	return storedID{e, seq, from}, err
}

// keyedPut is an entry to store, with its key.
type keyedPut struct {
	key []byte
	IDPut
	origin string
}

// putAll stores or replaces entries; of two for one id the later one counts. They are written in the order of their
// keys, so that each page of the bucket is changed once. origins says what brought those of the objects that are sent
// now.
func (tb idBucket) putAll(list []IDPut, origins map[string]string) error {
	puts := make([]keyedPut, len(list))
	for i, p := range list {
		if err := checkLen("id", p.STIX, p.Kind); err != nil {
			return err
		}
		puts[i] = keyedPut{encoding.IDKey(p.STIX), p, origins[p.STIX]}
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
	if err := tb.entries().putNew(key, encoding.EncodeID(key, p.ID, seq, p.origin)); err != nil {
		return err
	}
	row := append(binary.AppendUvarint(make([]byte, 0, len(key)+binary.MaxVarintLen64), p.Run), key...)
	if err := tb.log().putNew(encoding.Num(seq), row); err != nil {
		return err
	}
	return tb.t.meta().count(func(c *counters) { c.IDs++ })
}

// remove removes an entry and its log row, if there is one.
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
	_, err = tb.log().del(encoding.Num(e.Seq))
	return err
}

// findLogRow finds the log row of an entry that cannot be read. It walks the whole log, which only a damaged entry is
// worth. Seq is 0 if there is none.
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

// cutLogRow splits a log row into run and id key.
func cutLogRow(v []byte) (run uint64, key []byte, ok bool) {
	run, n := binary.Uvarint(v)
	if n <= 0 {
		return 0, nil, false
	}
	return run, v[n:], true
}

// removeOf removes the entry of an object that the run did not deliver after all. What other runs delivered, or the
// platform has, stays known.
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
