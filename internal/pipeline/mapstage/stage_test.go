package mapstage

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// sid is the id of test object n of a type.
func sid(typ string, n int) string { return fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", typ, n) }

// sobj is a test object; more are further members as JSON, including "modified".
func sobj(id string, more ...string) string {
	typ, _, _ := strings.Cut(id, "--")
	members := append([]string{fmt.Sprintf(`"type":%q,"spec_version":"2.1","id":%q`, typ, id)}, more...)
	return "{" + strings.Join(members, ",") + "}"
}

func smod(minute int) string {
	return fmt.Sprintf(`"modified":"2026-01-01T%02d:%02d:00.000Z"`, minute/60, minute%60)
}

func sref(key, id string) string { return fmt.Sprintf("%q:%q", key, id) }

func srefs(key string, ids ...string) string {
	return fmt.Sprintf("%q:[\"%s\"]", key, strings.Join(ids, `","`))
}

func srel(n int, source, target string, more ...string) string {
	return sobj(sid("relationship", n), append([]string{`"relationship_type":"related-to"`,
		sref("source_ref", source), sref("target_ref", target)}, more...)...)
}

var (
	ident  = func(n int) string { return sid("identity", n) }
	report = func(n int) string { return sid("report", n) }
	note   = func(n int) string { return sid("note", n) }
	rel    = func(n int) string { return sid("relationship", n) }
)

func newTestWorld(t *testing.T, opt Options) *world {
	w := newWorld(t, fastDir(t), opt)
	t.Cleanup(func() { _ = w.sp.Close() })
	return w
}

func wantIDs(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("sent\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestSmallRunIsOneBundle(t *testing.T) {
	w := newTestWorld(t, Options{ResendAfter: 24 * time.Hour})
	run := w.wholeRun(spool.ReasonSchedule,
		[]string{sobj(report(1), srefs("object_refs", ident(1), rel(1)))},
		[]string{srel(1, ident(1), ident(2)), sobj(ident(1))},
		[]string{sobj(ident(2))},
	)
	wantIDs(t, w.ids(run), ident(1), ident(2), rel(1), report(1))
	if w.sent[len(w.sent)-1].bundle != w.sent[0].bundle {
		t.Error("more than one bundle")
	}
	if r := w.run(run); r.MappedAt.IsZero() {
		t.Error("the run is not mapped")
	}
	again := w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(1))}, []string{sobj(ident(2))})
	wantIDs(t, w.ids(again))
	if n := len(w.sent); w.sent[n-1].run == again {
		t.Error("a run without changes sent something")
	}
	changed := w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(1), `"name":"x"`), sobj(ident(2))})
	wantIDs(t, w.ids(changed), ident(1))
	w.audit(nil)
}

func TestResendAfter(t *testing.T) {
	w := newTestWorld(t, Options{ResendAfter: time.Hour})
	w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(1))})
	w.clock = w.clock.Add(50 * time.Minute)
	wantIDs(t, w.ids(w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(1))})))
	wantIDs(t, w.ids(w.wholeRun(spool.ReasonRepull, []string{sobj(ident(1))}, []string{sobj(ident(1))})), ident(1))
	w.clock = w.clock.Add(61 * time.Minute)
	wantIDs(t, w.ids(w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(1))})), ident(1))
	w.audit(nil)
}

func TestMergesCopies(t *testing.T) {
	poor, rich, newer := sobj(ident(1), smod(1)), sobj(ident(1), smod(1), `"name":"x"`), sobj(ident(1), smod(2))
	for name, records := range map[string][]string{
		"stub last": {rich, poor}, "stub first": {poor, rich}, "older last": {newer, rich}, "older first": {rich, newer},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 100} {
				w := newTestWorld(t, Options{MaxObjects: size})
				w.wholeRun(spool.ReasonSchedule, records[:1], records[1:])
				want, _ := stix.Decode([]byte(records[1]))
				if slices.Contains(records, newer) {
					want, _ = stix.Decode([]byte(newer))
				}
				got, name := w.last(ident(1)), ""
				for _, s := range w.sent {
					if s.stix == ident(1) && s.obj.Has("name") {
						name = s.obj.String("name")
					}
				}
				if name != "x" || !got.Modified().Equal(want.Modified()) {
					t.Errorf("bundles of %d: got name %q and %s, want name x and the newest time", size, name, got.AppendJSON(nil))
				}
				w.audit(nil)
			}
		})
	}
}

