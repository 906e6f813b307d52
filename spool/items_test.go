package spool

import (
	"fmt"
	"testing"
	"time"
)

// The rows of one item in one run are one row with the sum of objects; that of a later run replaces it, and a damaged
// row does not count.
func TestItemRow(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	run, next := begin(t, s, RunSpec{}, t0, Alerts), begin(t, s, RunSpec{}, t0, Alerts)
	put := func(r Run, source string, objects int, at time.Time) {
		t.Helper()
		ok(t, s.CommitMap(1, t0, MapCommit{Run: r.ID, Items: []Item{{Dataset: Alerts, Source: source, Run: r.ID, Objects: objects, At: at}}}))
	}
	put(run, "7", 3, t0)
	put(run, "7", 4, t0.Add(time.Second))
	put(run, "8", 5, t0)
	put(next, "8", 1, t0.Add(time.Hour))
	ok(t, s.update("damage", frees(), func(t *txn) error {
		t.counters().Items++
		t.items().table.put(itemKey(Alerts, "9"), []byte("not a row"))
		return nil
	}))
	put(run, "9", 2, t0)
	for _, want := range []Item{
		{Alerts, "7", run.ID, 7, t0.Add(time.Second)}, {Alerts, "8", next.ID, 1, t0.Add(time.Hour)}, {Alerts, "9", run.ID, 2, t0},
	} {
		got := must(s.Items("", want.Source))
		if len(got) != 1 || got[0] != want {
			t.Errorf("item %s: got %+v, want %+v", want.Source, got, want)
		}
		if got := must(s.Items(Profiles, want.Source)); len(got) != 0 {
			t.Errorf("item %s of another dataset: got %+v, want none", want.Source, got)
		}
	}
}

// Items are removed by age, and with the ids of their time if these are evicted.
func TestItemsGoWithIDs(t *testing.T) {
	b := newBoundedAt(t, 4<<20, 0)
	const each = 4000
	for hour := range 3 {
		at := t0.Add(time.Duration(hour) * time.Hour)
		c := MapCommit{Run: b.run.ID, Items: []Item{{Dataset: Alerts, Source: fmt.Sprint(hour), Run: b.run.ID, Objects: each, At: at}}}
		for n := range each {
			c.IDs = append(c.IDs, IDPut{STIX: stixOf(hour*each + n), ID: ID{Kind: "indicator", Run: b.run.ID, At: at, Hash: [16]byte{1}}})
		}
		ok(t, b.s.CommitMap(1, at, c))
	}
	got := must(b.s.Prune(t0, time.Time{}))
	if n := got[PrunedEvicted]; n <= each || n > 2*each {
		t.Fatalf("%d ids had to make room, want those of the first hour and some of the second", n)
	}
	must(b.s.Prune(t0, time.Time{}))
	left := func() (all []string) {
		for hour := range 3 {
			for _, it := range must(b.s.Items(Alerts, fmt.Sprint(hour))) {
				all = append(all, it.Source)
			}
		}
		return all
	}
	if got, want := fmt.Sprint(left()), "[1 2]"; got != want {
		t.Errorf("items left: got %s, want %s", got, want)
	}
	must(b.s.Prune(t0, t0.Add(3*time.Hour)))
	must(b.s.Prune(t0, t0.Add(3*time.Hour)))
	if got := left(); len(got) > 0 {
		t.Errorf("items older than spool.forget_after: got %v, want none", got)
	}
	if st := must(b.s.Stats()); st.Items != 0 {
		t.Errorf("counted items: got %d, want 0", st.Items)
	}
}

// Items are removed by age, also those behind more young ones than one step looks at.
func TestOldItemsBehindYoungOnes(t *testing.T) {
	s := newSpool(t)
	run := begin(t, s, RunSpec{}, t0, Alerts)
	c := MapCommit{Run: run.ID}
	for n := range pruneStep + 500 {
		c.Items = append(c.Items, Item{Dataset: Alerts, Source: fmt.Sprintf("%05d", n), Run: run.ID, At: t0.Add(time.Hour)})
	}
	c.Items[1].At, c.Items[pruneStep+1].At = t0, t0
	ok(t, s.CommitMap(1, t0, c))
	for range 2 {
		must(s.Prune(t0, t0.Add(time.Minute)))
	}
	for n, it := range c.Items {
		if there := len(must(s.Items(Alerts, it.Source))) == 1; there == it.At.Equal(t0) {
			t.Errorf("item %d of %v is there: %v", n, it.At, there)
		}
	}
}
