package mapstage

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// What a later run handed over is sent after this run's bundles, so it settles
// nothing here.
func TestLaterRunsSettleNothingBefore(t *testing.T) {
	w := newTestWorld(t, Options{})
	res := &fakeResolver{err: fmt.Errorf("down")}
	w.resolver = res
	w.restart()
	first := w.startRun(spool.ReasonSchedule)
	w.record(first, sobj(report(1), srefs("object_refs", ident(9))), srel(1, ident(9), ident(9)))
	w.endFetch(first)
	second := w.startRun(spool.ReasonSchedule)
	w.record(second, sobj(ident(9)))
	w.endFetch(second)
	w.work()
	res.err = nil
	w.clock = w.clock.Add(time.Hour)
	w.work()
	w.deliver(-1)
	w.audit(nil)
	wantIDs(t, w.ids(first))
	wantIDs(t, w.ids(second), ident(9), report(1), rel(1))
}

// A newer copy that waited while a later run handed over an older one is sent with
// the later run, so that it comes last.
func TestNewerCopyOfAnEarlierRunComesLast(t *testing.T) {
	for _, name := range []string{"whole", "without a reference"} {
		w := newTestWorld(t, Options{})
		res := &fakeResolver{err: fmt.Errorf("down"), known: map[string]string{ident(8): "identity-sector"}}
		w.resolver = res
		w.restart()
		missing := map[string]string{"whole": ident(8), "without a reference": ident(9)}[name]
		first := w.startRun(spool.ReasonSchedule)
		w.record(first, sobj(note(1), smod(2), srefs("object_refs", missing)), sobj(note(2), srefs("object_refs", note(1))))
		w.endFetch(first)
		second := w.startRun(spool.ReasonSchedule)
		w.record(second, sobj(note(1), smod(1)))
		w.endFetch(second)
		w.work()
		res.err = nil
		w.clock = w.clock.Add(time.Hour)
		w.work()
		w.deliver(-1)
		w.audit(res.known)
		wantIDs(t, w.ids(first))
		if got := w.last(note(1)).Modified().Minute(); got != 2 {
			t.Errorf("%s: the older copy came last", name)
		}
		if !slices.Contains(w.ids(second), note(2)) {
			t.Errorf("%s: what hangs on it did not come", name)
		}
	}
}

// A held copy and an arriving one are merged, whichever is older.
func TestHeldCopyIsMerged(t *testing.T) {
	w := newTestWorld(t, Options{})
	w.wholeRun(spool.ReasonSchedule, []string{srel(1, ident(9), ident(8), smod(2))})
	w.wholeRun(spool.ReasonSchedule, []string{srel(1, ident(7), ident(8), smod(1))})
	if got := string(w.held()[rel(1)].JSON); !strings.Contains(got, ident(9)) || strings.Contains(got, ident(7)) {
		t.Errorf("an older copy won over the held one: %s", got)
	}
	w.wholeRun(spool.ReasonSchedule, []string{srel(1, ident(7), ident(8), smod(3))})
	if n := w.sum("superseded"); n != 2 {
		t.Errorf("%d superseded, want 2", n)
	}
	last := w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(7)), sobj(ident(8))})
	wantIDs(t, w.ids(last), ident(7), ident(8), rel(1))
	w.audit(nil)
}

func TestRecordLargerThanABundle(t *testing.T) {
	w := newTestWorld(t, Options{MaxObjects: 10})
	var objs []string
	for i := range 35 {
		objs = append(objs, sobj(note(i), srefs("object_refs", note(i+1))))
	}
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, append(objs, sobj(note(35)))...)
	w.endFetch(run)
	w.once() // reads it: one commit
	if st, err := w.sp.Stats(); err != nil || st.Bundles != 4 || st.Records != 0 {
		t.Errorf("%d bundles, %d records, %v", st.Bundles, st.Records, err)
	}
	w.work()
	w.deliver(-1)
	w.audit(nil)
}

func TestRepeatedReferencesCountOnce(t *testing.T) {
	w := newTestWorld(t, Options{ResendAfter: time.Hour})
	text := sobj(report(1), srefs("object_refs", ident(1), ident(1)))
	w.wholeRun(spool.ReasonSchedule, []string{text, sobj(ident(1))})
	wantIDs(t, w.ids(w.wholeRun(spool.ReasonSchedule, []string{text})))
	w.audit(nil)
}

