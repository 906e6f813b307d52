package spool

import (
	"errors"

	"threatmatch-connector/spool/internal/encoding"
)

// mendParked writes the rows that hold last_run back anew for the parked items
// that miss theirs: without them last_run would pass what has not arrived.
func (tb taskBucket) mendParked() error {
	var missing []*storedTask
	err := tb.scan([]byte{pfxParked}, nil, func(_, v []byte) (bool, error) {
		st, err := tb.byKey(v)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
			return true, nil // a row of nothing; Verify reports it
		}
		if err == nil && !st.Parked.IsZero() && !tb.holdsBack(st) {
			missing = append(missing, st)
		}
		return true, err
	})
	if err != nil {
		return err
	}
	return tb.holdAllBack(missing)
}

// dropDamagedBehind removes the rows that hold last_run back and cannot be read:
// they stand for no item, and would hold it back for ever. The tasks have theirs by now.
func (tb taskBucket) dropDamagedBehind() error {
	var wrong [][]byte
	err := tb.scan([]byte{pfxBehind}, nil, func(k, v []byte) (bool, error) {
		if _, ok := cutBehind(k, v); !ok {
			wrong = append(wrong, encoding.Clone(k))
		}
		return true, nil
	})
	for _, k := range wrong {
		if _, err := tb.del(k); err != nil {
			return err
		}
	}
	return err
}

// holdsBack reports whether the task's row that holds last_run back is there and whole.
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
