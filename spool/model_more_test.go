package spool

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"
)

func (d *driver) forgetRun() {
	r := d.run()
	if r == nil {
		return
	}
	if r.Reason == ReasonRetry {
		d.m.reopen(r.ID)
	}
	d.check(d.s.ForgetRun(d.m.epoch, r.ID), nil)
	for id, e := range d.m.ids {
		if e.Run == r.ID {
			delete(d.m.ids, id)
			d.m.unknown[id] = e
		}
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

// some picks up to n keys, and sometimes odd, which does not exist.
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
			return // the model knows only JSON
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
	if r.ID != want[0].ID {
		d.t.Fatalf("retry run %d, want %d", r.ID, want[0].ID)
	}
	_, more, err := d.s.StartQueued(d.m.epoch, d.now, true, 0)
	if d.check(err, nil); more {
		d.t.Fatal("a second run of what is in the spool")
	}
	r, more, err = d.s.StartQueued(d.m.epoch, d.now, false, 0)
	if d.check(err, nil); more != (len(want) > 1) || more && r.ID != want[1].ID {
		d.t.Fatalf("run %d of what must be fetched, %v; want %d runs", r.ID, more, len(want))
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
			delete(d.m.unknown, id)
		}
		delete(d.m.held, id)
	}
}

func (d *driver) prune() {
	got, err := d.s.Prune(d.now, t0)
	d.check(err, nil)
	d.m.kept -= int(got[PrunedKept])
	if got[PrunedForgotten]+got[PrunedEvicted] > 0 {
		for _, ids := range []map[string]ID{d.m.ids, d.m.unknown} {
			maps.DeleteFunc(ids, func(_ string, e ID) bool { return e.At.Before(t0) })
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
	d.check(d.s.EndBundle(old, run, 1, Work{}, nil), ErrEpoch)
	d.check(d.s.FinishFetch(old, run, d.now), ErrEpoch)
	d.check(d.s.FinishMap(old, run, d.now), ErrEpoch)
	d.check(d.s.FinishRun(old, run, d.now), ErrEpoch)
	d.check(d.s.SaveWork(old, run, Work{}), ErrEpoch)
	d.check(d.s.Count(old, run, nil), ErrEpoch)
	d.check(d.s.FailDataset(old, run, Alerts, DatasetFailed, ""), ErrEpoch)
	d.check(d.s.SavePlatform(old, nil), ErrEpoch)
	d.check(d.s.ForgetRun(old, run), ErrEpoch)
	_, err = d.s.DropDataset(old, Alerts)
	d.check(err, ErrEpoch)
	_, err = d.s.AdoptState(old, nil)
	d.check(err, ErrEpoch)
	_, err = d.s.Retry(old, d.now, []uint64{1}, nil)
	d.check(err, ErrEpoch)
}

// reset resets the spool. Some resets are killed after their transaction: what they leave, the next opening finishes.
func (d *driver) reset() {
	if d.r.IntN(2) == 0 {
		d.s.hook = func(p string) {
			if p == "reset:after" {
				panic(errStopped)
			}
		}
		if !diesOfPanic(d.t, func() error { _, _, err := d.s.Reset(d.now); return err }) {
			d.t.Fatal("the reset was not killed")
		}
		d.reopen()
		d.m.reset(d.now)
		return
	}
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
		int(cleared["ids"]) != len(d.m.ids)+len(d.m.unknown) || int(cleared["held"]) != len(d.m.held) || len(works) != open {
		d.t.Fatalf("cleared %v with %d works, the model has %d runs, %d records, %d ids, %d held, %d works",
			cleared, len(works), len(d.m.openRuns()), records, len(d.m.ids), len(d.m.held), open)
	}
	d.m.reset(d.now)
}