// A reference that only the platform can settle is looked up before its object is
// sent without it, also in a cycle.
func TestAsksBeforeItCutsACycle(t *testing.T) {
	w := newTestWorld(t, Options{})
	res := &fakeResolver{known: map[string]string{ident(9): "identity-sector"}}
	w.resolver = res
	w.restart()
	run := w.wholeRun(spool.ReasonSchedule, []string{
		sobj(note(1), srefs("object_refs", note(2), ident(9))), sobj(note(2), srefs("object_refs", note(1))),
	})
	w.audit(res.known)
	for _, s := range w.sent {
		if s.run == run && s.stix == note(1) && !slices.Contains(s.obj.Strings("object_refs"), ident(9)) {
			t.Errorf("%s went out without what the platform has", s.obj.AppendJSON(nil))
		}
	}
}

// An object waits for whatever it may still get although it lacks one reference.
func TestCutsNoMoreThanIsLost(t *testing.T) {
	w := newTestWorld(t, Options{MaxObjects: 1})
	run := w.wholeRun(spool.ReasonSchedule, []string{
		sobj(note(4), srefs("object_refs", ident(98), note(3))), sobj(note(3), srefs("object_refs", ident(99))),
	})
	w.audit(nil)
	wantIDs(t, w.ids(run), note(3), note(4))
	if got := w.last(note(4)).Strings("object_refs"); !slices.Equal(got, []string{note(3)}) {
		t.Errorf("note has %v", got)
	}
}

// A sighting needs one witness, not the one that it is held for; and whole copies
// that lack it notice when it is sent.
func TestHeldForOneOfSeveral(t *testing.T) {
	w := newTestWorld(t, Options{})
	sighting := sid("sighting", 1)
	w.wholeRun(spool.ReasonSchedule, []string{
		sobj(ident(1), smod(1)),
		sobj(sighting, sref("sighting_of_ref", ident(1)), srefs("where_sighted_refs", ident(7), ident(99))),
	})
	if o := w.held()[sighting]; o.Watch != ident(99) {
		t.Fatalf("held for %q", o.Watch)
	}
	w.wholeRun(spool.ReasonSchedule, []string{
		sobj(ident(7)), sobj(ident(1), smod(2), srefs("x_refs", ident(99), sighting)),
	})
	w.audit(nil)
	if got := w.last(sighting); got == nil || len(got.Strings("where_sighted_refs")) != 1 {
		t.Error("the sighting did not go out")
	}
	if got := w.last(ident(1)).Strings("x_refs"); !slices.Equal(got, []string{sighting}) {
		t.Errorf("identity has %v", got)
	}
}

// Of two different copies that are equally new and rich, one wins whatever the
// order and the bundles are.
func TestTies(t *testing.T) {
	winners := map[string]bool{}
	for _, size := range []int{1, 100} {
		for _, names := range [][]string{{"a", "b"}, {"b", "a"}} {
			w := newTestWorld(t, Options{MaxObjects: size})
			w.wholeRun(spool.ReasonSchedule,
				[]string{sobj(ident(1), `"name":"`+names[0]+`"`)}, []string{sobj(ident(1), `"name":"`+names[1]+`"`)})
			winners[w.last(ident(1)).String("name")] = true
			w.audit(nil)
		}
	}
	if len(winners) != 1 {
		t.Errorf("winners: %v", winners)
	}
}

// A held copy left by an earlier run does not replace a newer one that waits.
func TestWaitingCopyGoesBeforeAHeldOne(t *testing.T) {
	w := newTestWorld(t, Options{})
	res := &fakeResolver{err: fmt.Errorf("down")}
	w.resolver = res
	w.restart()
	first := w.startRun(spool.ReasonSchedule)
	w.record(first, srel(1, ident(9), ident(7), smod(1)))
	w.endFetch(first)
	second := w.startRun(spool.ReasonSchedule)
	w.record(second, srel(1, ident(8), ident(8), smod(2)))
	later := func() {
		w.clock = w.clock.Add(time.Hour)
		w.work()
	}
	later()
	res.err = nil
	later()
	if w.held()[rel(1)].Watch != ident(9) {
		t.Fatal("the first run's copy is not held")
	}
	w.record(second, sobj(ident(9)))
	later()
	w.record(second, sobj(ident(8)))
	w.endFetch(second)
	later()
	w.deliver(-1)
	w.audit(nil)
	if got := w.last(rel(1)); got == nil || got.String("source_ref") != ident(8) || len(w.held()) > 0 {
		t.Errorf("held %v", w.held())
	}
}

