package spool

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

func (d *driver) startRun() {
	if len(d.m.openRuns()) > 4 {
		return
	}
	reasons := []Reason{ReasonSchedule, ReasonSchedule, ReasonRepull, ReasonTrigger}
	spec := RunSpec{Reason: reasons[d.r.IntN(4)], Datasets: map[Dataset]time.Time{}, Parked: d.r.IntN(2) == 0}
	if d.r.IntN(2) == 0 {
		spec.Start = d.when()
	}
	for range 1 + d.r.IntN(4) {
		spec.Datasets[d.dataset()] = d.when()
	}
	for range d.r.IntN(5) {
		spec.Tasks = append(spec.Tasks, d.newTask())
	}
	r, err := d.s.StartRun(d.m.epoch, d.now, spec)
	d.check(err, nil)
	if want := d.m.startRun(d.now, spec); r.ID != want.ID {
		d.t.Fatalf("run %d, want %d", r.ID, want.ID)
	}
}

func (d *driver) settle() {
	var outcomes []Outcome
	for range 1 + d.r.IntN(3) {
		r := d.fetching()
		if r == nil {
			return
		}
		o := Outcome{Task: d.taskKey(), Run: r.ID}
		tasks, _, err := d.s.ReadyTasks(r.ID, d.now, 5, nil)
		d.check(err, nil)
		if len(tasks) > 0 && d.r.IntN(10) > 0 {
			o.Task = tasks[d.r.IntN(len(tasks))].TaskKey
		}
		d.fillOutcome(&o)
		outcomes = append(outcomes, o)
	}
	d.check(d.s.SettleTasks(d.m.epoch, d.now, outcomes), nil)
	for _, o := range outcomes {
		d.m.settle(d.now, o)
	}
}

func (d *driver) fillOutcome(o *Outcome) {
	switch d.r.IntN(6) {
	case 0:
		o.Dead = &DeadLetter{Class: "refused", Error: "no", Payload: d.blob()}
	case 1, 2:
		o.Keep = &TaskState{Tries: d.r.IntN(9), Refused: 1, Runs: d.r.IntN(3), LastError: "later", FirstTry: d.now}
		if o.Park = o.Task.Kind == TaskItem && d.r.IntN(2) == 0; !o.Park {
			o.Keep.Due = d.now.Add(time.Duration(d.r.IntN(60)) * time.Second)
		}
	default:
		o.Record = &NewRecord{Dataset: o.Task.Dataset, Source: o.Task.Source, Fetched: d.now, Body: d.blob()}
		for range d.r.IntN(3) {
			o.Add = append(o.Add, d.newTask())
		}
		if o.Task.Kind == TaskPage && d.r.IntN(2) == 0 {
			o.Keep = &TaskState{Cursor: d.blob()}
		}
	}
	if d.r.IntN(10) == 0 {
		o.Note = &DeadLetter{Class: "gap", Source: "x", Payload: []byte{}}
	}
	if d.r.IntN(4) == 0 {
		o.Status = &DatasetRun{Status: []DatasetStatus{DatasetListed, DatasetSkipped}[d.r.IntN(2)], Detail: "d"}
	}
	if d.r.IntN(4) == 0 {
		o.Start = d.when()
	}
	o.Count = map[string]int64{"fetch.tries": 1}
}

func (d *driver) failDataset() {
	r, ds := d.fetching(), d.dataset()
	if r == nil {
		return
	}
	d.check(d.s.FailDataset(d.m.epoch, r.ID, ds, DatasetFailed, "down"), nil)
	d.m.failDataset(r, ds, DatasetFailed, "down")
}

func (d *driver) dropDataset() {
	ds := d.dataset()
	n, err := d.s.DropDataset(d.m.epoch, ds)
	d.check(err, nil)
	if want := d.m.dropDataset(ds); n != want {
		d.t.Fatalf("dropped %d tasks, want %d", n, want)
	}
}

func (d *driver) finishFetch() {
	if r := d.fetching(); r != nil {
		err := d.s.FinishFetch(d.m.epoch, r.ID, d.now)
		d.check(err, busyUnless(d.m.finishFetch(r, d.now)))
	}
}

func (d *driver) finishMap() {
	r := d.mapping()
	if r == nil {
		return
	}
	can := !r.FetchedAt.IsZero() && len(d.m.records[r.ID]) == 0 && len(d.m.waiting[r.ID]) == 0
	d.check(d.s.FinishMap(d.m.epoch, r.ID, d.now), busyUnless(can))
	if can {
		r.MappedAt = d.now
	}
}

func (d *driver) finishRun() {
	if r := d.run(); r != nil && !r.Dropped {
		err := d.s.FinishRun(d.m.epoch, r.ID, d.now)
		d.check(err, busyUnless(d.m.finishRun(r, d.now)))
	}
}

func (d *driver) object() Object {
	return Object{STIX: d.stixID(), Watch: d.stixID(), Dataset: d.dataset(), Source: "s", JSON: d.json(), Kept: d.r.IntN(2) == 0}
}

