package spool

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"threatmatch-connector/spool/internal/encoding"
)

// same compares times by instant, and nil like empty.
func (d *driver) same(what string, got, want any) {
	d.t.Helper()
	if reflect.DeepEqual(got, want) {
		return // the usual case, and much faster than a diff
	}
	opts := cmp.Options{cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty(), cmpopts.EquateErrors()}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		d.t.Fatalf("%s (-model +spool):\n%s", what, diff)
	}
}

// compare reads everything through the exported methods.
func (d *driver) compare() {
	d.t.Helper()
	d.compareRuns()
	d.compareTasks()
	d.compareRecords()
	d.compareObjects()
	d.compareDead()
	d.compareIDs()
	d.compareMeta()
}

func (d *driver) compareRuns() {
	var want []Run
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(d.m.runs))) {
		want = append(want, d.m.runs[id].Run)
	}
	var got []Run
	before := uint64(0)
	for {
		page := must(d.s.Runs(before, 7))
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		before = page[len(page)-1].ID
	}
	d.same("runs", got, want)
	var open []Run
	for _, r := range d.m.openRuns() {
		open = append(open, r.Run)
	}
	d.same("open runs", must(d.s.OpenRuns()), open)
	d.same("watermarks", must(d.s.Watermarks()), d.m.watermarks())
}

func (d *driver) compareTasks() {
	for _, t := range d.m.tasks {
		d.same("task", must(d.s.Task(t.TaskKey)), t.Task)
	}
	if _, err := d.s.Task(TaskKey{Alerts, TaskItem, "none"}); !errors.Is(err, ErrNotFound) {
		d.t.Fatal(err)
	}
	for _, r := range d.m.openRuns() {
		d.same("open tasks", must(d.s.OpenTasks(r.ID)), d.m.openTasks(r.ID))
		d.compareReady(r.ID)
	}
}

func (d *driver) compareReady(run uint64) {
	skip := func(k TaskKey) bool { return k.Source == "3" }
	var want []Task
	var next time.Time
	for _, t := range d.m.tasks {
		switch {
		case t.Run != run:
		case t.Due.After(d.now):
			if next.IsZero() || t.Due.Before(next) {
				next = t.Due
			}
		case !skip(t.TaskKey):
			want = append(want, t.Task)
		}
	}
	slices.SortFunc(want, func(a, b Task) int {
		if c := a.Due.Compare(b.Due); c != 0 {
			return c
		}
		return int(a.Seq) - int(b.Seq)
	})
	got, gotNext, err := d.s.ReadyTasks(run, d.now, 5, skip)
	d.check(err, nil)
	d.same("ready tasks", got, want[:min(len(want), 5)])
	if !gotNext.Equal(next) {
		d.t.Fatalf("next task due at %v, want %v", gotNext, next)
	}
}

func (d *driver) compareRecords() {
	for id := range d.m.runs {
		var got []Record
		after := uint64(0)
		for {
			page := must(d.s.Records(id, after, 3, 2000))
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			after = page[len(page)-1].Seq
		}
		var want []Record
		for _, seq := range slices.Sorted(maps.Keys(d.m.records[id])) {
			want = append(want, d.m.records[id][seq])
		}
		d.same("records", got, want)
	}
}

func bySeq(a, b Object) int { return int(a.Seq) - int(b.Seq) }

