package spool

import (
	"errors"

	"threatmatch-connector/spool/internal/encoding"
)

// parkedDamage finds parked items without the row that holds last_run back: last_run would pass items that have not
// arrived.
func (t *txn) parkedDamage() (func(*txn) error, error) {
	var missing []*storedTask
	tb := t.tasks()
	err := tb.scan([]byte{pfxParked}, nil, func(_, v []byte) (bool, error) {
		st, err := tb.byKey(v)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
			return true, nil // the row names nothing; Verify reports it
		}
		if err == nil && !st.Parked.IsZero() && !tb.holdsBack(st) {
			missing = append(missing, st)
		}
		return true, err
	})
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	return func(t *txn) error { return t.tasks().holdAllBack(missing) }, nil
}

// behindDamage finds rows that hold last_run back and cannot be read: they belong to no item, and would hold it back
// for ever. Every task has its row by now.
func (t *txn) behindDamage() (func(*txn) error, error) {
	var wrong [][]byte
	err := t.tasks().scan([]byte{pfxBehind}, nil, func(k, v []byte) (bool, error) {
		if _, ok := cutBehind(k, v); !ok {
			wrong = append(wrong, encoding.Clone(k))
		}
		return true, nil
	})
	if err != nil || len(wrong) == 0 {
		return nil, err
	}
	return func(t *txn) error { return t.tasks().delAll(wrong) }, nil
}

// holdsBack reports whether the row with which the task holds last_run back exists and is intact.
func (tb taskBucket) holdsBack(st *storedTask) bool {
	k := behindKey(st.key.Dataset, st.Since, st.Seq)
	_, ok := cutBehind(k, tb.get(k))
	return ok
}

func (tb taskBucket) holdAllBack(tasks []*storedTask) error {
	for _, st := range tasks {
		if err := tb.holdBack(st); err != nil {
			return err
		}
	}
	return nil
}