func (d *driver) commitMap() {
	r := d.mapping()
	if r == nil {
		return
	}
	c := MapCommit{Run: r.ID, Count: map[string]int64{"map.objects": 1}}
	for _, seq := range slices.Sorted(maps.Keys(d.m.records[r.ID])) {
		if len(c.Records) < 3 {
			c.Records = append(c.Records, seq)
		}
	}
	if d.r.IntN(20) == 0 {
		c.Records = append(c.Records, 1<<40)
	}
	for range d.r.IntN(3) {
		var b NewBundle
		for range 1 + d.r.IntN(12) {
			o := BundleObject{STIX: d.stixID(), Deps: d.r.Uint32(), Dataset: d.dataset(), Source: "s", JSON: d.json()}
			b.Objects = append(b.Objects, o)
			c.IDs = append(c.IDs, d.idPut(o.STIX, r.ID))
		}
		c.Bundles = append(c.Bundles, b)
	}
	d.moveObjects(&c)
	for range d.r.IntN(3) {
		c.Items = append(c.Items, Item{Dataset: d.dataset(), Source: strconv.Itoa(d.r.IntN(40)), Run: r.ID, Objects: d.r.IntN(9), At: d.now})
	}
	err := d.s.CommitMap(d.m.epoch, d.now, c)
	if d.m.commitMap(d.now, c) {
		d.check(err, nil)
	} else {
		d.check(err, ErrNotFound)
	}
}

// moveObjects makes objects wait, be held, leave, or die.
func (d *driver) moveObjects(c *MapCommit) {
	for range d.r.IntN(3) {
		c.Wait = append(c.Wait, d.object())
	}
	for range d.r.IntN(6) {
		c.Unwait = append(c.Unwait, d.stixID())
	}
	if d.r.IntN(4) == 0 {
		c.Unwait = slices.Collect(maps.Keys(d.m.waiting[c.Run]))
	}
	if d.r.IntN(3) == 0 {
		c.Hold = append(c.Hold, d.object())
	}
	for range d.r.IntN(3) {
		c.Unhold = append(c.Unhold, d.stixID())
	}
	if d.r.IntN(5) == 0 {
		c.Dead = append(c.Dead, DeadLetter{Class: "invalid", Dataset: d.dataset(), Source: strconv.Itoa(d.r.IntN(40)), STIX: d.stixID(), Payload: d.json()})
	}
}

func (d *driver) idPut(id string, run uint64) IDPut {
	e := ID{Properties: d.r.IntN(50), Kind: []string{"indicator", "of-our-own", ""}[d.r.IntN(3)], Run: run, At: d.now.Truncate(time.Second)}
	if d.r.IntN(3) > 0 {
		e.Hash[d.r.IntN(16)] = 1
		e.Modified = d.when()
	}
	if d.r.IntN(10) == 0 {
		e.Run = 0
	}
	return IDPut{STIX: id, ID: e}
}

// oldestBundle is the model's NextBundle.
func (d *driver) oldestBundle() *modelBundle {
	var best *modelBundle
	for _, b := range d.m.bundles {
		if best == nil || b.Run < best.Run || b.Run == best.Run && b.Seq < best.Seq {
			best = b
		}
	}
	return best
}

func (d *driver) deliver() {
	b, err := d.s.NextBundle()
	want := d.oldestBundle()
	if want == nil {
		d.check(err, ErrNotFound)
		return
	}
	d.check(err, nil)
	d.sameBundle(b, want)
	from := d.r.IntN(want.Objects + 1)
	got, err := d.s.BundleObjects(b.Run, b.Seq, from, 1<<int64(d.r.IntN(20)))
	d.check(err, nil)
	if len(got) == 0 && from < want.Objects {
		d.t.Fatalf("no objects from %d of %d", from, want.Objects)
	}
	for i, o := range got {
		w := want.objects[from+i]
		if o.STIX != w.STIX || o.Deps != w.Deps || o.Dataset != w.Dataset || !bytes.Equal(o.JSON, w.JSON) {
			d.t.Fatalf("object %d of bundle %d/%d differs", from+i, b.Run, b.Seq)
		}
	}
	d.moveCursor(b, want)
}

func (d *driver) moveCursor(b Bundle, want *modelBundle) {
	switch d.r.IntN(4) {
	case 0:
		i := d.r.IntN(want.Objects)
		letter := DeadLetter{Class: "too_large", Error: "406"}
		err := d.s.SkipMessage(d.m.epoch, b.Run, b.Seq, i, letter)
		if d.m.skip(d.now, want, i, letter) {
			d.check(err, nil)
		} else {
			d.check(err, ErrInvalid)
		}
	case 1:
		n := d.r.IntN(want.Objects + 1)
		d.check(d.s.SaveCursor(d.m.epoch, b.Run, b.Seq, n), nil)
		if n > want.Confirmed {
			want.advance(n)
		}
	default:
		d.check(d.s.SaveCursor(d.m.epoch, b.Run, b.Seq, want.Objects), nil)
		want.advance(want.Objects)
	}
	w, sent := Work{ID: fmt.Sprint("after ", b.Seq)}, map[string]int64{"deliver.messages": int64(want.Objects)}
	err := d.s.EndBundle(d.m.epoch, b.Run, b.Seq, w, sent)
	done := want.Confirmed == want.Objects
	d.check(err, busyUnless(done))
	if done {
		r := d.m.runs[b.Run]
		r.Work = w
		r.count(sent)
		delete(d.m.bundles, [2]uint64{b.Run, b.Seq})
	}
}

func (d *driver) sameBundle(got Bundle, want *modelBundle) {
	if got.Run != want.Run || got.Seq != want.Seq || got.Objects != want.Objects || got.Bytes != want.Bytes ||
		got.Confirmed != want.Confirmed || !slices.Equal(got.Skipped, want.Skipped) || !got.Created.Equal(want.Created) {
		d.t.Fatalf("bundle %+v, want %+v", got, want.Bundle)
	}
}
