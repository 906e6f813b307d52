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
	err := d.s.CommitMap(d.m.epoch, d.now, c)
	if d.m.commitMap(d.now, c) {
		d.check(err, nil)
	} else {
		d.check(err, ErrNotFound)
	}
}

// moveObjects lets objects wait, be held, go, or die.
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
	err := d.s.FinishBundle(d.m.epoch, b.Run, b.Seq)
	done := want.Confirmed == want.Objects
	d.check(err, busyUnless(done))
	if done {
		delete(d.m.bundles, [2]uint64{b.Run, b.Seq})
	}
}

func (d *driver) sameBundle(got Bundle, want *modelBundle) {
	if got.Run != want.Run || got.Seq != want.Seq || got.Objects != want.Objects || got.Bytes != want.Bytes ||
		got.Confirmed != want.Confirmed || !slices.Equal(got.Skipped, want.Skipped) || !got.Created.Equal(want.Created) {
		d.t.Fatalf("bundle %+v, want %+v", got, want.Bundle)
	}
}

func (d *driver) forgetRun() {
	r := d.run()
	if r == nil {
		return
	}
	n, err := d.s.ForgetRun(d.m.epoch, r.ID)
	d.check(err, nil)
	want := 0
	for id, e := range d.m.ids {
		if e.Run == r.ID {
			delete(d.m.ids, id)
			want++
		}
	}
	if n != want {
		d.t.Fatalf("forgot %d ids of run %d, want %d", n, r.ID, want)
	}
}

func (d *driver) countAndWork() {
	r := d.run()
	if r == nil {
		d.check(d.s.Count(d.m.epoch, 1<<40, nil), ErrNotFound)
		return
	}
	d.check(d.s.Count(d.m.epoch, r.ID, map[string]int64{"deliver.sent": 2}), nil)
	r.count(map[string]int64{"deliver.sent": 2})
	w := Work{Name: fmt.Sprint("run ", r.ID), ID: "w", Status: "open", Told: int64(d.r.IntN(100)), Intent: &Intent{N: 3}}
	d.check(d.s.SaveWork(d.m.epoch, r.ID, w), nil)
	r.Work = w
}

func (d *driver) stateOps() {
	at := map[Dataset]time.Time{d.dataset(): d.when()}
	adopted, err := d.s.AdoptState(d.m.epoch, at)
	d.check(err, nil)
	if adopted == d.m.known {
		d.t.Fatalf("adopted %v, known %v", adopted, d.m.known)
	}
	if adopted {
		d.m.known = true
		d.m.marks = map[Dataset]*modelMark{}
		for ds, w := range at {
			d.m.mark(ds).Watermark = Watermark{Fetched: w, Confirmed: w}
		}
	}
	d.m.platform = fmt.Sprint("notes ", d.r.IntN(100))
	d.check(d.s.SavePlatform(d.m.epoch, []byte(d.m.platform)), nil)
	d.m.crash = nil
	if d.r.IntN(2) == 0 {
		d.m.crash = &CrashMark{Run: 1, Seq: uint64(d.r.IntN(9)), Starts: 2}
	}
	d.check(d.s.MarkCrash(d.m.crash), nil)
	d.check(d.s.MarkResumed(), nil)
	for _, r := range d.m.openRuns() {
		r.Resumed = true
	}
}

