package spool

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// commitMap applies a hand-over; false if a record no longer exists.
func (m *model) commitMap(now time.Time, c MapCommit) bool {
	for _, seq := range c.Records {
		if _, ok := m.records[c.Run][seq]; !ok {
			return false
		}
	}
	for _, seq := range c.Records {
		delete(m.records[c.Run], seq)
		if m.keep {
			m.kept++
		}
	}
	for _, id := range c.Unwait {
		delete(m.waiting[c.Run], id)
	}
	for _, id := range c.Unhold {
		delete(m.held, id)
	}
	m.healPublished(now, c.Bundles)
	for _, d := range c.Dead {
		d.Run, d.Stage = cmp.Or(d.Run, c.Run), cmp.Or(d.Stage, StageMap)
		m.addDead(now, d)
		m.removeID(c.Run, d.STIX)
	}
	for _, b := range c.Bundles {
		mb := &modelBundle{Bundle: Bundle{Run: c.Run, Seq: m.next("bundles"), Created: now, Objects: len(b.Objects)}, objects: b.Objects}
		for _, o := range b.Objects {
			mb.Bytes += int64(len(o.JSON))
		}
		m.bundles[[2]uint64{c.Run, mb.Seq}] = mb
	}
	for _, p := range c.IDs {
		m.ids[p.STIX] = p.ID
		delete(m.unknown, p.STIX)
	}
	for _, o := range c.Wait {
		m.wait(c.Run, o)
	}
	for _, o := range c.Hold {
		m.hold(c.Run, now, o)
	}
	m.runs[c.Run].count(c.Count)
	return true
}

func (m *model) removeID(run uint64, id string) {
	if e, ok := m.ids[id]; ok && e.Run == run {
		delete(m.ids, id)
	}
}

func (m *model) wait(run uint64, o Object) {
	if m.waiting[run] == nil {
		m.waiting[run] = map[string]Object{}
	}
	o.Run = run
	if old, ok := m.waiting[run][o.STIX]; ok {
		o.Seq = old.Seq
	} else {
		o.Seq = m.next("waiting")
	}
	m.waiting[run][o.STIX] = o
}

func (m *model) hold(run uint64, now time.Time, o Object) {
	o.Run, o.Since = run, cmp.Or(o.Since, now)
	if old, ok := m.held[o.STIX]; ok {
		o.Seq, o.Since = old.Seq, old.Since
	} else {
		o.Seq = m.next("held")
	}
	m.held[o.STIX] = o
}

func (b *modelBundle) advance(n int) {
	for b.Confirmed = max(n, b.Confirmed); slices.Contains(b.Skipped, b.Confirmed); {
		b.Confirmed++
	}
}

func (m *model) skip(now time.Time, b *modelBundle, index int, d DeadLetter) bool {
	if slices.Contains(b.Skipped, index) {
		return true
	}
	if index < b.Confirmed || index >= b.Objects {
		return false
	}
	o := b.objects[index]
	d.Run, d.Stage, d.STIX, d.Payload = b.Run, cmp.Or(d.Stage, StageDeliver), o.STIX, o.JSON
	if d.Dataset == "" {
		d.Dataset, d.Source = o.Dataset, o.Source
	}
	m.addDead(now, d)
	m.removeID(b.Run, o.STIX)
	b.Skipped = append(b.Skipped, index)
	slices.Sort(b.Skipped)
	b.advance(b.Confirmed)
	return true
}

// retry returns the runs that it makes: one of what is in the spool, one of what must be fetched.
func (m *model) retry(now time.Time, dead []uint64, parked []TaskKey) ([]*modelRun, bool) {
	for _, k := range dead {
		d, ok := m.dead[k]
		if !ok || d.Stage == StageFetch && (d.Source == "" || d.Dataset == IOCs) {
			return nil, false
		}
	}
	for _, k := range parked {
		if t := m.tasks[k]; t == nil || t.Parked.IsZero() {
			return nil, false
		}
	}
	if len(dead)+len(parked) == 0 {
		return nil, false
	}
	var kept, asked []uint64
	for _, k := range dead {
		if m.dead[k].Stage == StageFetch {
			asked = append(asked, k)
		} else {
			kept = append(kept, k)
		}
	}
	var runs []*modelRun
	if len(kept) > 0 {
		r := m.retryRun(now, kept, nil)
		m.finishFetch(r, now)
		runs = append(runs, r)
	}
	if len(asked)+len(parked) > 0 {
		r := m.retryRun(now, asked, parked)
		if len(m.openTasks(r.ID)) == 0 { // other runs request it already
			m.finishFetch(r, now)
		}
		runs = append(runs, r)
	}
	return runs, true
}

func (m *model) retryRun(now time.Time, dead []uint64, parked []TaskKey) *modelRun {
	r := m.startRun(now, RunSpec{Reason: ReasonRetry, Start: now})
	touch := func(d Dataset, from time.Time) {
		if old, ok := r.Datasets[d]; !ok || from.Before(old.From) {
			r.Datasets[d] = DatasetRun{From: from, Status: DatasetListed}
		}
	}
	for _, k := range parked {
		t := m.tasks[k]
		touch(k.Dataset, t.Since)
		t.Anew = true
		m.takeIn(r, t)
	}
	slices.Sort(dead)
	for _, k := range dead {
		d := m.dead[k]
		d.Retried, d.RetryRun = now, r.ID
		touch(d.Dataset, now)
		if d.Stage == StageFetch {
			m.addTask(r, NewTask{TaskKey: TaskKey{d.Dataset, TaskItem, d.Source}, Since: now, Anew: true})
		} else {
			m.addRecord(r.ID, NewRecord{Dataset: d.Dataset, Source: d.Source, Fetched: d.Last, Mapped: d.STIX != "", Body: []byte(fmt.Sprintf(`{"objects":[%s]}`, d.Payload))})
			d.Healed = cmp.Or(d.Healed, now)
		}
		m.dead[k] = d
	}
	return r
}

func (m *model) reset(now time.Time) {
	for _, r := range m.openRuns() {
		if r.Reason == ReasonRetry {
			m.reopen(r.ID)
		}
		r.Dropped, r.DoneAt, r.behind = true, now, nil
	}
	m.clear()
	m.epoch++
	m.known = true
}