func TestUnknownReferences(t *testing.T) {
	w := newTestWorld(t, Options{ResendAfter: time.Hour})
	marking := sid("marking-definition", 7)
	w.wholeRun(spool.ReasonSchedule, []string{
		sobj(report(1), srefs("object_refs", ident(1), ident(9))),
		sobj(ident(1), sref("created_by_ref", ident(8))),
		srel(1, ident(1), ident(9)),
		sobj(note(1), srefs("object_marking_refs", marking), srefs("object_refs", rel(1))),
		sobj(sid("sighting", 1), sref("sighting_of_ref", ident(1)), srefs("where_sighted_refs", ident(7))),
		sobj(sid("sighting", 2), sref("sighting_of_ref", ident(1)), srefs("where_sighted_refs", ident(7), ident(1))),
	})
	w.audit(nil)
	if got := w.last(ident(1)).String("created_by_ref"); got != w.mapper.Author().ID() {
		t.Errorf("author is %s", got)
	}
	if got := w.last(report(1)).Strings("object_refs"); !slices.Equal(got, []string{ident(1)}) {
		t.Errorf("report has %v", got)
	}
	n := w.last(note(1))
	if got := n.Strings("object_marking_refs"); !slices.Equal(got, []string{stix.MarkingID("TLP", "TLP:RED")}) || n.Has("object_refs") {
		t.Errorf("note is %s", n.AppendJSON(nil))
	}
	if got := w.last(sid("sighting", 2)).Strings("where_sighted_refs"); !slices.Equal(got, []string{ident(1)}) {
		t.Errorf("sighting has %v", got)
	}
	held := w.held()
	for id, kept := range map[string]bool{
		rel(1): false, sid("sighting", 1): false, report(1): true, ident(1): true, note(1): true, sid("sighting", 2): true,
	} {
		if o, ok := held[id]; !ok || o.Kept != kept {
			t.Errorf("%s held %v, kept %v", id, ok, o.Kept)
		}
	}
	if w.last(rel(1)) != nil || len(held) != 6 {
		t.Errorf("%d held", len(held))
	}
	// What was missing arrives in a later run: everything is sent whole.
	second := w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(9)), sobj(ident(8))}, []string{sobj(ident(7)), sobj(marking)})
	w.audit(nil)
	got := w.ids(second)
	for _, id := range []string{rel(1), sid("sighting", 1), sid("sighting", 2), report(1), ident(1), note(1)} {
		if !slices.Contains(got, id) {
			t.Errorf("%s did not come", id)
		}
	}
	if got := w.last(report(1)).Strings("object_refs"); len(got) != 2 {
		t.Errorf("report has %v", got)
	}
	if n := w.held(); len(n) != 0 {
		t.Errorf("still held: %v", n)
	}
}

func TestAsksThePlatform(t *testing.T) {
	w := newTestWorld(t, Options{})
	res := &fakeResolver{known: map[string]string{ident(9): "identity-sector"}, err: fmt.Errorf("down")}
	w.resolver = res
	w.restart()
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, srel(1, ident(1), ident(9)), sobj(ident(1)), sobj(report(1), srefs("object_refs", ident(9), ident(8))))
	w.endFetch(run)
	next := w.startRun(spool.ReasonSchedule)
	w.record(next, sobj(ident(2)))
	w.endFetch(next)
	w.work()
	if r := w.run(run); !r.MappedAt.IsZero() {
		t.Fatal("mapped although the platform did not answer")
	}
	w.deliver(-1)
	wantIDs(t, w.ids(run), ident(1))
	wantIDs(t, w.ids(next), ident(2))
	if len(w.held()) != 0 {
		t.Error("held before the platform answered")
	}
	res.err = nil
	w.clock = w.clock.Add(time.Hour)
	w.work()
	w.deliver(-1)
	w.audit(res.known)
	wantIDs(t, w.ids(run), ident(1), rel(1), report(1))
	if got := w.last(report(1)).Strings("object_refs"); !slices.Equal(got, []string{ident(9)}) {
		t.Errorf("report has %v", got)
	}
	if !slices.Equal(res.asked, []string{ident(9), ident(8)}) {
		t.Errorf("asked for %v", res.asked)
	}
	if r := w.run(next); r.MappedAt.IsZero() {
		t.Error("the next run is not mapped")
	}
}

func TestCutsCycles(t *testing.T) {
	for _, n := range []int{1, 2, 3, 17} {
		for _, size := range []int{1, 4, 100} {
			w := newTestWorld(t, Options{MaxObjects: size})
			var objs []string
			for i := range n {
				objs = append(objs, sobj(note(i), srefs("object_refs", note((i+1)%n))))
			}
			objs = append(objs, sobj(report(1), srefs("object_refs", note(0))))
			w.wholeRun(spool.ReasonSchedule, objs)
			w.audit(nil)
			for i := range n {
				if got := w.last(note(i)); n > 1 && (got == nil || !got.Has("object_refs")) {
					t.Errorf("cycle of %d in bundles of %d: note %d is not whole", n, size, i)
				}
			}
			if len(w.held()) > 0 || w.last(report(1)) == nil {
				t.Errorf("cycle of %d: not everything came out", n)
			}
			if got := w.sum("published_again"); n > 1 && got != 1 {
				t.Errorf("cycle of %d: %d objects published again", n, got)
			}
		}
	}
}

