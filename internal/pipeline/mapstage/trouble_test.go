package mapstage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/spool"
)

// troubledSpool fails as scripted.
type troubledSpool struct {
	*spool.Spool
	commit func(spool.MapCommit) error
	room   *spool.Room
}

func (s *troubledSpool) CommitMap(epoch uint64, now time.Time, c spool.MapCommit) error {
	if s.commit != nil {
		if err := s.commit(c); err != nil {
			return err
		}
	}
	return s.Spool.CommitMap(epoch, now, c)
}

func (s *troubledSpool) Room() spool.Room {
	if s.room != nil {
		return *s.room
	}
	return s.Spool.Room()
}

func (w *world) troubled() *troubledSpool {
	ts := &troubledSpool{}
	w.over = func(s *spool.Spool) Spool { ts.Spool = s; return ts }
	w.restart()
	return ts
}

// inBubble runs the stage as the supervisor does, in a bubble with its own time.
func inBubble(t *testing.T, opt Options, play func(t *testing.T, w *world)) {
	dir := fastDir(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, opt)
		w.real = true
		w.restart()
		play(t, w)
		synctest.Wait()
		if err := w.sp.Close(); err != nil {
			t.Error(err)
		}
	})
	goleak.VerifyNone(t)
}

// starts runs the stage; the returned function stops it and returns its error.
func (w *world) starts(t *testing.T) (stop func() error) {
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.m.Run(ctx) }()
	return func() error { cancel(fault.ErrShutdown); return <-done }
}

func TestRunWaitsForMore(t *testing.T) {
	inBubble(t, Options{MaxWait: 30 * time.Second}, func(t *testing.T, w *world) {
		stop := w.starts(t)
		run := w.startRun(spool.ReasonSchedule)
		w.record(run, sobj(ident(1)))
		w.m.Wakes.Map.Signal()
		time.Sleep(29 * time.Second)
		w.record(run, sobj(ident(2)))
		w.m.Wakes.Map.Signal()
		synctest.Wait()
		if w.deliver(-1); len(w.sent) > 0 {
			t.Error("the bundle was closed too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.deliver(-1)
		wantIDs(t, w.ids(run), ident(1), ident(2))
		w.record(run, sobj(ident(3)))
		w.endFetch(run)
		w.m.Wakes.Map.Signal()
		synctest.Wait() // the end of fetch closes the bundle at once
		w.deliver(-1)
		wantIDs(t, w.ids(run), ident(1), ident(2), ident(3))
		if w.run(run).MappedAt.IsZero() {
			t.Error("the run is not mapped")
		}
		select {
		case <-w.m.Wakes.Deliver:
		default:
			t.Error("deliver heard no bell")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		w.audit(nil)
	})
}

func TestRunStopsWhateverItDoes(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, w *world) {
		ts := w.troubled()
		ts.commit = func(spool.MapCommit) error { return fmt.Errorf("commit: %w", spool.ErrFull) }
		run := w.startRun(spool.ReasonSchedule)
		w.record(run, sobj(ident(1)))
		w.endFetch(run)
		stop := w.starts(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := w.m.Status.Snapshot()[stageName]; s.State != "waiting" || !strings.Contains(s.Detail, "no room") {
			t.Errorf("status says %+v", s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if len(w.dead()) > 0 {
			t.Error("something was given up for want of room")
		}
	})
}

func TestRunOutlivesErrors(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, w *world) {
		ts := w.troubled()
		fails := []error{spool.ErrFull, errors.New("input/output"), spool.ErrFull, spool.ErrNotFound}
		ts.commit = func(spool.MapCommit) error {
			if len(fails) == 0 {
				return nil
			}
			err := fails[0]
			fails = fails[1:]
			return err
		}
		stop := w.starts(t)
		run := w.startRun(spool.ReasonSchedule)
		for i := range 20 {
			w.record(run, sobj(note(i), srefs("object_refs", note((i+1)%20))))
		}
		w.endFetch(run)
		w.m.Wakes.Map.Signal()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		w.deliver(-1)
		w.audit(nil)
		if got := w.ids(run); len(got) != 21 {
			t.Errorf("%d objects went out", len(got))
		}
	})
}

func TestRunEndsWithABrokenSpool(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, w *world) {
		ts := w.troubled()
		ts.commit = func(spool.MapCommit) error { return fmt.Errorf("commit: %w", spool.ErrBroken) }
		run := w.startRun(spool.ReasonSchedule)
		w.record(run, sobj(ident(1)))
		w.endFetch(run)
		if err := w.m.Run(t.Context()); !errors.Is(err, spool.ErrBroken) {
			t.Errorf("got %v", err)
		}
	})
}