func (d *driver) compareObjects() {
	for id := range d.m.runs {
		want := slices.SortedFunc(maps.Values(d.m.waiting[id]), bySeq)
		d.same("waiting", must(d.s.Objects(id, 0, 1000)), want)
		d.same("waiting by id", must(d.s.ObjectsByID(id, slices.Collect(maps.Keys(d.m.waiting[id])))), d.m.waiting[id])
		read := func(watch string, after uint64) ([]Object, error) { return d.s.Watchers(id, watch, after, 2) }
		page := func(after string) ([]string, error) { return d.s.WatchedIDs(id, after, 3) }
		d.compareWatched(want, page, read)
		awaited, ids := map[string]bool{}, []string{"none--1"}
		for _, objects := range []map[string]Object{d.m.waiting[id], d.m.held} {
			for own, o := range objects {
				ids, awaited[o.Watch] = append(ids, own, o.Watch), true
			}
		}
		d.same("awaited", must(d.s.Awaited(id, ids)), awaited)
	}
	want := slices.SortedFunc(maps.Values(d.m.held), bySeq)
	d.same("held", must(d.s.Objects(Held, 0, 1000)), want)
	d.same("held by id", must(d.s.ObjectsByID(Held, append(slices.Collect(maps.Keys(d.m.held)), "none--1"))), d.m.held)
	read := func(watch string, after uint64) ([]Object, error) { return d.s.Watchers(Held, watch, after, 2) }
	d.compareWatched(want, func(after string) ([]string, error) { return d.s.WatchedIDs(Held, after, 3) }, read)
}

// compareWatched reads a watch index page by page.
func (d *driver) compareWatched(all []Object, ids func(string) ([]string, error), read func(string, uint64) ([]Object, error)) {
	watched := map[string][]Object{}
	for _, o := range all {
		watched[o.Watch] = append(watched[o.Watch], o)
	}
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page := must(ids(after))
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	if !slices.IsSortedFunc(got, func(a, b string) int { return bytes.Compare(encoding.IDKey(a), encoding.IDKey(b)) }) {
		d.t.Fatalf("watched ids %q are not in order", got)
	}
	d.same("watched ids", slices.Sorted(slices.Values(got)), slices.Sorted(maps.Keys(watched)))
	for id, want := range watched {
		var objects []Object
		after := uint64(0)
		for {
			page := must(read(id, after))
			if len(page) == 0 {
				break
			}
			objects = append(objects, page...)
			after = page[len(page)-1].Seq
		}
		d.same("watchers", objects, want)
	}
}

func (d *driver) compareDead() {
	var want []DeadLetter
	for _, k := range slices.Sorted(maps.Keys(d.m.dead)) {
		want = append(want, d.m.dead[k])
	}
	got := allDead(d.t, d.s)
	for i := range got {
		got[i].NoRetry = "" // the model does not say why
	}
	d.same("dead letters", got, want)
}

func (d *driver) compareIDs() {
	ids := append(slices.Collect(maps.Keys(d.m.ids)), "none--1", "")
	d.same("ids", must(d.s.LookupIDs(ids)), d.m.ids)
}

func (d *driver) compareMeta() {
	meta := must(d.s.Meta())
	if meta.Epoch != d.m.epoch || meta.StateKnown != d.m.known || string(meta.Platform) != d.m.platform || meta.ConnectorID != "c1" {
		d.t.Fatalf("meta %+v", meta)
	}
	mark, found, err := d.s.Crash()
	d.check(err, nil)
	if found != (d.m.crash != nil) || found && mark != *d.m.crash {
		d.t.Fatalf("crash mark %v %v, want %v", mark, found, d.m.crash)
	}
	st := must(d.s.Stats())
	var want Stats
	for _, t := range d.m.tasks {
		if t.Parked.IsZero() {
			want.Tasks++
		} else {
			want.Parked++
		}
	}
	for _, r := range d.m.records {
		want.Records += int64(len(r))
	}
	for _, w := range d.m.waiting {
		want.Waiting += int64(len(w))
	}
	for _, b := range d.m.bundles {
		want.Bundles++
		want.Messages += int64(b.Objects - b.Confirmed)
	}
	for _, l := range d.m.dead {
		if l.Healed.IsZero() {
			want.Dead++
			if l.Stage == StagePlatform {
				want.Rejected++
			}
		} else {
			want.Healed++
		}
	}
	want.Runs, want.IDs, want.Held, want.Kept = int64(len(d.m.runs)), int64(len(d.m.ids)+len(d.m.unknown)), int64(len(d.m.held)), int64(d.m.kept)
	for _, o := range d.m.held {
		if o.Kept {
			want.HeldPublished++
		}
	}
	want.Items = st.Items // Verify counts them
	st.Meta, st.Room, st.Bytes, st.Oldest = Meta{}, Room{}, nil, nil
	d.same("stats", st, want)
}