func TestBuriesRelationshipCycles(t *testing.T) {
	w := newTestWorld(t, Options{MaxObjects: 2})
	w.wholeRun(spool.ReasonSchedule, []string{
		srel(1, rel(2), ident(1)), srel(2, rel(3), ident(1)), srel(3, rel(1), ident(1)), sobj(ident(1)),
		srel(4, rel(4), ident(1)), sobj(report(1), srefs("object_refs", rel(1), rel(4), ident(1))),
	})
	w.audit(nil)
	var ids []string
	for _, d := range w.dead() {
		if d.Class != deadCycle {
			t.Errorf("%s is dead of class %s", d.STIX, d.Class)
		}
		ids = append(ids, d.STIX)
	}
	slices.Sort(ids)
	wantIDs(t, ids, rel(1), rel(2), rel(3), rel(4))
	if got := w.last(report(1)).Strings("object_refs"); !slices.Equal(got, []string{ident(1)}) {
		t.Errorf("report has %v", got)
	}
}

func TestDeadLetters(t *testing.T) {
	w := newTestWorld(t, Options{})
	w.check(w.sp.SaveMessageLimit(spool.MessageLimit{Bytes: 4000, Until: w.clock.Add(time.Hour)})) // as deliver does
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(ident(1)), `{"no":"type"}`, sobj(ident(2), `"name":"`+strings.Repeat("x", 4000)+`"`))
	w.body(run, "<html>")
	w.plain.panicOn = w.record(run, sobj(ident(3)))
	w.record(run, sobj(report(1), srefs("object_refs", ident(1), ident(2), ident(3))))
	w.endFetch(run)
	w.work()
	w.deliver(-1)
	w.audit(nil)
	wantIDs(t, w.ids(run), ident(1), report(1))
	classes := map[string]int{}
	for _, d := range w.dead() {
		classes[d.Class]++
		if len(d.Payload) == 0 || d.Stage != spool.StageMap || d.Error == "" {
			t.Errorf("incomplete dead letter: %+v", d)
		}
	}
	if fmt.Sprint(classes) != "map[body:1 element:1 panic:1 too_large:1]" {
		t.Errorf("dead letters: %v", classes)
	}
}

func TestHoldExpires(t *testing.T) {
	w := newTestWorld(t, Options{HoldUnresolved: 24 * time.Hour})
	w.wholeRun(spool.ReasonSchedule, []string{
		sobj(ident(1)), srel(1, ident(1), ident(9)), sobj(report(1), srefs("object_refs", ident(1), ident(9))),
	})
	w.clock = w.clock.Add(23 * time.Hour)
	w.wholeRun(spool.ReasonSchedule, []string{srel(1, ident(1), ident(9))})
	if len(w.held()) != 2 || len(w.dead()) != 0 {
		t.Fatalf("%d held, %d dead", len(w.held()), len(w.dead()))
	}
	w.clock = w.clock.Add(2 * time.Hour)
	for range expireRuns {
		w.wholeRun(spool.ReasonSchedule)
		if len(w.held()) != 2 {
			t.Fatalf("%d held, want both until %d runs have begun since", len(w.held()), expireRuns)
		}
	}
	w.wholeRun(spool.ReasonSchedule)
	w.audit(nil)
	dead := w.dead()
	if len(w.held()) != 0 || len(dead) != 1 || dead[0].Class != deadUnresolved || dead[0].STIX != rel(1) {
		t.Errorf("held %v, dead %v", w.held(), dead)
	}
	if n := w.sum("expired_kept"); n != 1 {
		t.Errorf("%d kept copies expired", n)
	}
}

