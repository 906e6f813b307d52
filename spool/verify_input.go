package spool

import (
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// The checks of what fetch writes: tasks, records, kept records; and dead letters.

func (v *verifier) tasks() {
	tb := v.t.tasks().table
	for k, val := range v.walk(tb) {
		switch k[0] {
		case pfxTask:
			v.task(tb, k)
		case pfxDue:
			st := v.indexedTask(val)
			if st != nil && string(k) != string(st.due()) {
				v.broken("task %s: is in the due index of run %d, but is not due then", st.TaskKey, encoding.U64(k, 1))
			}
		case pfxParked:
			st := v.indexedTask(val)
			if st != nil && (st.Parked.IsZero() || string(k) != string(st.parked())) {
				v.broken("task %s: is in the index of parked items, but is not parked", st.TaskKey)
			}
		case pfxQueued:
			v.n.Queued++
			v.envelope(k, val, "tasks: row %x of the queue", k)
		case pfxBehind:
			if !behindIntact(k, val) {
				v.broken("tasks: row %x, which holds last_run back: %v", k, ErrCorrupt)
			}
			v.rows.behind++
		default:
			v.broken("tasks: key %x", k)
		}
	}
	if v.rows.behind != v.rows.heldBack {
		v.broken("tasks: %d rows hold last_run back, for %d items that were parked", v.rows.behind, v.rows.heldBack)
	}
}

// indexedTask returns the task that an index row names.
func (v *verifier) indexedTask(enc []byte) *storedTask {
	st, err := v.t.tasks().byKey(enc)
	if err != nil {
		v.broken("tasks: an index names a task that cannot be read: %v", err)
		return nil
	}
	return st
}

func (v *verifier) task(tb *table, k []byte) {
	key, ok := cutTaskKey(k[1:])
	if !ok {
		of := k[:max(1, len(k)-2)] // if it is a further fragment
		if _, ok := cutTaskKey(of[1:]); !ok || len(tb.get(of)) != fragmentSize {
			v.broken("tasks: key %x belongs to nothing", k)
		}
		return
	}
	st := &storedTask{Task: Task{TaskKey: key}}
	if _, err := encoding.Open(k, tb.blob(k, nil), st); err != nil {
		v.broken("task %s: %v", key, err)
		if st, err = v.t.tasks().byKey(k[1:]); err != nil {
			return
		}
	}
	v.sequence(tb, st.Seq)
	if st.Parked.IsZero() {
		v.n.Tasks++
	} else {
		v.n.Parked++
	}
	if st.Behind {
		v.rows.heldBack++
		if tb.get(st.behind()) == nil {
			v.broken("task %s: was parked once, but does not hold its dataset back", key)
		}
	}
	switch {
	case st.Run != 0 && !st.Parked.IsZero():
		v.broken("task %s: parked in run %d", key, st.Run)
	case st.Run != 0:
		v.openTask(tb, st)
	case !st.Parked.IsZero():
		if tb.get(st.parked()) == nil {
			v.broken("task %s: is parked, but is not in the index of parked items", key)
		}
	case key.Kind != TaskPage:
		v.broken("task %s: in no run and not parked", key)
	}
}

func (v *verifier) openTask(tb *table, st *storedTask) {
	if tb.get(st.due()) == nil {
		v.broken("task %s: is not in the due index of its run %d", st.TaskKey, st.Run)
	}
	r := v.run("task "+st.String(), st.Run)
	if r == nil {
		return
	}
	if !r.FetchedAt.IsZero() {
		v.broken("task %s: the fetch of run %d has ended", st.TaskKey, st.Run)
	}
	if r.Open[st.Dataset][st.Kind] == 0 {
		v.broken("task %s: run %d does not count it", st.TaskKey, st.Run)
	}
}

func (v *verifier) records() {
	tb := v.t.records()
	for k, val := range v.walk(tb.table) {
		if v.fragment(tb.table, k, 16) {
			continue
		}
		v.n.Records++
		v.sequence(tb.table, encoding.U64(k, 8))
		rec := tb.record(k, val)
		if rec.Err != nil {
			v.broken("%v", rec.Err)
		}
		if r := v.run("records", rec.Run); r != nil && !r.MappedAt.IsZero() {
			v.broken("record %d/%d: its run is mapped", rec.Run, rec.Seq)
		}
	}
}

func (v *verifier) kept() {
	tb := v.t.kept().table
	for k, val := range v.walk(tb) {
		if !v.fragment(tb, k, 24) {
			v.n.Kept++
			v.envelope(k[8:], tb.blob(k, val), "kept record %d/%d", encoding.U64(k, 8), encoding.U64(k, 16))
		}
	}
}

func (v *verifier) dead() {
	tb := v.t.dead().table
	for k, val := range v.walk(tb) {
		names := encoding.U64(k, 1) // the dead letter
		switch k[0] {
		case pfxDead, pfxPayload:
			if v.fragment(tb, k, 9) {
				continue
			}
		case pfxOpenDL:
			v.n.Dead++
		case pfxSource, pfxRetried, pfxEqual:
			names = letterOf(k, val)
		default:
			v.broken("dead: key %x", k)
			continue
		}
		if k[0] == pfxDead {
			v.deadLetter(tb, names)
		} else if tb.get(numKey(pfxDead, names)) == nil {
			v.broken("dead letter %d: row %x names it, but it does not exist", names, k)
		}
	}
	v.n.Healed = v.rows.deadAll - v.n.Dead
}

func (v *verifier) deadLetter(tb *table, key uint64) {
	v.rows.deadAll++
	v.sequence(tb, key)
	d, _ := v.t.dead().read(key)
	if d.Err != nil {
		v.broken("%v", d.Err)
		v.n.Rejected = nil // its stage is unknown
		return
	}
	isOpen := tb.get(numKey(pfxOpenDL, key)) != nil
	if isOpen != d.Healed.IsZero() {
		v.broken("dead letter %d: healed %v, but open is %v", key, d.Healed.Format(time.RFC3339), isOpen)
	}
	if isOpen && d.Stage == StagePlatform && v.n.Rejected != nil {
		*v.n.Rejected++
	}
	if tb.get(sourceKey(d)) == nil {
		v.broken("dead letter %d: is not found by its source id", key)
	}
	if tb.get(equalKey(d)) == nil {
		v.broken("dead letter %d: is not found by what it holds", key)
	}
}