func TestResetInTheMiddle(t *testing.T) {
	w := newTestWorld(t, Options{})
	ts := w.troubled()
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(ident(1)))
	w.endFetch(run)
	ts.commit = func(spool.MapCommit) error {
		ts.commit = nil
		_, _, err := w.sp.Reset(w.now())
		return err
	}
	w.work()
	clear(w.lists)
	next := w.wholeRun(spool.ReasonReset, []string{sobj(ident(2))})
	w.deliver(-1)
	wantIDs(t, w.ids(run))
	wantIDs(t, w.ids(next), ident(2))
	w.audit(nil)
}

func TestMakesRoom(t *testing.T) {
	w := newTestWorld(t, Options{})
	ts := w.troubled()
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(report(1), srefs("object_refs", ident(9), note(1))), srel(1, note(1), ident(9)),
		sobj(note(1), srefs("object_refs", note(2))), sobj(note(2), srefs("object_refs", note(1))))
	w.work()
	w.clock = w.clock.Add(time.Minute)
	w.work()
	w.deliver(-1)
	wantIDs(t, w.ids(run))

	ts.room = &spool.Room{Live: 101, Max: 100, Cap: 200}
	for range 10 { // deliver comes first whenever there is a bundle
		w.work()
		w.deliver(-1)
	}
	got := w.ids(run)
	for _, id := range []string{report(1), note(1), note(2)} {
		if !slices.Contains(got, id) {
			t.Errorf("%s still waits", id)
		}
	}
	st, err := w.sp.Stats()
	w.check(err)
	if st.Waiting != 1 || slices.Contains(got, rel(1)) || len(w.held()) != 1 {
		t.Errorf("%d wait, %d held; want the relationship to wait", st.Waiting, len(w.held()))
	}
	if s := w.m.Status.Snapshot()[stageName]; s.State != "idle" {
		t.Errorf("the status says %s: fetch would not go on", s.State)
	}

	w.record(run, sobj(ident(9))) // fetch went on into the gap
	w.endFetch(run)
	w.work()
	w.deliver(-1)
	w.audit(nil)
	if w.last(rel(1)) == nil || len(w.last(report(1)).Strings("object_refs")) != 2 {
		t.Error("what was released for room did not become whole")
	}
	if len(w.held()) > 0 || len(w.dead()) > 0 {
		t.Error("something is left")
	}
}

// TestAsksAgainAfterMakingRoom: what OpenCTI had not imported yet when map asked for lack
// of room is asked for again when the run ends.
func TestAsksAgainAfterMakingRoom(t *testing.T) {
	w := newTestWorld(t, Options{})
	ts := w.troubled()
	res := &fakeResolver{known: map[string]string{}}
	w.resolver = res
	w.restart()
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(note(1)), sobj(report(1), srefs("object_refs", note(1), ident(8))), srel(1, note(1), ident(9)))
	w.clock = w.clock.Add(time.Minute)
	w.work()
	w.deliver(-1)
	ts.room = &spool.Room{Live: 101, Max: 100, Cap: 200}
	w.work()
	w.deliver(-1)
	if !slices.Contains(res.asked, ident(8)) || !slices.Contains(res.asked, ident(9)) || w.last(rel(1)) != nil {
		t.Fatalf("asked for %v; want both, and the relationship to wait", res.asked)
	}
	res.known[ident(8)], res.known[ident(9)] = "identity-organization", "identity-organization"
	w.endFetch(run)
	w.work()
	w.deliver(-1)
	w.audit(res.known)
	if w.last(rel(1)) == nil || len(w.last(report(1)).Strings("object_refs")) != 2 || len(w.held()) > 0 {
		t.Errorf("sent %v, held %v", w.ids(run), w.held())
	}
}

// An object that was sent incomplete for lack of room, and arrives again together
// with what it lacked, is sent again whole.
func TestMakesRoomAndTheObjectComesAgain(t *testing.T) {
	for i := range 8 { // the hash decides ties: some of these would lose one
		w := newTestWorld(t, Options{})
		ts := w.troubled()
		run := w.startRun(spool.ReasonSchedule)
		again := sobj(report(i), srefs("object_refs", note(1), ident(9)))
		w.record(run, again)
		ts.room = &spool.Room{Live: 101, Max: 100, Cap: 200}
		for range 10 {
			w.work()
			w.deliver(-1)
		}
		if w.last(report(i)) == nil {
			t.Fatal("the report still waits")
		}
		ts.room = nil
		w.record(run, sobj(note(1)), again)
		w.endFetch(run)
		w.work()
		w.deliver(-1)
		w.audit(nil)
		if got := w.last(report(i)).Strings("object_refs"); !slices.Equal(got, []string{note(1)}) {
			t.Errorf("report %d went out with %v", i, got)
		}
		if w.held()[report(i)].Watch != ident(9) {
			t.Errorf("the whole report %d is not kept", i)
		}
	}
}

