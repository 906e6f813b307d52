package mapstage

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/spool"
)

// deadlySpool kills the process when a commit would consume a record that the
// mapper cannot be trusted with.
type deadlySpool struct {
	*spool.Spool
	seq   uint64 // of the record; 0: none
	tries int
}

// CommitMap dies for the record. The mapper's own death cannot be simulated in a
// test, but the spool remembers the same.
func (s *deadlySpool) CommitMap(epoch uint64, now time.Time, c spool.MapCommit) error {
	for _, seq := range c.Records {
		if seq == s.seq && len(c.Dead) == 0 {
			s.tries++
			panic(errDied)
		}
	}
	return s.Spool.CommitMap(epoch, now, c)
}

// start runs a process until it dies or is idle.
func (w *world) start() (died bool) {
	w.t.Helper()
	defer func() {
		switch r := recover(); r {
		case nil:
		case errDied:
			died = true
		default:
			panic(r)
		}
	}()
	w.check(w.m.Recover(context.Background()))
	w.work()
	return false
}

func TestCrashMarks(t *testing.T) {
	w := newTestWorld(t, Options{})
	deadly := &deadlySpool{}
	w.over = func(s *spool.Spool) Spool { deadly.Spool = s; return deadly }
	w.restart()
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(ident(1)))
	w.record(run, sobj(ident(2)))
	bad := w.record(run, sobj(ident(3)), sobj(ident(4)))
	w.record(run, sobj(ident(5)))
	w.endFetch(run)
	recs, err := w.sp.Records(run, 0, 10, 1<<20)
	w.check(err)
	deadly.seq = recs[2].Seq

	if !w.start() {
		t.Fatal("it did not die") // a clean start: all four in one commit
	}
	for try := 2; try <= 3; try++ {
		w.die()
		if mapped := w.counters()["records"]; !w.start() || deadly.tries != try {
			t.Fatalf("start %d: %d tries, %d mapped before", try, deadly.tries, mapped)
		}
		if n := w.counters()["records"]; n != 2 {
			t.Fatalf("start %d: %d records mapped, want the two before the bad one", try, n)
		}
	}
	for try := 4; try <= crashStarts+1; try++ {
		w.die() // the mark stood there at two starts: the next tries are made alone
		if !w.start() || deadly.tries != try {
			t.Fatalf("%d tries, want %d", deadly.tries, try)
		}
		if len(w.dead()) > 0 {
			t.Fatalf("a dead letter after %d tries", try)
		}
	}
	w.die()
	if w.start() {
		t.Fatal("it died once more")
	}
	w.deliver(-1)
	w.audit(nil)
	wantIDs(t, w.ids(run), ident(1), ident(2), ident(5))
	dead := w.dead()
	if len(dead) != 1 || dead[0].Class != deadCrash || dead[0].Source != bad || dead[0].STIX != "" {
		t.Errorf("dead letters: %+v", dead)
	}
	if _, marked, err := w.sp.Crash(); marked || err != nil {
		t.Errorf("marked %v, %v", marked, err)
	}
}

func TestCrashMarkOfAnInnocent(t *testing.T) {
	w := newTestWorld(t, Options{})
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(ident(1)))
	w.record(run, sobj(ident(2)))
	w.endFetch(run)
	w.die()
	w.check(w.m.Recover(t.Context()))
	w.once() // maps both, each in its own commit
	w.die()
	if w.start() {
		t.Fatal("got a death, want the records mapped one by one")
	}
	w.deliver(-1)
	w.audit(nil)
	wantIDs(t, w.ids(run), ident(1), ident(2))
	if len(w.dead()) > 0 {
		t.Errorf("got dead letters %v, want none", w.dead())
	}
	if w.sent[0].bundle == w.sent[len(w.sent)-1].bundle {
		t.Error("what stood in the spool was mapped in one commit")
	}
	w.reopen() // a clean stop forgets the mark
	w.check(w.sp.MarkCrash(&spool.CrashMark{Run: run, Seq: 1}))
	w.check(w.m.Recover(t.Context()))
	if _, marked, _ := w.sp.Crash(); marked {
		t.Error("the mark outlives a clean stop")
	}
}

