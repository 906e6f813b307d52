package mapstage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"threatmatch-connector/spool"
)

func marking(n int) string { return sid("marking-definition", n) }

// arrived maps what was spooled, in a run that is still being fetched, and checks
// that nothing waits.
func (w *world) arrived() {
	w.t.Helper()
	w.clock = w.clock.Add(61 * time.Second) // closes the bundle
	w.work()
	st, err := w.sp.Stats()
	w.check(err)
	if st.Waiting != 0 || st.Records != 0 {
		w.t.Errorf("%d objects and %d records wait while the run is fetched, want none", st.Waiting, st.Records)
	}
}

// authorCycles are objects among which some identities and markings need each
// other, so that one cut frees them all.
var authorCycles = map[string][]string{
	"two": {
		sobj(ident(1), srefs("object_marking_refs", marking(1))),
		sobj(marking(1), sref("created_by_ref", ident(1))),
	},
	"three": {
		sobj(ident(1), srefs("object_marking_refs", marking(1))),
		sobj(marking(1), sref("created_by_ref", ident(2))),
		sobj(ident(2), sref("created_by_ref", ident(1))),
	},
	"authors": {
		sobj(ident(1), sref("created_by_ref", ident(2))),
		sobj(ident(2), sref("created_by_ref", ident(1))),
	},
	"markings": {
		sobj(ident(1), srefs("object_marking_refs", marking(1), marking(2))),
		sobj(marking(1), srefs("object_marking_refs", marking(2))),
		sobj(marking(2), srefs("object_marking_refs", marking(1))),
	},
	"marked marking": {
		sobj(ident(1), srefs("object_marking_refs", marking(1))),
		sobj(marking(1), sref("created_by_ref", ident(1)), srefs("object_marking_refs", marking(2))),
		sobj(marking(2)),
	},
}

// Each cycle, in every order: in one record, in records of one bundle, and in one
// commit each with a crash in between.
func TestCutsAuthorCyclesAtOnce(t *testing.T) {
	behind := []string{sobj(report(1), sref("created_by_ref", ident(1)), srefs("object_refs", note(1))), sobj(note(1), sref("created_by_ref", ident(1)))}
	for name, cycle := range authorCycles {
		t.Run(name, func(t *testing.T) {
			w := newTestWorld(t, Options{})
			for _, how := range []string{"record", "bundle", "commits", "crashes"} {
				for turn := range len(cycle) + 1 {
					all := slices.Concat(cycle, behind)
					all = slices.Concat(all[turn:], all[:turn])
					w.renew(t, Options{ResendAfter: time.Hour})
					run := w.startRun(spool.ReasonSchedule)
					if how == "record" {
						w.record(run, all...)
					} else {
						for _, o := range all {
							w.record(run, o)
							if how != "bundle" {
								w.clock = w.clock.Add(61 * time.Second)
								w.work()
							}
							if how == "crashes" {
								w.restart()
							}
						}
					}
					w.arrived()
					if n := w.sum("cycles"); n != 1 {
						t.Errorf("%s, turned by %d: %d cycles cut, want 1", how, turn, n)
					}
					w.endFetch(run)
					w.work()
					w.deliver(-1)
					w.audit(nil)
					w.wantWhole(all)
				}
			}
		})
	}
}