func TestLookupsAreCapped(t *testing.T) {
	w := newTestWorld(t, Options{})
	res := &fakeResolver{known: map[string]string{}}
	for i := range 10 {
		res.known[ident(100+i)] = "identity-organization"
		res.known[note(100+i)] = "note"
	}
	w.resolver = res
	w.restart()
	w.m.lookups = 3
	var objs []string
	for i := range 4 {
		objs = append(objs, sobj(note(i), srefs("object_refs", note(100+i))))
	}
	objs = append(objs, sobj(ident(1), sref("created_by_ref", ident(101))), sobj(ident(2), sref("created_by_ref", ident(102))))
	w.wholeRun(spool.ReasonSchedule, objs)
	w.audit(res.known)
	if len(res.asked) != 3 || !slices.Contains(res.asked, ident(101)) || !slices.Contains(res.asked, ident(102)) {
		t.Errorf("asked for %v", res.asked)
	}
	if len(w.ids(1)) != 6 || len(w.held()) != 3 {
		t.Errorf("%d went out, %d kept", len(w.ids(1)), len(w.held()))
	}
	if n := w.sum("lookups_capped"); n != 3 {
		t.Errorf("%d references count as not asked for, want 3", n)
	}
	for range 2 { // it may ask for 3 in each
		w.restart()
		w.m.lookups = 3
		w.wholeRun(spool.ReasonSchedule)
	}
	w.audit(res.known)
	for i := range 4 {
		if got := w.last(note(i)).Strings("object_refs"); len(got) != 1 {
			t.Errorf("%s was sent last with %v, although later runs could ask", note(i), got)
		}
	}
}

// TestAsksForWhatIsHeldBehindKeptCopies: a copy kept for an id is no reason not to ask
// for it on behalf of what was never sent.
func TestAsksForWhatIsHeldBehindKeptCopies(t *testing.T) {
	w := newTestWorld(t, Options{})
	res := &fakeResolver{known: map[string]string{}}
	w.resolver = res
	w.restart()
	w.wholeRun(spool.ReasonSchedule, []string{sobj(note(1)), sobj(report(1), srefs("object_refs", note(1), ident(9))), srel(1, note(1), ident(9))})
	if held := w.held(); len(held) != 2 || held[report(1)].Seq > held[rel(1)].Seq {
		t.Fatalf("held %v, want the report before the relationship", held)
	}
	res.known[ident(9)] = "identity-organization"
	w.restart()
	run := w.wholeRun(spool.ReasonSchedule)
	w.audit(res.known)
	wantIDs(t, w.ids(run), report(1), rel(1))
}

// What is held for an object that OpenCTI gets later, from anyone, is sent in the
// next run, even if that run brings nothing.
func TestAsksAgainForWhatIsHeld(t *testing.T) {
	w := newTestWorld(t, Options{})
	res := &fakeResolver{known: map[string]string{}}
	w.resolver = res
	w.restart()
	w.wholeRun(spool.ReasonSchedule, []string{sobj(note(1)), srel(1, note(1), ident(9)), srel(2, note(1), ident(8)),
		sobj(report(1), srefs("object_refs", note(1), ident(7)))})
	if len(w.held()) != 3 {
		t.Fatalf("held %v", w.held())
	}
	asked := len(res.asked)
	res.known[ident(9)] = "identity-organization"
	res.known[ident(7)] = "identity-organization"
	res.err = errors.New("down")
	w.wholeRun(spool.ReasonSchedule) // is not held up by it
	res.err = nil
	run := w.wholeRun(spool.ReasonSchedule)
	w.deliver(-1)
	w.audit(res.known)
	if got := w.ids(run); !slices.Contains(got, rel(1)) || slices.Contains(got, rel(2)) {
		t.Errorf("went out: %v", got)
	}
	if n := len(res.asked) - asked; n > 4 || slices.Contains(res.asked[asked:], ident(7)) {
		t.Errorf("asked for %v", res.asked[asked:])
	}
}

func TestRefusedLookupsCountAsUnknown(t *testing.T) {
	w := newTestWorld(t, Options{})
	w.resolver = &fakeResolver{err: fault.Mark(fault.Permanent, errors.New("no such field"))}
	w.restart()
	run := w.wholeRun(spool.ReasonSchedule, []string{sobj(note(1), srefs("object_refs", note(2)))})
	wantIDs(t, w.ids(run), note(1))
	w.audit(nil)
}