// A machine whose clock was set back finds records from the future in the spool:
// they are just as suspect.
func TestCrashMarksWithTheClockSetBack(t *testing.T) {
	w := newTestWorld(t, Options{})
	deadly := &deadlySpool{}
	w.over = func(s *spool.Spool) Spool { deadly.Spool = s; return deadly }
	w.restart()
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(ident(1)))
	bad := w.record(run, sobj(ident(2)))
	w.endFetch(run)
	recs, err := w.sp.Records(run, 0, 10, 1<<20)
	w.check(err)
	deadly.seq = recs[1].Seq
	w.clock = w.clock.Add(-time.Hour)
	for starts := 0; w.start(); starts++ {
		if w.die(); starts > crashStarts+1 {
			t.Fatal("it dies at the same record for good")
		}
	}
	if dead := w.dead(); len(dead) != 1 || dead[0].Class != deadCrash || dead[0].Source != bad {
		t.Errorf("dead letters: %+v", dead)
	}
}

// Mapping ahead must not be what dies while a suspect record is marked.
func TestNothingIsMappedAheadOfASuspect(t *testing.T) {
	w := newTestWorld(t, Options{})
	run := w.startRun(spool.ReasonSchedule)
	for i := range 5 {
		w.record(run, sobj(sid("indicator", i), smod(1)))
	}
	w.endFetch(run)
	recs, err := w.sp.Records(run, 0, readRecords, readBytes)
	if err != nil || len(recs) != 5 {
		t.Fatalf("records: got %d, %v, want 5", len(recs), err)
	}
	for _, c := range []struct {
		name    string
		careful time.Time
		least   int64 // how many are mapped without being asked for
		most    int64
	}{
		{"ordinary", time.Time{}, 1, 4},
		{"careful", w.clock.Add(time.Minute), 0, 0},
	} {
		counted := &countingMapper{Mapper: w.plain}
		w.m.Mapper, w.m.careful = counted, c.careful
		results, stop := w.m.mapAhead(recs)
		if c.least > 0 {
			results[1]() // waits for the one who maps it, or maps it
		}
		stop()
		if n := counted.n.Load(); n < c.least || n > c.most {
			t.Errorf("%s: %d records were mapped ahead, want %d to %d", c.name, n, c.least, c.most)
		}
		for i, r := range results {
			if got := r().Objects; len(got) != 1 || got[0].ID() != sid("indicator", i) {
				t.Errorf("%s: record %d: got %v", c.name, i, got)
			}
		}
		if n := counted.n.Load(); n != 5 {
			t.Errorf("%s: mapped %d times, want each once", c.name, n)
		}
	}
}

type countingMapper struct {
	Mapper
	n atomic.Int64
}

func (c *countingMapper) Map(src mapping.Source, body []byte) mapping.Result {
	c.n.Add(1)
	return c.Mapper.Map(src, body)
}

// fullSpool has no room for a commit of map until another stage makes room.
type fullSpool struct {
	*spool.Spool
	full bool
}

func (s *fullSpool) CommitMap(epoch uint64, now time.Time, c spool.MapCommit) error {
	if s.full {
		return spool.ErrFull
	}
	return s.Spool.CommitMap(epoch, now, c)
}

// TestRecoverWaitsForNoRoom: a record that two starts found marked is tried before
// deliver starts. If only deliver could make room, the record is left for its turn
// and not blamed.
func TestRecoverWaitsForNoRoom(t *testing.T) {
	for starts := range crashStarts + 1 {
		w := newTestWorld(t, Options{})
		run := w.startRun(spool.ReasonSchedule)
		w.record(run, sobj(ident(1)))
		w.endFetch(run)
		recs, err := w.sp.Records(run, 0, 10, 1<<20)
		w.check(err)
		w.check(w.sp.MarkCrash(&spool.CrashMark{Run: run, Seq: recs[0].Seq, Starts: starts}))
		full := &fullSpool{full: true}
		w.over = func(s *spool.Spool) Spool { full.Spool = s; return full }
		w.die()
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		if err := w.m.Recover(ctx); err != nil || ctx.Err() != nil {
			t.Fatalf("after %d starts: %v, %v; want the other stages to start", starts, err, ctx.Err())
		}
		stop()
		mark, marked, err := w.sp.Crash()
		if w.check(err); !marked || mark.Starts > starts+1 || mark.Starts >= crashStarts && starts < crashStarts-1 {
			t.Errorf("after %d starts: marked %v with %d", starts, marked, mark.Starts)
		}
		full.full = false
		w.work()
		w.deliver(-1)
		if dead := w.dead(); len(dead) > 0 != (starts >= crashStarts-1) || len(dead) == 0 && w.last(ident(1)) == nil {
			t.Errorf("after %d starts: dead letters %+v, ids %v", starts, dead, w.ids(run))
		}
		w.audit(nil)
	}
}