// An object that names itself as its author or marking is sent once, without that
// reference, and nothing waits for it; the rest of its cycle is cut like any other.
func TestAuthorOfItself(t *testing.T) {
	for _, c := range []struct {
		name   string
		objs   []string
		cycles int64
	}{
		{"author", []string{sobj(ident(1), sref("created_by_ref", ident(1)))}, 0},
		{"marking", []string{sobj(ident(1), srefs("object_marking_refs", marking(1))),
			sobj(marking(1), sref("created_by_ref", marking(1)), srefs("object_marking_refs", marking(1)))}, 0},
		{"both", []string{sobj(ident(1), sref("created_by_ref", ident(1)), srefs("object_marking_refs", marking(1))),
			sobj(marking(1), sref("created_by_ref", ident(1)))}, 1},
	} {
		for _, apart := range []bool{false, true} {
			w := newTestWorld(t, Options{ResendAfter: time.Hour})
			all := append(slices.Clone(c.objs), sobj(note(1), sref("created_by_ref", ident(1))))
			run := w.startRun(spool.ReasonSchedule)
			if apart {
				for _, o := range all {
					w.record(run, o)
					w.clock = w.clock.Add(61 * time.Second)
					w.work()
					w.restart()
				}
			} else {
				w.record(run, all...)
			}
			w.arrived()
			if n := w.sum("cycles"); n != c.cycles {
				t.Errorf("%s: %d cycles cut, want %d", c.name, n, c.cycles)
			}
			w.endFetch(run)
			w.work()
			w.deliver(-1)
			w.audit(nil)
			if got, want := w.last(note(1)), ident(1); got == nil || got.String("created_by_ref") != want {
				t.Errorf("%s: the note went out as %v, want it by %s", c.name, got, want)
			}
			if held, dead := w.held(), w.dead(); len(held)+len(dead) > 0 {
				t.Errorf("%s: %d held, %d dead, want none", c.name, len(held), len(dead))
			}
		}
	}
}

// wantWhole checks that the last copy of each object has all its original
// references.
func (w *world) wantWhole(objs []string) {
	w.t.Helper()
	for _, text := range objs {
		want := (&graph{}).mapped(w, text)
		got := w.last(want.ID())
		switch {
		case got == nil:
			w.t.Errorf("%s did not go out", want.ID())
		case fmt.Sprint(got.Refs()) != fmt.Sprint(want.Refs()):
			w.t.Errorf("%s went out last with %v, want %v", want.ID(), got.Refs(), want.Refs())
		}
	}
	if held, dead := w.held(), w.dead(); len(held)+len(dead) > 0 {
		w.t.Errorf("%d held, %d dead, want none", len(held), len(dead))
	}
}

// The marking gives way, not the marking of the author.
func TestCutsTheMarkingsAuthor(t *testing.T) {
	for name, first := range map[string]int{"author first": 0, "marking first": 1} {
		t.Run(name, func(t *testing.T) {
			w := newTestWorld(t, Options{})
			cycle := authorCycles["two"]
			run := w.wholeRun(spool.ReasonSchedule, []string{cycle[first]}, []string{cycle[1-first]})
			wantIDs(t, w.ids(run), marking(1), ident(1), marking(1))
			if a, m := w.sum("cut_authors"), w.sum("cut_markings"); a != 1 || m != 0 {
				t.Errorf("%d authors and %d markings cut, want 1 and 0", a, m)
			}
		})
	}
}

// What may still arrive is waited for; when it arrives, the cycle is detected.
func TestWaitsForWhatMayComeBesideACycle(t *testing.T) {
	for _, outside := range []string{marking(3), ident(3), note(3)} {
		w := newTestWorld(t, Options{ResendAfter: time.Hour})
		all := []string{
			sobj(ident(1), srefs("object_marking_refs", marking(1), marking(2)), srefs("object_refs", outside)),
			sobj(marking(1), sref("created_by_ref", ident(1))),
			sobj(marking(2), sref("created_by_ref", ident(1))),
			sobj(note(1), sref("created_by_ref", ident(1))),
		}
		run := w.startRun(spool.ReasonSchedule)
		for _, o := range all {
			w.record(run, o)
			w.clock = w.clock.Add(61 * time.Second)
			w.work()
		}
		if n := w.sum("cycles"); n != 0 {
			t.Errorf("%d cycles cut while %s may come, want 0", n, outside)
		}
		all = append(all, sobj(outside))
		w.record(run, all[4])
		w.arrived()
		w.endFetch(run)
		w.work()
		w.deliver(-1)
		w.audit(nil)
		w.wantWhole(all)
	}
}