// TestHoldOutlivesAClockThatJumps: a clock that jumps ahead by months and back
// removes no held object.
func TestHoldOutlivesAClockThatJumps(t *testing.T) {
	w := newTestWorld(t, Options{})
	for range expireRuns {
		w.wholeRun(spool.ReasonSchedule)
	}
	w.wholeRun(spool.ReasonSchedule, []string{
		sobj(ident(1)), srel(1, ident(1), ident(9)), sobj(report(1), srefs("object_refs", ident(1), ident(9))),
	})
	w.clock = w.clock.Add(70 * 24 * time.Hour)
	for range expireRuns {
		w.wholeRun(spool.ReasonSchedule)
	}
	w.clock = w.clock.Add(-70 * 24 * time.Hour)
	w.wholeRun(spool.ReasonSchedule)
	if len(w.held()) != 2 || len(w.dead()) != 0 {
		t.Fatalf("%d held, %d dead; want 2, 0", len(w.held()), len(w.dead()))
	}
	w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(9))})
	if got := w.last(report(1)).Strings("object_refs"); len(got) != 2 || w.last(rel(1)) == nil || len(w.held()) != 0 {
		t.Errorf("the report went out last with %v, held are %v; want both whole", got, w.held())
	}
	w.audit(nil)
}

// TestHoldExpiresAfterTheClockWasSetBack: what was held while the clock was ahead does not
// keep what was held since from being given up in time.
func TestHoldExpiresAfterTheClockWasSetBack(t *testing.T) {
	w := newTestWorld(t, Options{HoldUnresolved: 24 * time.Hour})
	ahead := []string{sobj(ident(1))}
	for n := range 2*objectPage + 1 {
		ahead = append(ahead, srel(n, ident(1), ident(9)))
	}
	w.clock = w.clock.AddDate(1, 0, 0)
	w.wholeRun(spool.ReasonSchedule, ahead)
	w.clock = w.clock.AddDate(-1, 0, 0)
	w.wholeRun(spool.ReasonSchedule, []string{srel(1000, ident(1), ident(8))})
	w.clock = w.clock.Add(25 * time.Hour)
	for range expireRuns + 1 {
		w.wholeRun(spool.ReasonSchedule)
	}
	w.audit(nil)
	if dead := w.dead(); len(dead) != 1 || dead[0].STIX != rel(1000) || len(w.held()) != 2*objectPage+1 {
		t.Errorf("%d held, %d dead letters; want all but the one that is old enough held", len(w.held()), len(dead))
	}
}

// TestRepullSendsEqualCopiesOnce: a repull sends again what earlier runs published,
// but not what it published itself, in whichever commit.
func TestRepullSendsEqualCopiesOnce(t *testing.T) {
	w := newTestWorld(t, Options{MaxObjects: 1, ResendAfter: time.Hour})
	w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(1))})
	run := w.startRun(spool.ReasonRepull)
	for range 3 {
		w.record(run, sobj(ident(1)))
		w.work()
	}
	w.endFetch(run)
	w.work()
	w.deliver(-1)
	wantIDs(t, w.ids(run), ident(1))
	w.audit(nil)
}

// TestQueuedItemIsSentAgain: an item that a repull has queued and that the list of an
// import takes into its run is sent again, also if it has to wait first.
func TestQueuedItemIsSentAgain(t *testing.T) {
	w := newTestWorld(t, Options{MaxObjects: 1, ResendAfter: 24 * time.Hour})
	objs := []string{sobj(ident(1)), sobj(note(1), srefs("object_refs", ident(9)))}
	w.wholeRun(spool.ReasonSchedule, objs)
	run := w.startRun(spool.ReasonSchedule)
	w.check(w.sp.Enqueue(w.epoch(), spool.ReasonRepull, nil, []spool.NewTask{
		{TaskKey: spool.TaskKey{Dataset: spool.Profiles, Kind: spool.TaskItem, Source: fmt.Sprintf("s%d", w.source+1)}},
	}))
	w.record(run, objs...)
	w.record(run, objs...) // not asked for
	w.work()
	w.endFetch(run)
	w.work()
	w.deliver(-1)
	wantIDs(t, w.ids(run), ident(1), note(1))
	w.audit(nil)
}

// TestCommitWakesDeliver: a bundle does not wait until deliver looks by itself,
// even while the run is still being fetched.
func TestCommitWakesDeliver(t *testing.T) {
	w := newTestWorld(t, Options{MaxObjects: 1})
	run := w.startRun(spool.ReasonSchedule)
	for n := range 2 {
		w.record(run, sobj(ident(n)))
		w.work()
		select {
		case <-w.m.Wakes.Deliver:
		default:
			t.Errorf("commit %d left deliver asleep", n+1)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	deps := Deps{
		Spool: (*spool.Spool)(nil), Mapper: &plainMapper{}, Status: pipeline.NewStatus(time.Now), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	}
	for name, o := range map[string]Options{
		"no objects":      {MaxBytes: 1},
		"no bytes":        {MaxObjects: 1},
		"negative resend": {MaxObjects: 1, MaxBytes: 1, ResendAfter: -1},
	} {
		if _, err := New(deps, o); !fault.Is(err, fault.Fatal) {
			t.Errorf("%s: got error %v, want a fatal one", name, err)
		}
	}
}
