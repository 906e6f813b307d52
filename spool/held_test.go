package spool

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// HeldPlace counts objects, not the fragments of a large one.
func TestHeldPlace(t *testing.T) {
	s := newSpool(t)
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Start: t0})).ID
	var hold []Object
	for n := 1; n <= 3; n++ {
		hold = append(hold, Object{STIX: stixOf(n), Watch: stixOf(100), Dataset: Alerts, Source: "s", JSON: noise(3 << 20)})
	}
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run, Hold: hold}))
	held := must(s.Objects(Held, 0, 10))
	held = append(held, must(s.Objects(Held, held[len(held)-1].Seq, 10))...)
	if len(held) != 3 {
		t.Fatalf("%d objects are held, want 3", len(held))
	}
	for n, want := range []uint64{0, held[0].Seq, held[1].Seq, held[2].Seq, held[2].Seq} {
		if seq := must(s.HeldPlace(int64(n))); seq != want {
			t.Errorf("place %d is %d, want %d", n, seq, want)
		}
	}
}

// A damaged row under which an object would be found by what it waits for hides no other, and is written again at the
// next start.
func TestDamagedWatchRow(t *testing.T) {
	damage := faults()
	damage["another kind of id"] = func(b *bolt.Bucket, k []byte) error {
		other := bytes.Clone(k)
		other[len(k)-26] = 0
		return errors.Join(b.Delete(k), b.Put(other, []byte{}))
	}
	for name, fault := range damage {
		for _, run := range []uint64{1, Held} {
			s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c1", noReserve: true}))
			t.Cleanup(func() { ok(t, s.Close()) })
			must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Start: t0}))
			var objects []Object
			var want []string
			for n := 1; n <= 3; n++ {
				objects = append(objects, Object{STIX: stixOf(n), Watch: stixOf(100 + n), JSON: bodyOf(n)})
				want = append(want, stixOf(100+n))
			}
			ok(t, s.CommitMap(1, t0, MapCommit{Run: 1, Wait: objects, Hold: objects}))
			ok(t, s.db.Update(func(tx *bolt.Tx) error {
				b := tx.Bucket([]byte(map[uint64]string{1: bktWaitingByID, Held: bktHeld}[run]))
				k, _ := b.Cursor().Seek([]byte{pfxWatch})
				return fault(b, append([]byte(nil), k...))
			}))
			got := must(s.WatchedIDs(run, "", 10))
			if !slices.Contains(got, want[1]) || !slices.Contains(got, want[2]) {
				t.Errorf("%s, run %d: %v are waited for, want %v at least", name, run, got, want[1:])
			}
			if slices.Contains(got, want[0]) || len(got) > 2 {
				continue // it could be another's row
			}
			ok(t, s.MarkResumed())
			for n, id := range want {
				if got := must(s.Watchers(run, id, 0, 10)); len(got) != 1 || got[0].STIX != stixOf(n+1) {
					t.Errorf("%s, run %d: after the start %+v wait for %s", name, run, got, id)
				}
			}
		}
	}
}
