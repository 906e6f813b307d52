package mapstage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// brokenParts fails at one object whenever one step touches it: it panics, or
// returns a permanent error.
type brokenParts struct {
	*spool.Spool
	*plainMapper
	step  string
	panic bool
	hits  atomic.Int64
	bad   func(id string) bool
}

func (p *brokenParts) touch(step string, ids ...string) error {
	if step != p.step || !slices.ContainsFunc(ids, p.bad) {
		return nil
	}
	p.hits.Add(1)
	if p.panic {
		panic("broken at " + step)
	}
	return fault.Mark(fault.Permanent, errors.New("broken"))
}

func (p *brokenParts) Map(src mapping.Source, body []byte) mapping.Result {
	for _, line := range strings.Split(string(body), `"id":"`)[1:] {
		id, _, _ := strings.Cut(line, `"`)
		if err := p.touch("Map", id); err != nil {
			panic(err) // the mapper has no errors
		}
	}
	return p.plainMapper.Map(src, body)
}

func (p *brokenParts) Settle(rel *stix.Object, kindOf func(string) string) mapping.Counts {
	if err := p.touch("Settle", rel.ID()); err != nil {
		panic(err)
	}
	return p.plainMapper.Settle(rel, kindOf)
}

func (p *brokenParts) EnsureAuthor(o *stix.Object) bool {
	if err := p.touch("EnsureAuthor", o.ID()); err != nil {
		panic(err)
	}
	return p.plainMapper.EnsureAuthor(o)
}

func (p *brokenParts) MarkUnread(o *stix.Object) bool {
	if err := p.touch("MarkUnread", o.ID()); err != nil {
		panic(err)
	}
	return p.plainMapper.MarkUnread(o)
}

func (p *brokenParts) LookupIDs(ids []string) (map[string]spool.ID, error) {
	if err := p.touch("LookupIDs", ids...); err != nil {
		return nil, err
	}
	return p.Spool.LookupIDs(ids)
}

func (p *brokenParts) ObjectsByID(run uint64, ids []string) (map[string]spool.Object, error) {
	step := "WaitingByID"
	if run == spool.Held {
		step = "HeldByID"
	}
	if err := p.touch(step, ids...); err != nil {
		return nil, err
	}
	return p.Spool.ObjectsByID(run, ids)
}

func (p *brokenParts) CommitMap(epoch uint64, now time.Time, c spool.MapCommit) error {
	var ids []string
	for _, b := range c.Bundles {
		for _, o := range b.Objects {
			ids = append(ids, o.STIX)
		}
	}
	for _, o := range slices.Concat(c.Wait, c.Hold) {
		ids = append(ids, o.STIX)
	}
	if err := p.touch("CommitMap", ids...); err != nil {
		return err
	}
	return p.Spool.CommitMap(epoch, now, c)
}

// breaks is a world in which a step fails at the bad ids.
func breaks(t *testing.T, step string, panics bool, bad func(string) bool) (*world, *brokenParts) {
	w := newTestWorld(t, Options{})
	p := &brokenParts{plainMapper: w.plain, step: step, panic: panics, bad: bad}
	w.mapper, w.guarded = p, true
	w.over = func(s *spool.Spool) Spool { p.Spool = s; return p }
	w.restart()
	return w, p
}

// TestOneBreaksTheOthersArrive: if any step of map fails at one record or object,
// with a panic or a permanent error, that one becomes a dead letter and all others
// arrive.
func TestOneBreaksTheOthersArrive(t *testing.T) {
	const n, seven = 20, 7
	for _, step := range []string{"Map", "EnsureAuthor", "LookupIDs", "WaitingByID", "HeldByID", "Settle", "CommitMap"} {
		for _, panics := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s panics %v", step, panics), func(t *testing.T) {
				bad := rel(seven)
				if step == "EnsureAuthor" {
					bad = note(seven)
				}
				w, p := breaks(t, step, panics, func(id string) bool { return id == bad })
				first := w.startRun(spool.ReasonSchedule) // so that something waits and is held
				w.record(first, srel(99, ident(98), ident(97)))
				w.endFetch(first)
				w.work()
				run := w.startRun(spool.ReasonSchedule)
				w.record(run, sobj(report(1), srefs("object_refs", ident(96)))) // waits
				w.work()
				w.clock = w.clock.Add(time.Minute)
				w.work()
				for i := range n {
					self := srefs("object_refs", note(i), ident(i))
					w.record(run, sobj(ident(i)), sobj(note(i), self))
					w.record(run, srel(i, note(i), ident(i)))
				}
				w.endFetch(run)
				w.work()
				w.deliver(-1)
				if p.hits.Load() == 0 {
					t.Fatal("the step was never broken")
				}
				got := w.ids(run)
				for i := range n {
					for _, id := range []string{ident(i), note(i), rel(i)} {
						if i != seven && !slices.Contains(got, id) {
							t.Errorf("%s did not arrive", id)
						}
					}
				}
				if dead := w.dead(); len(dead) != 1 || len(dead[0].Payload) == 0 || dead[0].Source == "" ||
					dead[0].Class != deadPanic && dead[0].Class != deadInternal {
					t.Errorf("got dead letters %+v, want the one that breaks", dead)
				}
				if w.run(run).MappedAt.IsZero() {
					t.Error("the run is not mapped")
				}
				p.step = ""
				again := w.wholeRun(spool.ReasonSchedule, []string{sobj(ident(seven)), sobj(note(seven)), srel(seven, note(seven), ident(seven))})
				if w.last(bad) == nil {
					t.Errorf("run %d: %s is not taken when it works again: %v", again, bad, w.ids(again))
				}
			})
		}
	}
}

