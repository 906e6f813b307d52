package spool

import (
	"encoding/json"
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// Retry takes dead letters (by key) and parked items (by task key) back into a
// new run of reason retry: fetch's become item tasks, map's and deliver's become
// records. All or nothing. A dead letter stays where it is: one of map or
// deliver is marked healed at once, since its bytes are on their way again, and
// opened again should they fail again; one of fetch is healed by the record
// that its task brings. A dead letter of fetch without a source id, and one
// whose bytes are damaged, are refused with ErrInvalid.
func (s *Spool) Retry(epoch uint64, now time.Time, dead []uint64, parked []TaskKey) (Run, error) {
	var run Run
	err := s.update("retry", use{share: moves}, func(t *txn) error {
		if err := t.meta().checkEpoch(epoch); err != nil {
			return err
		}
		if len(dead)+len(parked) == 0 {
			return fmt.Errorf("%w: nothing to retry", ErrInvalid)
		}
		r, err := t.runs().add(now, RunSpec{Reason: ReasonRetry, Start: now})
		if err != nil {
			return err
		}
		for _, key := range dead {
			if err := t.dead().retry(now, r, key); err != nil {
				return err
			}
		}
		for _, key := range parked {
			if err := t.tasks().retryParked(r, key); err != nil {
				return err
			}
		}
		run = r.copy()
		return nil
	})
	return run, err
}

func (tb deadBucket) retry(now time.Time, r *storedRun, key uint64) error {
	d, ok := tb.read(key)
	switch {
	case !ok:
		return fmt.Errorf("dead letter %d: %w", key, ErrNotFound)
	case d.Err != nil:
		return fmt.Errorf("dead letter %d: %w: %v", key, ErrInvalid, d.Err)
	}
	d.Retried, d.RetryRun = now.UTC(), r.ID
	if d.Stage == StageFetch {
		return tb.retryFetch(r, d)
	}
	r.touch(d.Dataset, now)
	rec := NewRecord{Dataset: d.Dataset, Source: d.Source, Fetched: d.Last}
	if err := tb.t.records().add(r, rec, encoding.Pack(recordBody(d))); err != nil {
		return err
	}
	if !d.Healed.IsZero() {
		return tb.store(d, encoding.Pack(d.Payload))
	}
	d.Healed = now.UTC()
	return tb.close(d)
}

func (tb taskBucket) retryParked(r *storedRun, key TaskKey) error {
	if st, err := tb.byKey(taskKey(key)); err == nil && st.Run == r.ID {
		return nil // its dead letter was named too
	}
	st, err := tb.parked(key)
	if err != nil {
		return err
	}
	r.touch(st.key.Dataset, st.Since)
	return tb.takeIn(r, st)
}

func (tb deadBucket) retryFetch(r *storedRun, d DeadLetter) error {
	if d.Source == "" || d.Dataset == "" || d.Dataset == IOCs {
		return fmt.Errorf("dead letter %d: %w: it names no item that could be fetched again", d.Key, ErrInvalid)
	}
	r.touch(d.Dataset, r.Start)
	key := TaskKey{Dataset: d.Dataset, Kind: TaskItem, Source: d.Source}
	if err := tb.t.tasks().addAll(r, []NewTask{{TaskKey: key, Since: r.Start}}); err != nil {
		return err
	}
	return tb.store(d, encoding.Pack(d.Payload))
}

// touch makes the dataset part of a run that was made piece by piece.
func (r *storedRun) touch(d Dataset, from time.Time) {
	old, ok := r.Datasets[d]
	if !ok || from.Before(old.From) {
		r.Datasets[d] = DatasetRun{From: from.UTC(), Status: DatasetListed}
	}
}

// recordBody makes a dead letter's payload a record again. What is a whole
// answer already, and what is no JSON, is handed over as it is.
func recordBody(d DeadLetter) []byte {
	if !json.Valid(d.Payload) {
		return d.Payload
	}
	var answer struct {
		Objects []json.RawMessage `json:"objects"`
	}
	if json.Unmarshal(d.Payload, &answer) == nil && answer.Objects != nil && d.STIX == "" {
		return d.Payload
	}
	body := append([]byte(`{"objects":[`), d.Payload...)
	return append(body, "]}"...)
}
