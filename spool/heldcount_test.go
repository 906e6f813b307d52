package spool

import (
	"testing"

	bolt "go.etcd.io/bbolt"
)

// Held objects that are published already are counted apart, also in a file of a version that did not count them and
// if one of them is damaged.
func TestHeldPublished(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Start: t0}))
	hold := func(n int, kept bool) Object {
		return Object{STIX: stixOf(n), Watch: stixOf(100), Dataset: Alerts, Source: "s", JSON: []byte(`{"name":"held"}`), Kept: kept}
	}
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Hold: []Object{hold(1, true), hold(2, false), hold(3, true), hold(4, true)}}))
	want := func(held, published int64) {
		t.Helper()
		if st := must(s.Stats()); st.Held != held || st.HeldPublished != published {
			t.Fatalf("%d held, %d of them published, want %d and %d", st.Held, st.HeldPublished, held, published)
		}
	}
	want(4, 3)
	ok(t, s.db.Update(func(tx *bolt.Tx) error { // as an older version left it
		c := counters{Bytes: map[string]int64{}}
		tr := newTxn(tx, 0)
		if err := tr.meta().read(keyCounters, &c); err != nil {
			return err
		}
		c.HeldPublished = nil
		tr.meta().save(keyCounters, c)
		return tr.err
	}))
	want(4, 3)
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Hold: []Object{hold(3, false)}}))
	want(4, 2)
	damageValue(t, s, bktHeld, numKey(pfxHeld, 1))
	must(s.Drop(nil, nil, []string{stixOf(1)}))
	want(3, 1)
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Unhold: []string{stixOf(4)}}))
	want(2, 0)
}