// TestLookingUpBeats: asking the platform for ids may take hours in one step.
func TestLookingUpBeats(t *testing.T) {
	w := newTestWorld(t, Options{})
	asked := 0
	w.resolver = &fakeResolver{hold: func() {
		asked++
		w.clock = w.clock.Add(3 * time.Hour)
		if s := w.m.Status.Snapshot()[stageName]; !s.Beat.Equal(w.clock) {
			t.Errorf("the last sign of life is of %v at %v", s.Beat, w.clock)
		}
	}}
	w.restart()
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(note(1), srefs("object_refs", ident(9))))
	w.endFetch(run)
	w.work()
	if asked == 0 {
		t.Error("the platform was not asked")
	}
}

// TestAsksForAllThatIsHeldInTurn: a run asks for so many ids on behalf of held objects,
// and the next run for others, in the same process or in its own.
func TestAsksForAllThatIsHeldInTurn(t *testing.T) {
	for _, holds := range []int{1, 2} {
		t.Run(fmt.Sprint(holds), func(t *testing.T) { asksInTurn(t, holds) })
	}
}

// asksInTurn has so many objects held for each id.
func asksInTurn(t *testing.T, holds int) {
	w := newTestWorld(t, Options{})
	res := &fakeResolver{known: map[string]string{}}
	w.resolver = res
	w.restart()
	const more = 7
	objs := []string{sobj(note(1))}
	for n := range heldAskMax + more {
		for i := range holds {
			objs = append(objs, srel(n*holds+i, note(1), ident(1000+n)))
		}
	}
	w.wholeRun(spool.ReasonSchedule, objs)
	asked := map[string]bool{}
	for _, want := range []int{heldAskMax, heldAskMax + more} {
		before := len(res.asked)
		w.restart()
		w.wholeRun(spool.ReasonSchedule)
		for _, id := range res.asked[before:] {
			asked[id] = true
		}
		if len(asked) != want {
			t.Errorf("asked for %d ids by now, want %d", len(asked), want)
		}
	}
}

// TestKeptCopiesHaveTheirTurn: a run checks so many held copies for what they say more by
// now, and the next run the next ones, if each is a process of its own, too.
func TestKeptCopiesHaveTheirTurn(t *testing.T) {
	w := newTestWorld(t, Options{})
	run := w.startRun(spool.ReasonSchedule)
	const page = 1000
	for from := 0; from < keptPass; from += page { // copies that say nothing more
		var hold []spool.Object
		for n := range page {
			hold = append(hold, spool.Object{
				STIX: note(1000 + from + n), Watch: ident(7), Dataset: spool.Alerts, Source: "s", Kept: true,
				JSON: []byte(sobj(note(1000+from+n), srefs("object_refs", ident(7)))),
			})
		}
		if err := w.sp.CommitMap(1, w.clock, spool.MapCommit{Run: run, Hold: hold}); err != nil {
			t.Fatal(err)
		}
	}
	w.endFetch(run)
	w.work()
	w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(1)), sobj(note(1), srefs("object_refs", ident(1), ident(8), ident(9)))})
	for _, id := range []string{ident(9), ident(2)} {
		w.restart()
		w.wholeRun(spool.ReasonSchedule, []string{sobj(id)})
	}
	last := ""
	for _, s := range w.sent {
		if s.stix == note(1) {
			last = fmt.Sprint(s.obj.Refs())
		}
	}
	if !strings.Contains(last, ident(9)) {
		t.Errorf("last sent with %s, want %s among them", last, ident(9))
	}
}

// TestClockSetBackWhileGathering: the open bundle waits no longer for that.
func TestClockSetBackWhileGathering(t *testing.T) {
	w := newTestWorld(t, Options{})
	w.record(w.startRun(spool.ReasonSchedule), sobj(ident(1)))
	w.clock = w.clock.Add(-time.Hour)
	w.work()
	w.clock = w.clock.Add(31 * time.Second)
	w.work()
	if s, err := w.sp.Stats(); err != nil || s.Bundles != 1 {
		t.Errorf("got %d bundles (%v), want one", s.Bundles, err)
	}
}

// TestGathersNothingWhileTheSpoolIsFull: fetch goes on when what it brought is handed over.
func TestGathersNothingWhileTheSpoolIsFull(t *testing.T) {
	w := newTestWorld(t, Options{})
	ts := w.troubled()
	w.record(w.startRun(spool.ReasonSchedule), sobj(ident(1)))
	ts.room = &spool.Room{Live: 101, Max: 100, Cap: 200}
	w.work()
	if s, err := w.sp.Stats(); err != nil || s.Bundles != 1 {
		t.Errorf("got %d bundles (%v), want one at once", s.Bundles, err)
	}
}
