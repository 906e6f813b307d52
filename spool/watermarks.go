package spool

import (
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// storedMark is a dataset's watermark, with the runs that are done while an older one is not.
type storedMark struct {
	Watermark
	Early []earlyDone `json:"early,omitempty"`
}

// earlyDone is a run that was done before an older one of the same dataset.
type earlyDone struct {
	Run uint64    `json:"run"`
	At  time.Time `json:"at"`
}

type marks map[Dataset]*storedMark

func (m marks) of(d Dataset) *storedMark {
	if m[d] == nil {
		m[d] = &storedMark{}
	}
	return m[d]
}

// Watermarks returns how far each dataset has got; one that never ran is absent.
func (s *Spool) Watermarks() (map[Dataset]Watermark, error) {
	out := map[Dataset]Watermark{}
	err := s.view("read watermarks", func(t *txn) error {
		for d, w := range t.meta().marks() {
			out[d] = w.Watermark
		}
		t.tasks().addHeld(out)
		return nil
	})
	return out, err
}

// addHeld fills in Held: the oldest window start of the items that were parked once and have not arrived, or arrived
// in a run that is not done.
func (tb taskBucket) addHeld(out map[Dataset]Watermark) {
	hold := func(d Dataset, since time.Time) {
		w := out[d]
		if w.Held.IsZero() || since.Before(w.Held) {
			w.Held = since
			out[d] = w
		}
	}
	from := []byte{pfxBehind}
	for {
		k, _ := tb.first([]byte{pfxBehind}, from)
		if k == nil {
			break
		}
		name, rest, ok := encoding.CutString(k[1:])
		if !ok || len(rest) != 16 {
			from = past(k) // a damaged row
			continue
		}
		hold(Dataset(name), encoding.TimeAt(rest, 0))
		from = append(behindPrefix(Dataset(name)), 0xff)
	}
	for _, r := range tb.t.runs().open() {
		for d, since := range r.Behind {
			hold(d, since)
		}
	}
}

// AdoptState sets the watermarks (Fetched and Confirmed alike) of a spool that does not know its state yet, and marks
// the state as known. Datasets that are missing in at start from the configured date. On a spool that knows its state
// it changes nothing and returns false.
func (s *Spool) AdoptState(epoch uint64, at map[Dataset]time.Time) (adopted bool, err error) {
	err = s.handOver("adopt state", frees(), epoch, func(t *txn) error {
		st, err := t.meta().changeState()
		if err != nil {
			return err
		}
		if adopted = !st.StateKnown; !adopted {
			return nil
		}
		st.StateKnown = true
		m := marks{}
		for d, w := range at {
			if !w.IsZero() {
				m[d] = &storedMark{Watermark: Watermark{Fetched: w.UTC(), Confirmed: w.UTC()}}
			}
		}
		t.meta().save(keyWatermarks, m)
		return nil
	})
	return adopted, err
}

// marks returns the watermarks. If they cannot be read they are unknown, as Open treated them; Verify reports it.
func (tb metaBucket) marks() marks {
	m := marks{}
	if tb.read(keyWatermarks, &m) != nil {
		return marks{}
	}
	return m
}

// FinishFetch ends the run's fetch: every dataset still open or listed becomes DatasetOK, and the watermarks of the
// DatasetOK ones move to the run's Start (unless the run's reason moves none, or the window begins after the run did:
// such a run saw nothing of what lies before). It returns ErrBusy while the run has open tasks, which may be parked
// items that StartRun left and that are taken in now. Repeating it changes nothing.
func (s *Spool) FinishFetch(epoch uint64, run uint64, now time.Time) error {
	var left bool
	err := s.view("finish fetch", func(t *txn) error {
		r, err := t.runs().byID(run)
		left = err == nil && r.FetchedAt.IsZero() && len(r.TakeIn) > 0
		return nil // errors are reported below
	})
	if err == nil && left {
		err = s.takeParked(epoch, run)
	}
	if err != nil {
		return err
	}
	return s.changeRun("finish fetch", frees(), epoch, run, func(t *txn, r *storedRun) error {
		if !r.FetchedAt.IsZero() {
			return nil
		}
		if len(r.Open) > 0 {
			return fmt.Errorf("%w: open tasks %v", ErrBusy, r.Open)
		}
		r.endFetch(now)
		if !r.Reason.MovesWatermarks() {
			return nil
		}
		return t.runs().moveFetched(r)
	})
}

// endFetch marks the run as fetched: none of its requests is left.
func (r *storedRun) endFetch(now time.Time) {
	r.FetchedAt, r.TakeIn = now.UTC(), nil
	r.failUnread()
	for d, dr := range r.Datasets {
		if dr.Status.goesOn() {
			r.setStatus(d, DatasetOK, dr.Detail)
		}
	}
}

func (tb runBucket) moveFetched(r *storedRun) error {
	m := tb.t.meta().marks()
	for d, dr := range r.Datasets {
		// A server's clock may say anything: no watermark moves back because of it, unless it lies in the future.
		if w := m[d]; w != nil && r.moves(dr) && w.Fetched.After(r.Start) && !w.Fetched.After(r.Created) {
			r.Start = w.Fetched
		}
	}
	for d, dr := range r.Datasets {
		if !r.moves(dr) {
			continue
		}
		w := m.of(d)
		w.Previous, w.Fetched = w.Fetched, r.Start
	}
	st, err := tb.t.meta().changeState()
	if err != nil {
		return err
	}
	st.StateKnown = true
	tb.t.meta().save(keyWatermarks, m)
	return nil
}

// moves reports whether what came of the dataset moves its watermark.
func (r *storedRun) moves(dr DatasetRun) bool {
	return !r.Lost && dr.Status == DatasetOK && !dr.From.After(r.Created)
}

// FinishRun marks the run as done, moves the confirmed watermarks of its DatasetOK datasets, and forgets runs beyond
// the last 1,000. It returns ErrBusy while the run is being fetched or mapped or has bundles. A watermark waits while
// an older run that has the dataset is not done.
func (s *Spool) FinishRun(epoch uint64, run uint64, now time.Time) error {
	return s.changeRun("finish run", frees(), epoch, run, func(t *txn, r *storedRun) error {
		switch {
		case !r.DoneAt.IsZero():
			return nil
		case r.FetchedAt.IsZero():
			return fmt.Errorf("%w: its fetch goes on", ErrBusy)
		case r.MappedAt.IsZero():
			return fmt.Errorf("%w: its mapping goes on", ErrBusy)
		}
		if t.bundles().left(run) {
			return fmt.Errorf("%w: bundles are left", ErrBusy)
		}
		r.DoneAt = now.UTC()
		t.runs().del(numKey(pfxOpen, run))
		t.runs().moveConfirmed(r)
		t.runs().watch(r, now)
		t.runs().prune()
		return nil
	})
}

// moveConfirmed moves the confirmed watermarks up to the oldest run that is not done.
func (tb runBucket) moveConfirmed(done *storedRun) {
	m := tb.t.meta().marks()
	if done.Reason.MovesWatermarks() {
		for d, dr := range done.Datasets {
			if done.moves(dr) {
				w := m.of(d)
				w.Early = append(w.Early, earlyDone{Run: done.ID, At: done.Start})
			}
		}
	}
	for d, w := range m {
		w.confirmBefore(tb.oldestOpen(d))
	}
	tb.t.meta().save(keyWatermarks, m)
}

// confirmBefore applies the runs that are done and older than run.
func (w *storedMark) confirmBefore(run uint64) {
	var last uint64
	var rest []earlyDone
	for _, e := range w.Early {
		switch {
		case e.Run >= run:
			rest = append(rest, e)
		case e.Run > last || e.Run == last && e.At.After(w.Confirmed): // of one run, and of a skip behind it
			last, w.Confirmed = e.Run, e.At
		}
	}
	w.Early = rest
}

// oldestOpen returns the oldest open run that moves the dataset's watermark; the greatest number if there is none.
func (tb runBucket) oldestOpen(d Dataset) uint64 {
	for _, r := range tb.open() {
		if _, ok := r.Datasets[d]; ok && r.Reason.MovesWatermarks() {
			return r.ID
		}
	}
	return ^uint64(0)
}
