package spool

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// What a repull or a retry names waits in a queue, in no run, and is taken in slices, each a run of its own, so that
// new data never waits for all of it. The bounds of a slice:
const (
	sliceRows  = 500
	slicePages = 20
	sliceBytes = 8 << 20 // of dead letters' payloads, before compression
)

// queued is the value of a row of the queue.
type queued struct {
	Reason Reason    `json:"reason"`
	Since  time.Time `json:"since,omitzero"`   // of tasks
	Cursor []byte    `json:"cursor,omitempty"` // of pages
}

// The first byte of a dead letter's key in the queue. Those of map and deliver come before all tasks: they bring
// their bytes and need no response of ThreatMatch.
const (
	letterKept  = 0x00
	letterAsked = 0xff
)

func queuedLetter(first byte, key uint64) []byte {
	return encoding.PutU64([]byte{pfxQueued, first}, key)
}

// isKept reports whether k is the key of a dead letter that brings its bytes.
func isKept(k []byte) bool { return len(k) > 1 && k[1] == letterKept }

func queuedTask(key TaskKey) []byte { return prefixed(pfxQueued, taskKey(key)) }

// cutQueued parses a key of the queue: of a task, or else of a dead letter.
func cutQueued(k []byte) (task TaskKey, letter uint64, isTask bool) {
	if len(k) == 10 && (k[1] == letterKept || k[1] == letterAsked) {
		return task, encoding.U64(k, 2), false
	}
	task, isTask = cutTaskKey(k[1:])
	return task, 0, isTask
}

