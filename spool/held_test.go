package spool

import "testing"

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
