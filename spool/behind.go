package spool

import "threatmatch-connector/spool/internal/encoding"

// parkedDamage finds parked items without the row that holds last_run back: last_run would pass items that have not
// arrived.
func (t *txn) parkedDamage() repairing {
	var missing []*storedTask
	for _, v := range t.tasks().rows([]byte{pfxParked}) {
		st, err := t.tasks().byKey(v) // a row that names nothing is reported by Verify
		if err == nil && !st.Parked.IsZero() && !t.tasks().holdsBack(st) {
			missing = append(missing, st)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return func(t *txn) error { t.tasks().holdAllBack(missing); return nil }
}

// behindDamage finds rows that hold last_run back and cannot be read: they belong to no item, and would hold it back
// for ever. Every task has its row by now.
func (t *txn) behindDamage() repairing {
	var wrong [][]byte
	for k, v := range t.tasks().rows([]byte{pfxBehind}) {
		if !behindIntact(k, v) {
			wrong = append(wrong, encoding.Clone(k))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return func(t *txn) error { t.tasks().delAll(wrong); return nil }
}

// holdsBack reports whether the row with which the task holds last_run back exists and is intact.
func (tb taskBucket) holdsBack(st *storedTask) bool {
	k := st.behind()
	return behindIntact(k, tb.get(k))
}

func (tb taskBucket) holdAllBack(tasks []*storedTask) {
	for _, st := range tasks {
		tb.holdBack(st)
	}
}