// Enqueue adds dead letters (by key) and tasks to the queue: items to fetch again, parked ones included, and pages.
// What is queued already stays there once. Dead letters of fetch without a source id, and damaged ones, are refused
// with ErrInvalid, and then nothing is enqueued. It works in bounded steps: after a kill or an error between two,
// repeating it adds the rest.
func (s *Spool) Enqueue(epoch uint64, reason Reason, dead []uint64, tasks []NewTask) error {
	if len(dead)+len(tasks) == 0 {
		return fmt.Errorf("enqueue: %w: nothing to enqueue", ErrInvalid)
	}
	rows, err := s.queueRows(epoch, dead, tasks)
	if err != nil {
		return err
	}
	for step := range slices.Chunk(rows, taskStep) {
		err := s.handOver("enqueue", use{share: moves}, epoch, func(t *txn) error {
			for _, row := range step {
				q := queued{Reason: reason}
				if row.task != nil {
					q.Since, q.Cursor = row.task.Since.UTC(), row.task.Cursor
				}
				t.tasks().enqueue(row.key, q)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// queueRow is a row to add to the queue; task is nil for a dead letter.
type queueRow struct {
	key  []byte
	task *NewTask
}

// queueRows returns the rows for dead letters and tasks in the order of their keys, or why one of them is refused.
func (s *Spool) queueRows(epoch uint64, dead []uint64, tasks []NewTask) ([]queueRow, error) {
	rows := make([]queueRow, 0, len(dead)+len(tasks))
	for step := range slices.Chunk(dead, taskStep) {
		err := s.view("enqueue", func(t *txn) error {
			if err := t.meta().checkEpoch(epoch); err != nil {
				return err
			}
			for _, key := range step {
				d, err := t.dead().retryable(key)
				if err != nil {
					return err
				}
				first := byte(letterKept)
				if d.refetched() {
					first = letterAsked
				}
				rows = append(rows, queueRow{key: queuedLetter(first, key)})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range tasks {
		if err := checkTaskKey(tasks[i].TaskKey); err != nil {
			return nil, fmt.Errorf("enqueue: %w", err)
		}
		rows = append(rows, queueRow{queuedTask(tasks[i].TaskKey), &tasks[i]})
	}
	slices.SortStableFunc(rows, func(a, b queueRow) int { return bytes.Compare(a.key, b.key) })
	return rows, nil
}

func (tb taskBucket) enqueue(key []byte, q queued) {
	if tb.get(key) == nil {
		tb.t.counters().Queued++
	}
	tb.seal(key, q)
}

// dequeue removes a row of the queue and reports whether there was one.
func (tb taskBucket) dequeue(key []byte) bool {
	there := tb.del(key)
	if there {
		tb.t.counters().Queued--
	}
	return there
}

// StartQueued starts a run of the next slice of the queue and reports whether there was one. With kept it takes only
// dead letters that bring their bytes: such a run has no request to make. most bounds the rows; 0 means the largest
// slice.
func (s *Spool) StartQueued(epoch uint64, now time.Time, kept bool, most int) (run Run, found bool, err error) {
	if most <= 0 || most > sliceRows {
		most = sliceRows
	}
	packed, err := s.packQueued(kept, most)
	if err != nil {
		return run, false, err
	}
	err = s.handOver("start queued", use{share: moves, brings: sliceBytes}, epoch, func(t *txn) error {
		run, found = Run{}, false
		rows := t.tasks().slice(kept, most)
		if len(rows) == 0 {
			return nil
		}
		r, err := t.runs().add(now, RunSpec{Reason: rows[0].Reason, Start: now})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := t.takeQueued(now, r, row, packed); err != nil {
				return err
			}
		}
		if len(r.Open) == 0 { // it has no request to make, and need not wait for those of other runs
			r.endFetch(now)
		}
		run, found = r.copy(), true
		return nil
	})
	return run, found, err
}

// packQueued packs what the dead letters of the next slice bring before the transaction that takes them: packing is
// the slow part.
func (s *Spool) packQueued(kept bool, most int) (map[uint64]encoding.Packed, error) {
	packed := map[uint64]encoding.Packed{}
	err := s.view("start queued", func(t *txn) error {
		for _, row := range t.tasks().slice(kept, most) {
			_, key, isTask := cutQueued(row.key)
			if isTask {
				continue
			}
			if d, err := t.dead().retryable(key); err == nil && !d.refetched() {
				packed[key] = encoding.Pack(recordBody(d))
			}
		}
		return nil
	})
	return packed, err
}

// sliceRow is a row of the queue that is being taken.
type sliceRow struct {
	key []byte
	queued
}

// slice returns the next rows of the queue that go together: dead letters that bring their bytes or, unless kept,
// what is to be fetched. A row that cannot be read counts as a retry, since its key can be.
func (tb taskBucket) slice(kept bool, most int) (out []sliceRow) {
	var size, pages int
	for k, v := range tb.rows([]byte{pfxQueued}) {
		if len(out) == most || !isKept(k) && (kept || len(out) > 0 && isKept(out[0].key)) {
			break
		}
		row := sliceRow{key: encoding.Clone(k)}
		if _, err := encoding.Open(k, v, &row.queued); err != nil {
			row.queued = queued{Reason: ReasonRetry}
		}
		if len(out) > 0 && row.Reason != out[0].Reason {
			continue
		}
		if key, letter, ok := cutQueued(k); ok && key.Kind == TaskPage {
			pages++
		} else if !ok {
			size += encoding.RawLen(tb.t.dead().get(numKey(pfxPayload, letter)))
		}
		if len(out) > 0 && (size > sliceBytes || pages > slicePages) {
			break
		}
		out = append(out, row)
	}
	return out
}

// takeQueued moves a row of the queue into the run.
func (t *txn) takeQueued(now time.Time, r *storedRun, row sliceRow, packed map[uint64]encoding.Packed) error {
	t.tasks().dequeue(row.key)
	key, letter, ok := cutQueued(row.key)
	if !ok {
		return t.dead().retry(now, r, letter, packed)
	}
	if st, err := t.tasks().byKey(taskKey(key)); err == nil && !st.Since.IsZero() {
		row.Since = st.Since // of a parked item
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	r.touch(key.Dataset, row.Since, r.Start)
	return t.tasks().addAll(r, []NewTask{{TaskKey: key, Since: row.Since, Cursor: row.Cursor, Anew: true}})
}

// touch makes the dataset part of a run that is put together piece by piece.
func (r *storedRun) touch(d Dataset, from, otherwise time.Time) {
	if from.IsZero() {
		from = otherwise
	}
	old, ok := r.Datasets[d]
	if !ok || from.Before(old.From) {
		r.Datasets[d] = DatasetRun{From: from.UTC(), Status: DatasetListed}
	}
}
