package spool

import (
	"encoding/json"
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// Retry tries dead letters (by key) and parked items (by task key) again, in runs of reason retry: those of fetch
// become item tasks, those of map and deliver become records. What the platform refused is fetched again, an IOC with
// the page of its time. Retry enqueues them as Enqueue does, starts the first slice and returns its run; what brings
// its bytes comes first. StartQueued starts the others. A dead letter stays where it is: one of map or deliver is
// marked healed when it is taken, since its bytes are on their way again, and opened again if they fail again; one of
// fetch is healed by the record that its task brings.
func (s *Spool) Retry(epoch uint64, now time.Time, dead []uint64, parked []TaskKey) (Run, error) {
	tasks := make([]NewTask, len(parked))
	err := s.view("retry", func(t *txn) error {
		if err := t.meta().checkEpoch(epoch); err != nil {
			return err
		}
		for i, key := range parked {
			st, err := t.tasks().parked(key)
			if err != nil {
				return err
			}
			tasks[i] = NewTask{TaskKey: key, Since: st.Since}
		}
		return nil
	})
	if err == nil {
		err = s.Enqueue(epoch, ReasonRetry, dead, tasks)
	}
	if err != nil {
		return Run{}, err
	}
	run, _, err := s.StartQueued(epoch, now, false, 0)
	return run, err
}

// retryable reads a dead letter, and refuses one that cannot be retried.
func (tb deadBucket) retryable(key uint64) (DeadLetter, error) {
	d, ok := tb.read(key)
	if !ok {
		return d, fmt.Errorf("dead letter %d: %w", key, ErrNotFound)
	}
	if why := tb.noRetry(d); why != "" {
		return d, fmt.Errorf("dead letter %d: %w: %s", key, ErrInvalid, why)
	}
	return d, nil
}

// noRetry says why a dead letter cannot be retried, "" if it can.
func (tb deadBucket) noRetry(d DeadLetter) string {
	switch {
	case d.Err != nil:
		return d.Err.Error()
	case d.Stage == StagePlatform && d.Source == "" && tb.modified(d).IsZero():
		return "what brought it cannot be fetched alone: repull its dataset from before its last change"
	case d.Stage == StageFetch && (d.Source == "" || d.Dataset == "" || d.Dataset == IOCs):
		return "it names no item that could be fetched again"
	}
	return ""
}

// modified returns when an IOC that the platform refused was modified: pages are requested by that time. It is zero
// if the dead letter is about something else, or the time is unknown.
func (tb deadBucket) modified(d DeadLetter) time.Time {
	if d.Dataset != IOCs {
		return time.Time{}
	}
	e, _ := tb.t.ids().get(d.STIX) // damaged counts as unknown
	return e.Modified
}

// request returns the task that fetches again what the dead letter is about.
func (tb deadBucket) request(d DeadLetter, r *storedRun) NewTask {
	if at := tb.modified(d); d.Stage == StagePlatform && !at.IsZero() {
		return NewTask{TaskKey: TaskKey{Dataset: IOCs, Kind: TaskList, Source: SpanOf(at)}, Since: at, Anew: true}
	}
	return NewTask{TaskKey: TaskKey{Dataset: d.Dataset, Kind: TaskItem, Source: d.Source}, Since: r.Start, Anew: true}
}

// refetched reports whether a retry asks ThreatMatch again for what the dead letter is about.
func (d DeadLetter) refetched() bool { return d.Stage == StageFetch || d.Stage == StagePlatform }

// retry takes a dead letter into the run. It ignores one that was dropped or damaged since it was named.
func (tb deadBucket) retry(now time.Time, r *storedRun, key uint64, packed map[uint64]encoding.Packed) error {
	d, ok := tb.head(key)
	body, ready := packed[key]
	if !ready { // it is fetched again, or was queued a moment ago
		d, ok = tb.read(key)
		body = encoding.Pack(recordBody(d))
	}
	if !ok || tb.noRetry(d) != "" {
		return nil
	}
	if d.RetryRun != 0 {
		tb.del(retriedKey(d.RetryRun, key))
	}
	d.Retried, d.RetryRun = now.UTC(), r.ID
	tb.put(retriedKey(r.ID, key), []byte{})
	if d.refetched() {
		task := tb.request(d, r)
		r.touch(d.Dataset, task.Since, r.Start)
		tb.putHead(d)
		return tb.t.tasks().addAll(r, []NewTask{task})
	}
	if d.Healed.IsZero() {
		tb.close(d, now)
	} else {
		tb.putHead(d)
	}
	r.touch(d.Dataset, now, now)
	rec := NewRecord{Dataset: d.Dataset, Source: d.Source, Fetched: d.Last, Mapped: d.STIX != ""}
	return tb.t.records().add(r, rec, body)
}

// recordBody turns a dead letter's payload back into a record. What is a whole response already, or is not JSON, stays
// as it is.
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
