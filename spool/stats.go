package spool

import (
	"encoding/json"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// Counts are the numbers of what the spool holds.
type Counts struct {
	Runs     int64 `json:"runs"`
	Tasks    int64 `json:"tasks"`
	Parked   int64 `json:"parked"`
	Queued   int64 `json:"queued"` // tasks and dead letters that wait for a run of their own, see StartQueued
	Records  int64 `json:"records"`
	Waiting  int64 `json:"waiting"`
	Held     int64 `json:"held"`
	Bundles  int64 `json:"bundles"`
	Messages int64 `json:"messages"` // of the bundles, not yet confirmed
	IDs      int64 `json:"ids"`
	Dead     int64 `json:"dead"` // not healed
	Healed   int64 `json:"healed"`
	Kept     int64 `json:"kept"`
	Items    int64 `json:"items"` // that can be found after they were delivered
}

// byName returns the counts by the names of their fields in JSON.
func (c Counts) byName() (m map[string]int64) {
	if b, err := json.Marshal(c); err == nil {
		_ = json.Unmarshal(b, &m)
	}
	return m
}

// Stats counts what the spool holds.
type Stats struct {
	Meta Meta
	Room Room
	Counts

	// Of Held: whole copies of objects that are published without some
	// references. They go out again when what they lack comes; nothing is missing.
	HeldPublished int64
	Rejected      int64 // of Dead: those of stage platform

	Bytes  map[string]int64     // keys and values as stored, by bucket
	Oldest map[string]time.Time // by bucket: records, waiting, held, bundles, dead (not healed), and parked
}

// Stats returns counters. It is cheap: they are kept in the transactions that change what they count, and Verify
// compares them with the contents.
func (s *Spool) Stats() (Stats, error) {
	out := Stats{Room: s.Room(), Oldest: map[string]time.Time{}}
	err := s.view("read counters", func(t *txn) (err error) {
		c := t.counters()
		out.Counts, out.HeldPublished, out.Rejected, out.Bytes = c.Counts, *c.HeldPublished, *c.Rejected, c.Bytes
		t.oldest(out.Oldest)
		out.Meta, err = s.describe(t.meta())
		return err
	})
	return out, err
}

// oldest finds out how long the oldest entry of each bucket has been there.
func (t *txn) oldest(out map[string]time.Time) {
	note := func(name string, at time.Time) {
		if !at.IsZero() {
			out[name] = at
		}
	}
	if k, v := t.records().seek(nil); k != nil {
		var h NewRecord
		if encoding.OpenHead(v, &h) == nil {
			note(bktRecords, h.Fetched)
		}
	}
	if k, _ := t.waiting().seek(nil); k != nil {
		if r, err := t.runs().byID(encoding.U64(k, 0)); err == nil {
			note(bktWaiting, r.Created)
		}
	}
	first := func(tb *table, pfx byte) (k, v []byte) { return tb.first([]byte{pfx}, []byte{pfx}) }
	if k, _ := first(t.held().table, pfxHeld); k != nil {
		note(bktHeld, t.objects(Held).at(encoding.U64(k, 1)).Since)
	}
	if k, _ := first(t.bundles().table, pfxHead); k != nil {
		b, _ := t.bundles().head(encoding.U64(k, 1), encoding.U64(k, 9))
		note(bktBundles, b.Created)
	}
	if k, _ := first(t.dead().table, pfxOpenDL); k != nil {
		d, _ := t.dead().head(encoding.U64(k, 1))
		note(bktDead, d.First)
	}
	if _, v := first(t.tasks().table, pfxParked); v != nil { // in order of arrival, so the first is about the oldest
		if st, err := t.tasks().byKey(v); err == nil {
			note("parked", st.Parked)
		}
	}
}
