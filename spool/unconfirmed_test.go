package spool

import (
	"bytes"
	"errors"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// What is left to confirm of a run is counted from its cursors on, with skipped messages, which are settled once they
// were told, and without other runs' bundles, also in a bundle whose header is lost.
func TestUnconfirmed(t *testing.T) {
	s := mustOpen(t, Options{Dir: fastDir(t), ConnectorID: "c"})
	run, other := begin(t, s, RunSpec{}, t0, Alerts), begin(t, s, RunSpec{}, t0, Alerts)
	next := 0
	add := func(id uint64, objects int) {
		var b NewBundle
		for range objects {
			b.Objects = append(b.Objects, BundleObject{STIX: stixOf(next), JSON: bodyOf(next)})
			next++
		}
		ok(t, s.CommitMap(1, t0, MapCommit{Run: id, Bundles: []NewBundle{b}}))
	}
	check := func(run Run, most int, want int64, from, through Place) {
		t.Helper()
		n, in, err := s.Unconfirmed(run.ID, most)
		if err != nil || n != want || in != (Range{from, through}) {
			t.Errorf("%d messages in %v, %v; want %d from %v through %v", n, in, err, want, from, through)
		}
	}
	check(run, 10, 0, Place{}, Place{})
	add(run.ID, 4)
	add(other.ID, 7)
	add(run.ID, 3)
	add(run.ID, 2)
	ok(t, s.SaveCursor(1, run.ID, 1, 1))
	ok(t, s.SkipMessage(1, run.ID, 1, 2, DeadLetter{Class: "too_large"}))
	ok(t, s.SkipMessage(1, run.ID, 3, 0, DeadLetter{Class: "too_large"}))
	check(run, 10, 3+2+2, Place{1, 1}, Place{4, 2})
	check(run, 2, 3+2, Place{1, 1}, Place{3, 3})
	check(other, 10, 7, Place{2, 0}, Place{2, 7})
	key := pairKey(pfxHead, run.ID, 3)
	var head []byte
	ok(t, s.db.Update(func(tx *bolt.Tx) error {
		head = bytes.Clone(tx.Bucket([]byte(bktBundles)).Get(key))
		return tx.Bucket([]byte(bktBundles)).Delete(key)
	}))
	check(run, 10, 3+2+2, Place{1, 1}, Place{4, 2})
	ok(t, s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(bktBundles)).Put(key, head) }))
	in := Range{Place{1, 1}, Place{4, 2}}
	for p, want := range map[Place]bool{{1, 0}: false, {1, 1}: true, {3, 9}: true, {4, 1}: true, {4, 2}: false, {5, 0}: false} {
		if in.Has(p) != want {
			t.Errorf("%v in %v: %v", p, in, !want)
		}
	}
}

// A run is not done while a bundle of it is left, however many rows before it belong to none.
func TestDamagedRowsHideNoBundle(t *testing.T) {
	s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true}))
	defer func() { ok(t, s.Close()) }()
	run := begin(t, s, RunSpec{}, t0)
	for n := range 4 {
		b := NewBundle{Objects: []BundleObject{{STIX: stixOf(n), JSON: bodyOf(n)}}}
		ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Bundles: []NewBundle{b}}))
	}
	ok(t, s.FinishFetch(1, run.ID, t0))
	ok(t, s.FinishMap(1, run.ID, t0))
	ok(t, s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bktBundles))
		for seq := uint64(1); seq <= 3; seq++ {
			block := blockKey(run.ID, seq, 0)
			ok(t, b.Put(pairKey(pfxHead, run.ID, seq), []byte("damaged")))
			ok(t, b.Put(append(bytes.Clone(block), 0, 1), []byte("a fragment of nothing")))
			ok(t, b.Delete(block))
		}
		return nil
	}))
	if err := s.FinishRun(1, run.ID, t0); !errors.Is(err, ErrBusy) {
		t.Fatalf("got %v, want %v", err, ErrBusy)
	}
	next := must(s.NextBundle())
	if next.Seq != 4 {
		t.Fatalf("the next bundle is %d, want 4", next.Seq)
	}
	ok(t, s.SaveCursor(1, run.ID, next.Seq, 1))
	ok(t, s.EndBundle(1, run.ID, next.Seq, Work{}, nil))
	ok(t, s.FinishRun(1, run.ID, t0))
}