// TestOneBreaksAtTheEndOfTheRun: one of many waiting objects fails when the run is
// drained.
func TestOneBreaksAtTheEndOfTheRun(t *testing.T) {
	for _, step := range []string{"EnsureAuthor", "MarkUnread"} {
		t.Run(step, func(t *testing.T) {
			w, p := breaks(t, "", true, func(id string) bool { return id == note(7) })
			run := w.startRun(spool.ReasonSchedule)
			for i := range 10 { // circles of two, each with an entry and a marking that nobody brings
				w.record(run, sobj(note(2*i), srefs("object_refs", note(2*i+1), ident(50))),
					sobj(note(2*i+1), srefs("object_refs", note(2*i)), srefs("object_marking_refs", sid("marking-definition", 50))))
			}
			w.work()
			w.clock = w.clock.Add(time.Minute)
			w.work()
			p.step = step
			w.endFetch(run)
			w.work()
			w.deliver(-1)
			if p.hits.Load() == 0 {
				t.Fatal("the step was never broken")
			}
			for i := range 20 {
				if i != 7 && !slices.Contains(w.ids(run), note(i)) {
					t.Errorf("%s did not arrive", note(i))
				}
			}
			if dead := w.dead(); len(dead) != 1 || dead[0].STIX != note(7) {
				t.Errorf("got dead letters %+v, want %s", dead, note(7))
			}
			if w.run(run).MappedAt.IsZero() {
				t.Error("the run is not mapped")
			}
		})
	}
}

// TestTenInARowStopTheStage: nothing more becomes a dead letter, the stage says so,
// and it continues when mapping works again.
func TestTenInARowStopTheStage(t *testing.T) {
	for _, step := range []string{"Map", "LookupIDs", "CommitMap"} {
		t.Run(step, func(t *testing.T) {
			w, p := breaks(t, step, true, func(id string) bool { return strings.HasPrefix(id, "note") })
			run := w.startRun(spool.ReasonSchedule)
			for i := range 100 {
				w.record(run, sobj(note(i)))
			}
			w.endFetch(run)
			for range 300 {
				w.once()
			}
			if n := len(w.dead()); n >= sameErrors {
				t.Errorf("%d dead letters, want less than %d", n, sameErrors)
			}
			if s := w.m.Status.Snapshot()[stageName]; !strings.Contains(s.NotReady, "map is stopped") {
				t.Errorf("status %+v", s)
			}
			dead := len(w.dead())
			p.step = ""
			w.work()
			w.deliver(-1)
			if got := len(w.ids(run)); got+dead != 100 || w.run(run).MappedAt.IsZero() {
				t.Errorf("%d arrived, %d dead, of 100", got, dead)
			}
		})
	}
}

// TestManyBreakAmongGoodOnes: with good records in between, the failing ones become
// dead letters, however many there are.
func TestManyBreakAmongGoodOnes(t *testing.T) {
	for _, step := range []string{"Map", "LookupIDs"} {
		t.Run(step, func(t *testing.T) {
			w, _ := breaks(t, step, true, func(id string) bool { return strings.HasPrefix(id, "note") })
			run := w.startRun(spool.ReasonSchedule)
			for i := range 30 {
				w.record(run, sobj(note(i)))
				w.record(run, sobj(ident(i)))
			}
			w.endFetch(run)
			w.work()
			w.deliver(-1)
			if got := len(w.ids(run)); got != 30 || len(w.dead()) != 30 {
				t.Errorf("%d arrived, %d dead; want 30, 30", got, len(w.dead()))
			}
		})
	}
}

// hidden is a spool that hides that something waits for one id.
type hidden struct {
	*spool.Spool
	id string
}

func (h hidden) WatchedIDs(run uint64, after string, limit int) ([]string, error) {
	ids, err := h.Spool.WatchedIDs(run, after, limit)
	if run == spool.Held {
		return ids, err
	}
	if len(ids) == 1 && ids[0] == h.id {
		return nil, err
	}
	return slices.DeleteFunc(ids, func(id string) bool { return id == h.id }), err
}

// TestWhatNobodyCanReleaseBlocksNothing: an object that waits for one which nobody
// reports missing is an internal error. It becomes a dead letter, and later runs
// continue.
func TestWhatNobodyCanReleaseBlocksNothing(t *testing.T) {
	w := newTestWorld(t, Options{})
	w.guarded = true
	w.over = func(s *spool.Spool) Spool { return hidden{s, ident(50)} }
	w.restart()
	first := w.startRun(spool.ReasonSchedule)
	w.record(first, sobj(note(1), srefs("object_refs", ident(50))), sobj(note(2), srefs("object_refs", note(3))), sobj(note(3), srefs("object_refs", note(2))))
	w.endFetch(first)
	second := w.wholeRun(spool.ReasonSchedule, []string{sobj(note(4))})
	w.deliver(-1)
	if dead := w.dead(); len(dead) != 1 || dead[0].STIX != note(1) || dead[0].Class != deadInternal || !strings.Contains(dead[0].Error, "not known to be missing") {
		t.Errorf("got dead letters %+v, want %s of class %s", dead, note(1), deadInternal)
	}
	for _, id := range []string{note(2), note(3)} {
		if !slices.Contains(w.ids(first), id) {
			t.Errorf("%s did not arrive", id)
		}
	}
	if !slices.Contains(w.ids(second), note(4)) || w.run(first).MappedAt.IsZero() {
		t.Errorf("the first run is mapped at %v, the second brought %v; want both through", w.run(first).MappedAt, w.ids(second))
	}
}
