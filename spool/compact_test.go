package spool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// grown makes a spool whose file is mostly free: much was added and removed.
func grown(t *testing.T, dir string) {
	t.Helper()
	s := must(Open(t.Context(), Options{Dir: dir, ConnectorID: "c", noReserve: true}))
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Tasks: []NewTask{{TaskKey: TaskKey{IOCs, TaskPage, "p"}}}}))
	for n := range 40 {
		rec := &NewRecord{Dataset: IOCs, Source: "p", Body: bodyOf(29 * n)}
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: TaskKey{IOCs, TaskPage, "p"}, Run: run.ID, Record: rec, Keep: &TaskState{}}}))
	}
	c := MapCommit{Run: run.ID, Dead: []DeadLetter{{Class: "x", Payload: bodyOf(1)}}}
	for _, r := range must(s.Records(run.ID, 0, 38, 1<<40)) {
		c.Records = append(c.Records, r.Seq)
	}
	ok(t, s.CommitMap(1, t0, c))
	ok(t, s.Close())
}

func TestCompactByHand(t *testing.T) {
	dir := t.TempDir()
	grown(t, dir)
	before, after, err := Compact(t.Context(), dir)
	ok(t, err)
	if fi := must(os.Stat(filepath.Join(dir, fileName))); after >= before/2 || fi.Size() != after || fi.Mode().Perm() != 0o600 {
		t.Fatalf("from %d to %d, the file has %d with mode %v", before, after, fi.Size(), fi.Mode())
	}
	s := mustOpen(t, Options{Dir: dir, ConnectorID: "c"})
	recs := must(s.Records(1, 0, 10, 1<<40))
	if len(recs) != 2 || string(recs[1].Body) != string(bodyOf(29*39)) {
		t.Fatalf("%d records are left", len(recs))
	}
	// Sequences continue, so no key is used again.
	next := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule}))
	if next.ID != 2 {
		t.Fatalf("the next run is %d", next.ID)
	}
}

func TestCompactAtOpen(t *testing.T) {
	dir := t.TempDir()
	grown(t, dir)
	size := func() int64 { return must(os.Stat(filepath.Join(dir, fileName))).Size() }
	before := size()
	ok(t, mustOpen(t, Options{Dir: dir}).Close())
	if size() != before {
		t.Fatal("compacted though little is free")
	}
	ok(t, mustOpen(t, Options{Dir: dir, compactMin: 1 << 20, NoCompact: true}).Close())
	if size() != before {
		t.Fatal("compacted though told not to")
	}
	s := mustOpen(t, Options{Dir: dir, compactMin: 1 << 20})
	if size() >= before/2 {
		t.Fatalf("from %d to %d", before, size())
	}
	must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule}))
}

func TestCompactWhileInUse(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, Options{Dir: dir, ConnectorID: "c"})
	if _, _, err := Compact(t.Context(), dir); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
}

// A copy in which one bit of one row is not as in the file does not take its place.
func TestCompactDiffers(t *testing.T) {
	dir := fastDir(t)
	grown(t, dir)
	o := Options{Dir: dir, ConnectorID: "c"}
	o.hook = func(p string) {
		if p == "compact:written" {
			path := filepath.Join(dir, compactName)
			b := must(os.ReadFile(path))
			b[bytes.Index(b, []byte(`"c"`))+1] ^= 1
			ok(t, os.WriteFile(path, b, 0o600))
		}
	}
	s := mustOpen(t, o)
	want := must(digest(t.Context(), s.db))
	if err := s.compact(t.Context(), o.withDefaults()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("compact: %v, want ErrCorrupt", err)
	}
	if got := must(digest(t.Context(), s.db)); got != want {
		t.Error("the file changed")
	}
}

// A compaction that is stopped in the middle leaves the file as it was.
func TestCompactCancelled(t *testing.T) {
	dir := t.TempDir()
	grown(t, dir)
	s := mustOpen(t, Options{Dir: dir})
	want := must(digest(t.Context(), s.db))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopping"))
	if err := s.compact(ctx, Options{Dir: dir}.withDefaults()); err == nil {
		t.Fatal("it went through")
	}
	if _, err := os.Stat(filepath.Join(dir, compactName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is left: %v", err)
	}
	if got := must(digest(t.Context(), s.db)); got != want {
		t.Error("the file changed")
	}
	must(s.StartRun(1, t0.Add(time.Hour), RunSpec{Reason: ReasonSchedule}))
}