// A copy that arrives between a poorer one that waits and a better one that is held
// counts once.
func TestCopyBetweenWaitingAndHeldCountsOnce(t *testing.T) {
	w := newTestWorld(t, Options{})
	res := &fakeResolver{err: fmt.Errorf("down")}
	w.resolver = res
	w.restart()
	first := w.startRun(spool.ReasonSchedule)
	w.record(first, srel(1, ident(9), ident(7), smod(3)))
	w.endFetch(first)
	second := w.startRun(spool.ReasonSchedule)
	w.record(second, srel(1, ident(8), ident(8), smod(1)))
	later := func() {
		w.clock = w.clock.Add(time.Hour)
		w.work()
	}
	later()
	res.err = nil
	later()
	if w.held()[rel(1)].Watch != ident(9) {
		t.Fatal("the first run's copy is not held")
	}
	w.record(second, srel(1, ident(8), ident(8), smod(2)))
	later()
	w.audit(nil)
	w.record(second, sobj(ident(7)), sobj(ident(9)))
	w.endFetch(second)
	later()
	w.deliver(-1)
	w.audit(nil)
	if got := w.last(rel(1)); got == nil || got.String("source_ref") != ident(9) || len(w.held()) > 0 {
		t.Errorf("went out: %v, held %v", got, w.held())
	}
}

// TestUnreadRecordsOfAnOlderRunGoFirst: while the open bundle belongs to a later
// run, an older run brings what its waiting objects lack. Nothing is cut.
func TestUnreadRecordsOfAnOlderRunGoFirst(t *testing.T) {
	w := newTestWorld(t, Options{})
	first := w.startRun(spool.ReasonSchedule)
	w.record(first, sobj(note(1), srefs("object_refs", ident(1))))
	w.work()
	w.clock = w.clock.Add(time.Minute)
	w.work() // the note waits
	second := w.startRun(spool.ReasonSchedule)
	w.record(second, sobj(ident(2)))
	w.work() // the open bundle is the later run's
	w.record(first, sobj(ident(1)))
	w.endFetch(first)
	w.work()
	w.deliver(-1)
	wantIDs(t, w.ids(first), ident(1), note(1))
	if n := w.sum("cut_references"); n != 0 || len(w.held()) != 0 {
		t.Errorf("got %d references cut, %d held; want none", n, len(w.held()))
	}
	w.endFetch(second)
	w.work()
	w.deliver(-1)
	wantIDs(t, w.ids(second), ident(2))
	w.audit(nil)
}

// TestRetryEndsBeforeAnOlderRun: a retry ends while an older run still waits for
// fetch or the platform; other runs end in order. Objects that refer to the other
// run's arrive whole, at the latest with the next run.
func TestRetryEndsBeforeAnOlderRun(t *testing.T) {
	for _, reason := range []spool.Reason{spool.ReasonRetry, spool.ReasonSchedule} {
		w := newTestWorld(t, Options{})
		first := w.startRun(spool.ReasonSchedule)
		w.record(first, sobj(ident(1)), srel(1, ident(1), ident(9)), srel(3, ident(1), ident(2)), sobj(note(1), srefs("object_refs", ident(2), ident(9))))
		retried := w.startRun(reason)
		w.record(retried, sobj(ident(2)), srel(2, ident(2), note(1)), sobj(note(2), srefs("object_refs", ident(2), note(1))))
		w.endFetch(retried)
		for range 3 {
			w.clock = w.clock.Add(time.Minute)
			w.work()
		}
		w.deliver(-1)
		if got, want := !w.run(retried).MappedAt.IsZero(), reason == spool.ReasonRetry; got != want {
			t.Errorf("%s: mapped %v before run %d, want %v", reason, got, first, want)
		}
		w.record(first, sobj(ident(9)))
		w.endFetch(first)
		w.work()
		w.deliver(-1)
		wantIDs(t, w.ids(first)[:3], ident(1), ident(9), rel(1))
		w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(3))}) // brings what was held for the other run
		for _, id := range []string{ident(1), ident(2), ident(9), rel(1), rel(2), rel(3)} {
			if w.last(id) == nil {
				t.Errorf("%s: %s did not go out", reason, id)
			}
		}
		for id, want := range map[string]int{note(1): 2, note(2): 2} {
			if got := len(w.last(id).Strings("object_refs")); got != want {
				t.Errorf("%s: %s went out last with %d references, want %d", reason, id, got, want)
			}
		}
		if w.run(first).MappedAt.IsZero() || w.run(retried).MappedAt.IsZero() || len(w.held()) > 0 {
			t.Errorf("%s: a run did not come to its end, or objects are held: %v", reason, w.held())
		}
		w.audit(nil)
	}
}
