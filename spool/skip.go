package spool

import (
	"encoding/json"
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// Skipped is a span that an operator gave up, so that its dataset can continue after it.
type Skipped struct {
	From, To time.Time
	Tasks    int    // lists and pages that were dropped
	Dead     uint64 // the dead letter, of class gap, that names the span
}

// Skip moves a dataset's watermarks past a span that ThreatMatch does not deliver. Its lists and pages are dropped,
// so that the next run begins at to; a run that had them ends with the dataset failed. Items that are known already
// stay, and the confirmed watermark waits for what older runs still deliver. The span is kept as a dead letter of
// class gap, whose payload is JSON with dataset, from and to. Skip returns ErrInvalid if to is not after the
// watermark, or is later than the start of the newest run of the dataset: nobody knows that what lies there cannot be
// had.
func (s *Spool) Skip(epoch uint64, now time.Time, d Dataset, to time.Time) (out Skipped, err error) {
	to = to.UTC()
	err = s.handOver("skip", frees(), epoch, func(t *txn) error {
		from, err := t.runs().skippable(d, to)
		if err != nil {
			return err
		}
		out = Skipped{From: from, To: to}
		if err := t.tasks().dropRequests(&out, d); err != nil {
			return err
		}
		t.runs().moveMark(d, to)
		return t.dead().addSkipped(now, d, &out)
	})
	return out, err
}

// SkipFrom returns where a skip of the dataset to a time would begin, or why Skip would refuse it.
func (s *Spool) SkipFrom(d Dataset, to time.Time) (from time.Time, err error) {
	err = s.view("skip", func(t *txn) error {
		from, err = t.runs().skippable(d, to.UTC())
		return err
	})
	return from, err
}

// skippable returns how far the dataset has got, or why it cannot be moved to a time.
func (tb runBucket) skippable(d Dataset, to time.Time) (time.Time, error) {
	newest, err := tb.newest(d)
	if err != nil {
		return time.Time{}, err
	}
	from := tb.t.meta().marks().of(d).Fetched
	if from.IsZero() && newest != nil {
		from = newest.Datasets[d].From // it never got through: each run has asked for the same
	}
	switch {
	case newest == nil:
		return from, fmt.Errorf("%s: %w: no run has asked for it yet", d, ErrInvalid)
	case !to.After(from):
		return from, fmt.Errorf("%s to %s: %w: it is at %s already", d, to.Format(time.RFC3339), ErrInvalid, from.UTC().Format(time.RFC3339))
	case to.After(newest.Start):
		return from, fmt.Errorf("%s to %s: %w: that is later than its newest run asked for; up to %s can be skipped",
			d, to.Format(time.RFC3339), ErrInvalid, newest.Start.UTC().Format(time.RFC3339))
	}
	return from.UTC(), nil
}

// newest returns the newest run since the last reset that moves the dataset's watermark; nil if there is none.
func (tb runBucket) newest(d Dataset) (*storedRun, error) {
	st, err := tb.t.meta().state()
	if err != nil {
		return nil, err
	}
	for id := range tb.before(^uint64(0)) {
		r, err := tb.byID(id)
		if err != nil || r.Epoch != st.Epoch {
			return nil, err
		}
		if _, ok := r.Datasets[d]; ok && r.Reason.MovesWatermarks() {
			return r, nil
		}
	}
	return nil, nil
}

// dropRequests drops the dataset's lists and pages except those of repulls and retries, and fails the dataset in the
// runs that had them.
func (tb taskBucket) dropRequests(out *Skipped, d Dataset) error {
	for _, st := range tb.requests(d) {
		if st.Run != 0 {
			r, err := tb.t.runs().change(st.Run)
			if err != nil {
				return err
			}
			if !r.Reason.MovesWatermarks() {
				continue
			}
			tb.leave(r, st)
			r.setStatus(d, DatasetFailed, "skipped to "+out.To.Format(time.RFC3339)+" by an operator; the next run goes on from there")
		}
		tb.remove(st)
		if !st.Since.IsZero() && st.Since.Before(out.From) {
			out.From = st.Since.UTC()
		}
		out.Tasks++
	}
	return nil
}

// moveMark moves the dataset's watermarks to a time, as a run would that is done now.
func (tb runBucket) moveMark(d Dataset, to time.Time) {
	m := tb.t.meta().marks()
	w := m.of(d)
	w.Previous, w.Fetched = w.Fetched, to
	w.Early = append(w.Early, earlyDone{Run: tb.b.Sequence(), At: to})
	w.confirmBefore(tb.oldestOpen(d))
	tb.t.meta().save(keyWatermarks, m)
}

// addSkipped adds the dead letter that names the span.
func (tb deadBucket) addSkipped(now time.Time, d Dataset, out *Skipped) error {
	payload, err := json.Marshal(map[string]any{"dataset": d, "from": out.From, "to": out.To})
	if err != nil {
		return err
	}
	from, to := out.From.Format(time.RFC3339), out.To.Format(time.RFC3339)
	letter := DeadLetter{
		Stage: StageFetch, Class: "gap", Attempts: 1, Dataset: d, Payload: payload,
		Error: fmt.Sprintf("skipped up to %s by an operator: threatmatch-connector repull --from %s --dataset %s brings what lies between", to, from, d),
	}
	tb.add(now, letter, encoding.Pack(payload))
	out.Dead = encoding.U64(tb.get(equalKey(letter)), 0)
	return nil
}
