package spool

import "threatmatch-connector/spool/internal/encoding"

// forgetStep is how many entries of ids one transaction removes.
const forgetStep = 5000

// ForgetRun removes the run's entries from ids, after its work was deleted on
// the platform, and returns how many there were. From its first transaction on
// they count as unknown, so it is atomic for its callers; it then removes them
// in further transactions of bounded size, which Prune ends if a crash came between.
func (s *Spool) ForgetRun(epoch uint64, run uint64) (int, error) {
	var n int
	err := s.update("forget run", frees(), func(t *txn) error {
		n = 0
		if err := t.meta().checkEpoch(epoch); err != nil {
			return err
		}
		if of, err := t.runs().byID(run); err == nil && of.Reason == ReasonRetry {
			if err := t.dead().reopenRetried(map[uint64]bool{run: true}); err != nil {
				return err
			}
		}
		r, err := t.ids().idRun(run)
		if err != nil || r == nil {
			return err
		}
		left, err := t.ids().forgotten(run, r)
		if err != nil {
			return err
		}
		if r, err = t.ids().changeIDRun(run); err != nil {
			return err
		}
		n = int(r.Count - left)
		r.Forget = t.sub(subLog).b.Sequence()
		return nil
	})
	if err != nil {
		return 0, err
	}
	for {
		more, err := s.sweepForgotten()
		if err != nil || !more {
			return n, err
		}
	}
}

// forgotten counts the run's entries that an earlier call forgot but has not removed yet.
func (tb idBucket) forgotten(run uint64, r *idRun) (int64, error) {
	if r.Forget == 0 {
		return 0, nil
	}
	var n int64
	err := tb.log().scan(nil, encoding.Num(r.First), func(k, v []byte) (bool, error) {
		if encoding.U64(k, 0) > r.Forget {
			return false, nil
		}
		if of, _, ok := cutLogRow(v); ok && of == run {
			n++
		}
		return true, nil
	})
	return n, err
}

// sweepForgotten removes up to forgetStep forgotten entries and reports whether more are left.
func (s *Spool) sweepForgotten() (bool, error) {
	var more bool
	err := s.view("look for forgotten ids", func(t *txn) error {
		_, r, err := t.ids().forgettingRun()
		more = r != nil
		return err
	})
	if err != nil || !more {
		return false, err
	}
	return true, s.update("sweep forgotten", frees(), func(t *txn) error {
		run, r, err := t.ids().forgettingRun()
		if err != nil || r == nil {
			return err
		}
		if r, err = t.ids().changeIDRun(run); err != nil {
			return err
		}
		return t.ids().sweepRun(run, r)
	})
}

// forgettingRun returns the first run that has forgotten entries.
func (tb idBucket) forgettingRun() (uint64, *idRun, error) {
	var run uint64
	var found *idRun
	err := tb.runRows().scan(nil, nil, func(k, _ []byte) (bool, error) {
		r, err := tb.idRun(encoding.U64(k, 0))
		if err != nil || r == nil || r.Forget == 0 {
			return true, err
		}
		run, found = encoding.U64(k, 0), r
		return false, nil
	})
	return run, found, err
}

// sweepRun removes one step of the run's forgotten entries.
func (tb idBucket) sweepRun(run uint64, r *idRun) error {
	var gone [][]byte
	seen := 0
	next := uint64(0)
	err := tb.log().scan(nil, encoding.Num(r.First), func(k, v []byte) (bool, error) {
		seq := encoding.U64(k, 0)
		if seq > r.Forget {
			return false, nil
		}
		if len(gone) >= forgetStep || seen >= 10*forgetStep {
			next = seq
			return false, nil
		}
		seen++
		if of, key, ok := cutLogRow(v); ok && of == run {
			gone = append(gone, encoding.Clone(key))
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, key := range gone {
		if err := tb.remove(key); err != nil {
			return err
		}
	}
	if next > 0 {
		r.First = next
		return nil
	}
	r.First, r.Forget = r.Forget+1, 0
	return nil
}