// TestPropertyAuthors: once all identities and markings of a random graph have
// arrived, in any order and in any commits, none of them waits, nor does anything
// that needs only them.
func TestPropertyAuthors(t *testing.T) {
	w := newTestWorld(t, Options{})
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{1, 1000}).Draw(t, "bundle")
		w.renew(t, Options{MaxObjects: size, ResendAfter: time.Hour})
		var ids []string
		for i := range rapid.IntRange(1, 8).Draw(t, "objects") {
			ids = append(ids, sid(rapid.SampledFrom([]string{"identity", "marking-definition"}).Draw(t, "type"), i))
		}
		var objs []string
		for _, id := range ids {
			others := slices.DeleteFunc(slices.Clone(ids), func(o string) bool { return o == id })
			objs = append(objs, drawAuthor(t, id, others), sobj(note(len(objs)), sref("x_parent_ref", id)))
		}
		objs = rapid.Permutation(objs).Draw(t, "order")
		all := objs
		run := w.startRun(spool.ReasonSchedule)
		for len(objs) > 0 {
			n := rapid.IntRange(1, len(objs)).Draw(t, "record")
			w.record(run, objs[:n]...)
			if objs = objs[n:]; rapid.Bool().Draw(t, "commit") {
				w.clock = w.clock.Add(61 * time.Second)
				w.work()
			}
			if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
				w.restart()
			}
		}
		if size > 1 { // a full bundle leaves some for the next commit
			w.arrived()
		}
		w.endFetch(run)
		w.work()
		w.deliver(-1)
		w.audit(nil)
		if size > 1 {
			w.wantWhole(all)
		}
	})
}

func drawAuthor(t *rapid.T, id string, others []string) string {
	var more []string
	if len(others) == 0 {
		return sobj(id)
	}
	if rapid.Bool().Draw(t, "author") {
		more = append(more, sref("created_by_ref", rapid.SampledFrom(others).Draw(t, "by")))
	}
	markings := slices.DeleteFunc(slices.Clone(others), func(o string) bool { return !isMarking(o) })
	if len(markings) > 0 && rapid.Bool().Draw(t, "marked") {
		l := rapid.SliceOfNDistinct(rapid.SampledFrom(markings), 1, 3, rapid.ID)
		if len(markings) < 3 {
			l = rapid.Just(markings)
		}
		more = append(more, srefs("object_marking_refs", l.Draw(t, "markings")...))
	}
	return sobj(id, more...)
}

// countingSpool counts commits.
type countingSpool struct {
	*spool.Spool
	commits int
}

func (s *countingSpool) CommitMap(epoch uint64, now time.Time, c spool.MapCommit) error {
	s.commits++
	return s.Spool.CommitMap(epoch, now, c)
}

// A cycle that everything depends on leaves nothing waiting, and costs at most one
// commit: the one in which the marking is sent whole, if no bundle has room for it.
func TestAuthorCycleCostsOneCommit(t *testing.T) {
	n := scaled(5000)
	count := func(back ...string) (int, time.Duration) {
		w := newTestWorld(t, Options{MaxObjects: 500})
		counting := &countingSpool{Spool: w.sp}
		w.over = func(*spool.Spool) Spool { return counting }
		w.restart()
		run := w.startRun(spool.ReasonSchedule)
		w.record(run, sobj(ident(0), srefs("object_marking_refs", marking(0))), sobj(marking(0), back...))
		w.spoolMany(run, n, func(i int) string {
			return sobj(note(i), sref("created_by_ref", ident(0)), srefs("object_marking_refs", marking(0)))
		})
		w.endFetch(run)
		start := time.Now()
		w.drive()
		if waited := w.sum("waited"); waited != 0 {
			t.Errorf("%d objects waited, want 0", waited)
		}
		return counting.commits, time.Since(start)
	}
	without, quick := count()
	with, took := count(sref("created_by_ref", ident(0)))
	t.Logf("%d objects: %d commits in %v, with a cycle %d in %v", n, without, quick, with, took)
	if with > without+1 {
		t.Errorf("%d commits with a cycle, want at most one more than the %d without", with, without)
	}
}
