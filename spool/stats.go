package spool

import (
	"maps"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// Stats counts what the spool holds.
type Stats struct {
	Meta     Meta
	Room     Room
	Runs     int64
	Tasks    int64
	Parked   int64
	Records  int64
	Waiting  int64
	Held     int64 // HeldPublished among them
	Bundles  int64
	Messages int64 // of the bundles, not yet confirmed
	IDs      int64
	Dead     int64 // not healed
	Rejected int64 // of Dead: those of stage platform
	Healed   int64
	Kept     int64
	Queued   int64 // tasks and dead letters that wait for a run of their own, see StartQueued
	Items    int64 // that can be found after they were delivered

	// Of Held: whole copies of objects that are published without some
	// references. They go out again when what they lack comes; nothing is missing.
	HeldPublished int64

	Bytes  map[string]int64     // keys and values as stored, by bucket
	Oldest map[string]time.Time // by bucket: records, waiting, held, bundles, dead (not healed), and parked
}

// Stats returns counters. It is cheap: they are kept in the transactions that change what they count, and Verify
// compares them with the contents.
func (s *Spool) Stats() (Stats, error) {
	out := Stats{Room: s.Room(), Oldest: map[string]time.Time{}}
	err := s.view("read counters", func(t *txn) error {
		c, err := t.meta().readCounters()
		if err != nil {
			return err
		}
		if out.Meta, err = t.meta().describe(); err != nil {
			return err
		}
		out.Runs, out.Tasks, out.Parked, out.Records = c.Runs, c.Tasks, c.Parked, c.Records
		out.Waiting, out.Held, out.Bundles, out.Messages = c.Waiting, c.Held, c.Bundles, c.Messages
		out.IDs, out.Dead, out.Healed, out.Kept = c.IDs, c.Dead, c.Healed, c.Kept
		out.Queued, out.Items = c.Queued, c.Items
		out.HeldPublished, out.Rejected = *c.HeldPublished, *c.Rejected
		out.Bytes = maps.Clone(c.Bytes)
		return t.oldest(out.Oldest)
	})
	out.Meta.Unclean = s.unclean
	return out, err
}

// oldest finds out how long the oldest entry of each bucket has been there.
func (t *txn) oldest(out map[string]time.Time) error {
	note := func(name string, at time.Time) {
		if !at.IsZero() {
			out[name] = at
		}
	}
	if k, v := t.tab(bktRecords).b.Cursor().First(); k != nil {
		var h NewRecord
		if encoding.OpenHead(v, &h) == nil {
			note(bktRecords, h.Fetched)
		}
	}
	if k, _ := t.tab(bktWaiting).b.Cursor().First(); k != nil {
		if r, err := t.runs().byID(encoding.U64(k, 0)); err == nil {
			note(bktWaiting, r.Created)
		}
	}
	if k, _ := t.tab(bktHeld).b.Cursor().Seek([]byte{pfxHeld}); k != nil && k[0] == pfxHeld {
		note(bktHeld, heldOf(t).at(encoding.U64(k, 1)).Since)
	}
	if k, _ := t.tab(bktBundles).b.Cursor().Seek([]byte{pfxHead}); k != nil && k[0] == pfxHead {
		if b, _, err := t.bundles().head(encoding.U64(k, 1), encoding.U64(k, 9)); err == nil {
			note(bktBundles, b.Created)
		}
	}
	if k, _ := t.tab(bktDead).b.Cursor().Seek([]byte{pfxOpenDL}); k != nil && k[0] == pfxOpenDL {
		if d, ok := t.dead().head(encoding.U64(k, 1)); ok {
			note(bktDead, d.First)
		}
	}
	var parked time.Time
	err := t.tab(bktTasks).scan([]byte{pfxParked}, nil, func(_, v []byte) (bool, error) {
		st, err := t.tasks().byKey(v)
		if err == nil && (parked.IsZero() || st.Parked.Before(parked)) {
			parked = st.Parked
		}
		return false, nil // in order of arrival, so the first is about the oldest
	})
	note("parked", parked)
	return err
}
