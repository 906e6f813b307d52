package mapstage

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"threatmatch-connector/spool"
)

// What is salvaged from a set-aside file meets what was delivered since: an older
// copy, whether it was in a bundle, waited or was held, replaces nothing, and what
// was not delivered is sent.
func TestSalvagedOlderObjectsReplaceNothing(t *testing.T) {
	old := newTestWorld(t, Options{MaxObjects: 1})
	older := func(id string, more ...string) string { return sobj(id, append(more, smod(1), `"name":"older"`)...) }
	run := old.startRun(spool.ReasonSchedule)
	old.record(run, older(ident(1)), older(ident(5)))
	old.record(run, older(report(3), srefs("object_refs", ident(9))))
	old.endFetch(run)
	old.work()
	if len(old.held()) == 0 {
		t.Fatal("nothing is held")
	}
	open := old.startRun(spool.ReasonSchedule)
	old.record(open, older(report(2), srefs("object_refs", ident(8))))
	old.work()
	old.record(open, older(ident(4)))
	b, err := os.ReadFile(filepath.Join(old.dir, "spool.db"))
	old.check(err)
	aside := filepath.Join(t.TempDir(), "spool.db.damaged-20260102T030405Z")
	old.check(os.WriteFile(aside, b, 0o600))

	w := newTestWorld(t, Options{})
	newer := func(id string, more ...string) string { return sobj(id, append(more, smod(2), `"name":"newer"`)...) }
	w.wholeRun(spool.ReasonSchedule, []string{
		newer(ident(1)), newer(ident(4)), newer(ident(8)), newer(ident(9)),
		newer(report(2), srefs("object_refs", ident(8))), newer(report(3), srefs("object_refs", ident(9))),
	})
	got, err := w.sp.Salvage(context.Background(), aside, w.now(), spool.SalvageOptions{})
	w.check(err)
	for _, kind := range []string{"records", "objects", "waiting", "held"} {
		if got.Rows[kind] == 0 {
			t.Errorf("nothing came back of %s: %v", kind, got.Rows)
		}
	}
	w.lists[got.Run] = listTask(0)
	w.check(w.sp.FinishFetch(w.epoch(), got.Run, w.now()))
	w.work()
	w.deliver(-1)
	wantIDs(t, w.ids(got.Run), ident(5))
	for _, id := range []string{ident(1), ident(4), report(2), report(3)} {
		if name := w.last(id).String("name"); name != "newer" {
			t.Errorf("%s was last sent as %q, want the newer one", id, name)
		}
	}
}

// The same is true for a dead letter of deliver that is retried.
func TestRetriedOlderObjectReplacesNothing(t *testing.T) {
	w := newTestWorld(t, Options{})
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(ident(1), smod(1), `"name":"older"`))
	w.endFetch(run)
	w.work()
	b, err := w.sp.NextBundle()
	w.check(err)
	for i := range b.Objects {
		w.check(w.sp.SkipMessage(w.epoch(), b.Run, b.Seq, i, spool.DeadLetter{Class: "too_large"}))
	}
	w.check(w.sp.EndBundle(w.epoch(), b.Run, b.Seq, spool.Work{}, nil))
	w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(1), smod(2), `"name":"newer"`)})
	for _, d := range w.dead() {
		if d.STIX != ident(1) {
			continue
		}
		r, err := w.sp.Retry(w.epoch(), w.now(), []uint64{d.Key}, nil)
		w.check(err)
		w.check(w.sp.FinishFetch(w.epoch(), r.ID, w.now()))
		w.work()
		w.deliver(-1)
		wantIDs(t, w.ids(r.ID))
	}
	if name := w.last(ident(1)).String("name"); name != "newer" {
		t.Errorf("it was last sent as %q, want the newer one", name)
	}
}
