package spool

import (
	"bytes"
	"runtime"
	"testing"
)

// TestLargeObject: each transaction with an object of many megabytes that does not compress takes once its size, for
// the pages or for what it returns.
func TestLargeObject(t *testing.T) {
	s := newSpool(t)
	task := item(Alerts, 1)
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Tasks: []NewTask{{TaskKey: task}}})).ID
	large := noise(6<<20 + 12_345)
	bounded := func(what string, fn func() error) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ok(t, fn())
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 9<<20 {
			t.Errorf("%s took %d bytes, want little more than the %d of the object", what, took, len(large))
		}
	}
	var recs []Record
	var objects []BundleObject
	bounded("fetch's commit", func() error {
		return s.SettleTasks(1, t0, []Outcome{{Task: task, Run: run, Record: &NewRecord{Dataset: Alerts, Source: "1", Body: large}}})
	})
	bounded("reading the record", func() (err error) {
		recs, err = s.Records(run, 0, 1, 1)
		return err
	})
	id := "report--00000000-0000-4000-8000-000000000001"
	bounded("map's commit", func() error {
		return s.CommitMap(1, t0, MapCommit{Run: run, Records: []uint64{recs[0].Seq}, Bundles: []NewBundle{{Objects: []BundleObject{{STIX: id, JSON: large}}}}})
	})
	b := must(s.NextBundle())
	bounded("reading the bundle", func() (err error) {
		objects, err = s.BundleObjects(run, b.Seq, 0, 1)
		return err
	})
	if !bytes.Equal(recs[0].Body, large) || len(objects) != 1 || objects[0].STIX != id || !bytes.Equal(objects[0].JSON, large) {
		t.Errorf("%d bytes and %d objects came back, want what went in", len(recs[0].Body), len(objects))
	}
}

// TestPieces: an envelope that comes in pieces is stored as one that comes whole.
func TestPieces(t *testing.T) {
	s := newSpool(t)
	whole := noise(3*fragmentSize + 5)
	cuts := [][]int{{}, {0}, {1}, {fragmentSize}, {fragmentSize - 1, fragmentSize + 1}, {3 * fragmentSize}, {3*fragmentSize + 5}, {7, 9, 2 * fragmentSize}}
	for _, end := range []int{len(whole), 2 * fragmentSize, fragmentSize, 1} {
		for _, at := range cuts {
			var pieces [][]byte
			from := 0
			for _, to := range append(at, end) {
				if to = min(to, end); to >= from {
					pieces, from = append(pieces, whole[from:to]), to
				}
			}
			err := s.update("put", frees(), func(t *txn) error { t.tab(bktKept).putBlob([]byte("key"), pieces...); return nil })
			ok(t, err)
			ok(t, s.view("get", func(x *txn) error {
				tb := x.tab(bktKept)
				if got := tb.blob([]byte("key"), nil); !bytes.Equal(got, whole[:end]) {
					t.Errorf("%d bytes cut at %v: %d came back", end, at, len(got))
				}
				if tb.get(fragmentKey([]byte("key"), (end-1)/fragmentSize+1)) != nil {
					t.Errorf("%d bytes cut at %v: an empty fragment", end, at)
				}
				return nil
			}))
		}
	}
	ok(t, s.update("remove", frees(), func(t *txn) error { t.tab(bktKept).delBlob([]byte("key")); return nil }))
}
