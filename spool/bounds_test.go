package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"threatmatch-connector/spool/internal/boltfile"
	"threatmatch-connector/spool/internal/encoding"
)

// bounded is a spool with a small limit and a run to work on.
type bounded struct {
	*testing.T
	s   *Spool
	run Run
	r   *rand.Rand
	n   int

	noise []byte
}

func newBounded(t *testing.T, keep time.Duration) *bounded { return newBoundedAt(t, 16<<20, keep) }

func newBoundedAt(t *testing.T, limit int64, keep time.Duration) *bounded {
	t.Helper()
	b := &bounded{T: t, r: rand.New(rand.NewPCG(1, 1))}
	b.s = must(Open(t.Context(), Options{
		Dir: fastDir(t), ConnectorID: "c", MaxSize: limit, slack: limit / 2, noReserve: true, KeepRecords: keep, Now: func() time.Time { return t0 },
	}))
	t.Cleanup(func() { closeVerified(t, b.s) })
	b.run = must(b.s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Tasks: []NewTask{{TaskKey: TaskKey{IOCs, TaskPage, "p"}}}}))
	return b
}

// body returns 200 KB that do not compress, different ones each time.
func (b *bounded) body() []byte {
	for len(b.noise) < 200_000 {
		b.noise = encoding.PutU64(b.noise, b.r.Uint64())
	}
	copy(b.noise, encoding.Num(b.r.Uint64()))
	return bytes.Clone(b.noise)
}

func (b *bounded) record() error {
	b.n++
	rec := &NewRecord{Dataset: IOCs, Source: fmt.Sprint(b.n), Body: b.body()}
	return b.s.SettleTasks(1, t0, []Outcome{{Task: TaskKey{IOCs, TaskPage, "p"}, Run: b.run.ID, Record: rec, Keep: &TaskState{}}})
}

// fill repeats a step until there is no room for it, and checks that the last try changed nothing, and that the limit
// of fetch is exceeded but the cap is not.
func (b *bounded) fill(step func() error) {
	b.Helper()
	for range 1000 {
		before := must(boltfile.Newest(b.s.path)).Txid
		err := step()
		if err == nil {
			continue
		}
		if !errors.Is(err, ErrFull) {
			b.Fatal(err)
		}
		if after := must(boltfile.Newest(b.s.path)).Txid; after != before {
			b.Fatal("what found no room was committed")
		}
		if r := b.s.Room(); r.Live < r.Max || r.Live > r.Cap || r.File > r.Cap {
			b.Fatalf("full at %+v", r)
		}
		return
	}
	b.Fatalf("never full: %+v", b.s.Room())
}

// deliver confirms all bundles.
func (b *bounded) deliver() {
	b.Helper()
	f := filler{s: b.s}
	ok(b.T, f.deliverAll())
}

// drained checks that fetch may continue.
func (b *bounded) drained() {
	b.Helper()
	if r := b.s.Room(); r.Live > r.Max*8/10 {
		b.Fatalf("not drained: %+v", r)
	}
	ok(b.T, b.record())
}

func TestFullOfRecords(t *testing.T) {
	t.Parallel()
	b := newBounded(t, 0)
	b.fill(b.record)
	f := filler{s: b.s, run: b.run}
	for must(b.s.Stats()).Records > 0 {
		ok(t, f.mapSome(3))
		b.deliver()
	}
	b.drained()
}

// Records become waiting objects until map has no room; once released, they drain.
func TestFullOfWaiting(t *testing.T) {
	t.Parallel()
	b := newBounded(t, 0)
	n := 0
	b.fill(func() error {
		n++
		// Small compared with what is kept for moves, as in reality: a commit rewrites its neighbours.
		o := Object{STIX: stixOf(n), Watch: stixOf(n + 1), JSON: b.body()[:60_000]}
		return b.s.CommitMap(1, t0, MapCommit{Run: b.run.ID, Wait: []Object{o}})
	})
	if r := b.s.Room(); r.Live > r.Cap-int64(b.s.db.AllocSize) {
		t.Fatalf("full at %+v, and bbolt does not use the last %d bytes", r, b.s.db.AllocSize)
	}
	if err := b.record(); !errors.Is(err, ErrFull) {
		t.Fatalf("fetch into the last room: %v", err)
	}
	for {
		all := must(b.s.Objects(b.run.ID, 0, 3))
		if len(all) == 0 {
			break
		}
		c := MapCommit{Run: b.run.ID, Bundles: []NewBundle{{}}}
		for _, o := range all {
			c.Unwait = append(c.Unwait, o.STIX)
			c.Bundles[0].Objects = append(c.Bundles[0].Objects, BundleObject{STIX: o.STIX, JSON: o.JSON})
		}
		err := b.s.CommitMap(1, t0, c)
		if errors.Is(err, ErrFull) { // one at a time into the gap
			c.Unwait, c.Bundles[0].Objects = c.Unwait[:1], c.Bundles[0].Objects[:1]
			err = b.s.CommitMap(1, t0, c)
		}
		ok(t, err)
		b.deliver()
	}
	b.drained()
}

// Nothing but the operator drains held objects: stats must show what takes the room, and they can be dropped.
// Deliver's own commits work all the while.
func TestFullOfHeld(t *testing.T) {
	b := newBounded(t, 0)
	ok(t, b.s.CommitMap(1, t0, MapCommit{Run: b.run.ID, Bundles: []NewBundle{{Objects: []BundleObject{{STIX: stixOf(0), JSON: b.body()}}}}}))
	var ids []string
	b.fill(func() error {
		o := Object{STIX: stixOf(len(ids) + 1), Watch: stixOf(1), JSON: b.body()}
		err := b.s.CommitMap(1, t0, MapCommit{Run: b.run.ID, Hold: []Object{o}})
		if err == nil {
			ids = append(ids, o.STIX)
		}
		return err
	})
	b.deliver()
	st := must(b.s.Stats())
	if st.Held != int64(len(ids)) || st.Bytes[bktHeld] < st.Room.Max {
		t.Fatalf("stats do not name what fills the spool: %+v", st)
	}
	must(b.s.Drop(nil, nil, ids))
	b.drained()
}