// some picks up to n keys, and now and then one that is not there.
func some[K comparable](d *driver, keys []K, n int, odd K) []K {
	var out []K
	for range d.r.IntN(n + 1) {
		if len(keys) > 0 {
			if k := keys[d.r.IntN(len(keys))]; !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
	}
	if d.r.IntN(20) == 0 {
		out = append(out, odd)
	}
	return out
}

func (d *driver) parked() []TaskKey {
	var out []TaskKey
	for k, t := range d.m.tasks {
		if !t.Parked.IsZero() {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b TaskKey) int { return bytes.Compare(taskKey(a), taskKey(b)) })
	return out
}

func (d *driver) retry() {
	if len(d.m.openRuns()) > 4 {
		return
	}
	dead := some(d, slices.Sorted(maps.Keys(d.m.dead)), 3, 1<<40)
	parked := some(d, d.parked(), 3, TaskKey{Alerts, TaskItem, "none"})
	for _, k := range dead {
		if l := d.m.dead[k]; l.Stage != StageFetch && !bytes.HasPrefix(l.Payload, []byte(`{"x"`)) {
			return // the model knows JSON only
		}
	}
	r, err := d.s.Retry(d.m.epoch, d.now, dead, parked)
	want, can := d.m.retry(d.now, dead, parked)
	if !can {
		if err == nil {
			d.t.Fatal("retry of what cannot be retried")
		}
		return
	}
	d.check(err, nil)
	if r.ID != want.ID {
		d.t.Fatalf("retry run %d, want %d", r.ID, want.ID)
	}
}

func (d *driver) drop() {
	dead := some(d, slices.Sorted(maps.Keys(d.m.dead)), 2, 1<<40)
	parked := some(d, d.parked(), 2, TaskKey{Alerts, TaskItem, "none"})
	held := some(d, slices.Sorted(maps.Keys(d.m.held)), 2, "none--1")
	n, err := d.s.Drop(dead, parked, held)
	if slices.Contains(dead, 1<<40) || slices.Contains(parked, TaskKey{Alerts, TaskItem, "none"}) || slices.Contains(held, "none--1") {
		d.check(err, ErrNotFound)
		return
	}
	d.check(err, nil)
	if n != len(dead)+len(parked)+len(held) {
		d.t.Fatalf("dropped %d", n)
	}
	for _, k := range dead {
		delete(d.m.dead, k)
	}
	for _, k := range parked {
		delete(d.m.tasks, k)
	}
	for _, id := range held {
		if !d.m.held[id].Kept {
			delete(d.m.ids, id)
		}
		delete(d.m.held, id)
	}
}

func (d *driver) prune() {
	got, err := d.s.Prune(d.now, t0)
	d.check(err, nil)
	d.m.kept -= int(got[PrunedKept])
	if got[PrunedForgotten]+got[PrunedEvicted] > 0 {
		for id, e := range d.m.ids {
			if e.At.Before(t0) {
				delete(d.m.ids, id)
			}
		}
	}
}

// staleEpoch hands over what was read before a reset.
func (d *driver) staleEpoch() {
	old := d.m.epoch - 1
	run := uint64(1)
	if r := d.run(); r != nil {
		run = r.ID
	}
	_, err := d.s.StartRun(old, d.now, RunSpec{Reason: ReasonOnce})
	d.check(err, ErrEpoch)
	d.check(d.s.SettleTasks(old, d.now, nil), ErrEpoch)
	d.check(d.s.CommitMap(old, d.now, MapCommit{Run: run}), ErrEpoch)
	d.check(d.s.SaveCursor(old, run, 1, 1), ErrEpoch)
	d.check(d.s.SkipMessage(old, run, 1, 0, DeadLetter{}), ErrEpoch)
	d.check(d.s.FinishBundle(old, run, 1), ErrEpoch)
	d.check(d.s.FinishFetch(old, run, d.now), ErrEpoch)
	d.check(d.s.FinishMap(old, run, d.now), ErrEpoch)
	d.check(d.s.FinishRun(old, run, d.now), ErrEpoch)
	d.check(d.s.SaveWork(old, run, Work{}), ErrEpoch)
	d.check(d.s.Count(old, run, nil), ErrEpoch)
	d.check(d.s.FailDataset(old, run, Alerts, DatasetFailed, ""), ErrEpoch)
	d.check(d.s.SavePlatform(old, nil), ErrEpoch)
	_, err = d.s.ForgetRun(old, run)
	d.check(err, ErrEpoch)
	_, err = d.s.DropDataset(old, Alerts)
	d.check(err, ErrEpoch)
	_, err = d.s.AdoptState(old, nil)
	d.check(err, ErrEpoch)
	_, err = d.s.Retry(old, d.now, []uint64{1}, nil)
	d.check(err, ErrEpoch)
}

func (d *driver) reset() {
	cleared, works, err := d.s.Reset(d.now)
	d.check(err, nil)
	open := 0
	for _, r := range d.m.openRuns() {
		if r.Work.Status == "open" {
			open++
		}
	}
	records := 0
	for _, rs := range d.m.records {
		records += len(rs)
	}
	if int(cleared["runs"]) != len(d.m.openRuns()) || int(cleared["records"]) != records ||
		int(cleared["ids"]) != len(d.m.ids) || int(cleared["held"]) != len(d.m.held) || len(works) != open {
		d.t.Fatalf("cleared %v with %d works, the model has %d runs, %d records, %d ids, %d held, %d works",
			cleared, len(works), len(d.m.openRuns()), records, len(d.m.ids), len(d.m.held), open)
	}
	d.m.reset(d.now)
}
