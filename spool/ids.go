package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"
)

// The bucket ids has three parts, so that an entry costs one random write only:
// "entries" by id, "log" in order of writing (one row for each entry, which
// pruning follows), and "runs" with what ForgetRun needs.

const (
	idVersion   = 1
	idHasHash   = 1 << 0
	idHasMod    = 1 << 1
	idHasAt     = 1 << 2
	idKindCoded = 1 << 3
)

// kindCodes are the kinds that take one byte. Codes are part of the file
// format: entries may be added at the end, never moved.
var kindCodes = []string{
	"indicator", "relationship", "malware", "intrusion-set", "threat-actor", "threat-actor-group",
	"report", "attack-pattern", "campaign", "vulnerability", "tool", "incident", "infrastructure",
	"identity-individual", "identity-organization", "identity-sector", "identity-system",
	"location-region", "location-country", "location-city", "location-administrative-area",
	"location-position", "domain-name", "ipv4-addr", "ipv6-addr", "url", "stix-file", "file",
	"course-of-action", "note", "sighting", "marking-definition", "observed-data", "channel",
	"narrative", "software", "user-account", "hostname", "email-addr",
}

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

// encodeID builds the value of an entry:
//
//	version | flags | crc (4) | kind | properties | run | seq | [hash] | [modified ms] | [at s]
func encodeID(key []byte, e storedID) []byte {
	b := make([]byte, 6, 64)
	b[0] = idVersion
	var flags byte
	if code := kindCode(e.Kind); code >= 0 {
		flags |= idKindCoded
		b = append(b, byte(code))
	} else {
		b = binary.AppendUvarint(b, uint64(len(e.Kind)))
		b = append(b, e.Kind...)
	}
	b = binary.AppendUvarint(b, uint64(max(e.Properties, 0)))
	b = binary.AppendUvarint(b, e.Run)
	b = binary.AppendUvarint(b, e.Seq)
	if e.Hash != [16]byte{} {
		flags |= idHasHash
		b = append(b, e.Hash[:]...)
	}
	if !e.Modified.IsZero() {
		flags |= idHasMod
		b = binary.AppendVarint(b, e.Modified.UnixMilli())
	}
	if !e.At.IsZero() {
		flags |= idHasAt
		b = binary.AppendVarint(b, e.At.Unix())
	}
	b[1] = flags
	binary.BigEndian.PutUint32(b[2:], idChecksum(key, b))
	return b
}

func idChecksum(key, b []byte) uint32 {
	c := crc32.Update(0, castagnoli(), key)
	c = crc32.Update(c, castagnoli(), b[:2])
	return crc32.Update(c, castagnoli(), b[6:])
}

func kindCode(kind string) int {
	for i, k := range kindCodes {
		if k == kind {
			return i
		}
	}
	return -1
}

// decodeID reads what encodeID wrote.
func decodeID(key, b []byte) (storedID, error) {
	var e storedID
	if len(b) < 6 || b[0] != idVersion {
		return e, fmt.Errorf("id entry: %w", ErrCorrupt)
	}
	if idChecksum(key, b) != binary.BigEndian.Uint32(b[2:]) {
		return e, fmt.Errorf("id entry: %w: checksum", ErrCorrupt)
	}
	r := reader{b: b[6:]}
	flags := b[1]
	if flags&idKindCoded != 0 {
		code := r.byte()
		if int(code) >= len(kindCodes) {
			return e, fmt.Errorf("id entry: %w: kind %d", ErrCorrupt, code)
		}
		e.Kind = kindCodes[code]
	} else {
		e.Kind = string(r.bytes(r.uvarint()))
	}
	e.Properties = int(min(r.uvarint(), math.MaxInt32))
	e.Run = r.uvarint()
	e.Seq = r.uvarint()
	if flags&idHasHash != 0 {
		copy(e.Hash[:], r.bytes(16))
	}
	if flags&idHasMod != 0 {
		e.Modified = time.UnixMilli(r.varint()).UTC()
	}
	if flags&idHasAt != 0 {
		e.At = time.Unix(r.varint(), 0).UTC()
	}
	if r.bad || len(r.b) > 0 {
		return e, fmt.Errorf("id entry: %w: length", ErrCorrupt)
	}
	return e, nil
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
	key := idKey(id)
	v := tb.entries().get(key)
	if v == nil {
		return storedID{}, false, nil
	}
	e, err := decodeID(key, v)
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
		puts[i] = keyedPut{idKey(p.STIX), p}
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
	if err := tb.entries().put(key, encodeID(key, storedID{p.ID, seq})); err != nil {
		return err
	}
	if err := tb.log().put(num(seq), append(binary.AppendUvarint(nil, p.Run), key...)); err != nil {
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
	e, err := decodeID(key, v)
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
	if _, err := tb.log().del(num(e.Seq)); err != nil {
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
		e.Seq, e.Run = u64(k, 0), run
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
	return tb.remove(idKey(id))
}

// idRun returns what is known of a run's entries; nil if nothing.
func (tb idBucket) idRun(run uint64) (*idRun, error) {
	if r, ok := tb.t.idRuns[run]; ok {
		return r, nil
	}
	v := tb.runRows().get(num(run))
	if v == nil {
		tb.t.idRuns[run] = nil
		return nil, nil
	}
	if len(v) != 24 {
		return nil, fmt.Errorf("ids of run %d: %w", run, ErrCorrupt)
	}
	r := &idRun{First: u64(v, 0), Count: int64(u64(v, 8)), Forget: u64(v, 16)}
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
			_, err = tb.runRows().del(num(run))
		default:
			err = tb.runRows().put(num(run), putU64(putU64(num(r.First), uint64(r.Count)), r.Forget))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