func TestFullOfDeadLetters(t *testing.T) {
	b := newBounded(t, 0)
	var keys []uint64
	b.fill(func() error {
		d := &DeadLetter{Class: "x", Payload: b.body()}
		return b.s.SettleTasks(1, t0, []Outcome{{Task: TaskKey{IOCs, TaskPage, "p"}, Run: b.run.ID, Note: d, Keep: &TaskState{}}})
	})
	for _, d := range allDead(t, b.s) {
		keys = append(keys, d.Key)
	}
	must(b.s.Drop(keys, nil, nil))
	b.drained()
}

// The oldest ids are evicted above a quarter of the limit.
func TestFullOfIDs(t *testing.T) {
	b := newBoundedAt(t, 4<<20, 0)
	n := 0
	const each = 2000 // of one commit, so of the same age
	for must(b.s.Stats()).Room.Live < 5<<19 {
		var c MapCommit
		c.Run = b.run.ID
		for range each {
			n++
			id := fmt.Sprintf("indicator--%08x-0000-4000-8000-%012d", b.r.Uint32(), n)
			c.IDs = append(c.IDs, IDPut{STIX: id, ID: ID{Kind: "indicator", Run: b.run.ID, At: t0, Modified: t0, Hash: [16]byte{1}}})
		}
		ok(t, b.s.CommitMap(1, t0, c))
	}
	entries := must(b.s.List(bktIDs, "", 200_000))
	got := must(b.s.Prune(t0, time.Time{}))
	st := must(b.s.Stats())
	if got[PrunedEvicted] == 0 || st.IDs != int64(n)-got[PrunedEvicted] {
		t.Fatalf("%v of %d, %d left", got, n, st.IDs)
	}
	if live := st.Room.Live; live > 4<<20/4*3/2 {
		t.Fatalf("%d entries still take %d bytes", st.IDs, live)
	}
	for _, e := range entries {
		seq, known := number(e.Key), len(must(b.s.LookupIDs([]string{e.Key}))) == 1
		age, last := (seq-1)/each, int(got[PrunedEvicted])/each
		if known && age < last || !known && age > last {
			t.Fatalf("number %d of %d is known: %v, after %v", seq, n, known, got)
		}
	}
	b.drained()
}

// number reads the last field of an id as a number.
func number(id string) int {
	var n int
	_, _ = fmt.Sscanf(id[len(id)-12:], "%d", &n)
	return n
}

// Kept records are removed first, and without need when their time is up.
func TestFullOfKept(t *testing.T) {
	b := newBounded(t, time.Hour)
	f := filler{s: b.s, run: b.run}
	for {
		err := b.record()
		if errors.Is(err, ErrFull) {
			break
		}
		ok(t, errors.Join(err, f.mapSome(1)))
		b.deliver()
	}
	if got := must(b.s.Prune(t0.Add(time.Minute), time.Time{})); got[PrunedKept] == 0 {
		t.Fatalf("nothing was let go: %v", got)
	}
	if r := b.s.Room(); r.Live > r.Max {
		t.Fatalf("still over the mark: %+v", r)
	}
	if kept := must(b.s.Stats()).Kept; kept == 0 {
		t.Fatal("all are gone, though some had room and time")
	}
	must(b.s.Prune(t0.Add(2*time.Hour), time.Time{}))
	if kept := must(b.s.Stats()).Kept; kept != 0 {
		t.Fatalf("%d are kept past their time", kept)
	}
	b.drained()
}

// Pruning does not write to an idle spool.
func TestPruneOfNothing(t *testing.T) {
	b := newBounded(t, time.Hour)
	before := must(boltfile.Newest(b.s.path)).Txid
	must(b.s.Prune(t0, t0.AddDate(-1, 0, 0)))
	if after := must(boltfile.Newest(b.s.path)).Txid; after != before {
		t.Fatalf("from transaction %d to %d", before, after)
	}
}

// A snapshot is a complete spool, and is refused if the stages need the room.
func TestSnapshot(t *testing.T) {
	b := newBounded(t, 0)
	ok(t, b.record())
	dir := fastDir(t)
	f := must(os.Create(filepath.Join(dir, fileName)))
	n := must(b.s.Snapshot(f))
	ok(t, f.Close())
	if n == 0 {
		t.Fatal("nothing was written")
	}
	copied := must(Open(t.Context(), Options{Dir: dir, ReadOnly: true, ConnectorID: "c"}))
	if recs := must(copied.Records(b.run.ID, 0, 9, 1<<30)); len(recs) != 1 {
		t.Fatalf("%d records in the snapshot", len(recs))
	}
	if broken := must(copied.Verify(t.Context())); len(broken) > 0 {
		t.Fatal(broken)
	}
	ok(t, copied.Close())
	b.fill(func() error {
		return b.s.CommitMap(1, t0, MapCommit{Run: b.run.ID, Hold: []Object{{STIX: stixOf(b.r.IntN(1 << 30)), JSON: b.body()}}})
	})
	if _, err := b.s.Snapshot(f); !errors.Is(err, ErrFull) {
		t.Fatalf("with little room: %v", err)
	}
}

// allDead reads all dead letters, page by page.
func allDead(t *testing.T, s *Spool) (all []DeadLetter) {
	t.Helper()
	for after := uint64(0); ; after = all[len(all)-1].Key {
		page := must(s.DeadLetters(after, 1000))
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}
