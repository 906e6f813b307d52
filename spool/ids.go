package spool

import (
	"bytes"
	"encoding/binary"
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
			if e, ok := t.ids().get(id); ok {
				out[id] = e.ID
			}
		}
		return nil
	})
	return out, err
}

// get reads one entry and reports whether it is known: one that cannot be read is not.
func (tb idBucket) get(id string) (storedID, bool) {
	key := encoding.IDKey(id)
	v := tb.entries().get(key)
	if v == nil {
		return storedID{}, false
	}
	e, err := decodeEntry(key, v)
	return e, err == nil && !tb.forgets(e)
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
	return s.handOver("forget run", frees(), epoch, func(t *txn) error {
		t.dead().reopenRetried(run, 0)
		key := encoding.Num(run)
		delete(t.forgotten, run)
		t.ids().marks().put(key, encoding.EncodeMark(key, t.ids().log().b.Sequence()))
		return nil
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
		tb.putOne(p)
	}
	return nil
}

// putOne stores or replaces an entry.
func (tb idBucket) putOne(p keyedPut) {
	key := p.key
	tb.remove(key)
	seq := tb.log().next()
	tb.entries().putNew(key, encoding.EncodeID(key, p.ID, seq, p.origin))
	row := append(binary.AppendUvarint(make([]byte, 0, len(key)+binary.MaxVarintLen64), p.Run), key...)
	tb.log().putNew(encoding.Num(seq), row)
	tb.t.counters().IDs++
}

// remove removes an entry and its log row, if there is one.
func (tb idBucket) remove(key []byte) {
	v := tb.entries().get(key)
	if v == nil {
		return
	}
	e, err := decodeEntry(key, v)
	if err != nil {
		e.Seq = tb.findLogRow(key)
	}
	tb.entries().del(key)
	tb.t.counters().IDs--
	tb.log().del(encoding.Num(e.Seq))
}

// findLogRow finds the log row of an entry that cannot be read. It walks the whole log, which only a damaged entry is
// worth. It returns 0, which is the number of none, if there is none.
func (tb idBucket) findLogRow(key []byte) uint64 {
	for k, v := range tb.log().rows(nil) {
		if _, id, ok := cutLogRow(v); ok && string(id) == string(key) {
			return encoding.U64(k, 0)
		}
	}
	return 0
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
func (tb idBucket) removeOf(run uint64, id string) {
	if e, known := tb.get(id); id != "" && known && e.Run == run {
		tb.remove(encoding.IDKey(id))
	}
}
