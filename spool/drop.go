package spool

import (
	"errors"
	"fmt"
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// Drop removes the dead letters, parked items and held objects that the operator named, and returns how many. If one
// does not exist it fails with ErrNotFound and drops nothing. It works in bounded steps: what a kill or an error
// between two of them leaves is still there under its name.
func (s *Spool) Drop(dead []uint64, parked []TaskKey, held []string) (int, error) {
	if err := s.droppable(dead, parked, held); err != nil {
		return 0, err
	}
	var drops []func(*txn) (int, error)
	for _, key := range slices.Compact(slices.Sorted(slices.Values(dead))) {
		drops = append(drops, func(t *txn) (int, error) { return t.dead().drop(key) })
	}
	for _, key := range parked {
		drops = append(drops, func(t *txn) (int, error) {
			st, err := t.tasks().parked(key)
			if err == nil {
				err = t.tasks().remove(st)
			}
			return 0, err
		})
	}
	for _, id := range held {
		drops = append(drops, func(t *txn) (int, error) { return t.held().drop(id) })
	}
	n := 0
	for n < len(drops) {
		var done int
		err := s.update("drop", frees(), func(t *txn) error {
			done = 0
			for size := 0; size < dropBytes && done < taskStep && n+done < len(drops); done++ {
				looked, err := drops[n+done](t)
				if err != nil && !errors.Is(err, ErrNotFound) { // it was removed meanwhile
					return err
				}
				size += looked
			}
			return nil
		})
		if err != nil {
			return n, err
		}
		n += done
	}
	return n, nil
}

// dropBytes bounds the bytes that one step of a drop reads.
const dropBytes = 4 << 20

// droppable refuses names of entries that do not exist.
func (s *Spool) droppable(dead []uint64, parked []TaskKey, held []string) error {
	return s.view("drop", func(t *txn) error {
		for _, key := range dead {
			if t.dead().get(numKey(pfxDead, key)) == nil {
				return fmt.Errorf("dead letter %d: %w", key, ErrNotFound)
			}
		}
		for _, key := range parked {
			if _, err := t.tasks().parked(key); err != nil {
				return err
			}
		}
		for _, id := range held {
			if heldOf(t).seq(id) == 0 {
				return fmt.Errorf("held object %s: %w", id, ErrNotFound)
			}
		}
		return nil
	})
}

// drop removes a dead letter and returns how many bytes it read.
func (tb deadBucket) drop(key uint64) (int, error) {
	d, ok := tb.read(key)
	if !ok {
		return 0, fmt.Errorf("dead letter %d: %w", key, ErrNotFound)
	}
	healed := tb.get(numKey(pfxOpenDL, key)) == nil
	if err := tb.unindex(d); err != nil {
		return 0, err
	}
	if d.RetryRun != 0 {
		if _, err := tb.del(retriedKey(d.RetryRun, key)); err != nil {
			return 0, err
		}
	}
	for _, pfx := range []byte{pfxDead, pfxPayload, pfxOpenDL} {
		if _, err := tb.delBlob(numKey(pfx, key)); err != nil {
			return 0, err
		}
	}
	if healed {
		return len(d.Payload), tb.count(d, 0, -1)
	}
	return len(d.Payload), tb.count(d, -1, 0)
}

// unindex removes the rows that find a dead letter by its contents. If those cannot be read it walks the indices.
func (tb deadBucket) unindex(d DeadLetter) error {
	key := d.Key
	if d.Err == nil {
		if _, err := tb.del(sourceKey(d)); err != nil {
			return err
		}
		_, err := tb.del(equalKey(d))
		return err
	}
	var gone [][]byte
	for _, pfx := range []byte{pfxSource, pfxEqual, pfxRetried} {
		err := tb.scan([]byte{pfx}, nil, func(k, v []byte) (bool, error) {
			if pfx == pfxEqual && encoding.U64(v, 0) == key || pfx != pfxEqual && encoding.U64(k, len(k)-8) == key {
				gone = append(gone, encoding.Clone(k))
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return tb.delAll(gone)
}

// drop removes a held object. Its entry in ids goes, too, unless the object is the whole copy of one that is
// published.
func (tb heldBucket) drop(id string) (int, error) {
	o, err := tb.unhold(id)
	if err != nil || o.Kept || o.Seq == 0 {
		return len(o.JSON), err
	}
	return len(o.JSON), tb.t.ids().remove(encoding.IDKey(id))
}

// parked returns a parked item, or ErrNotFound.
func (tb taskBucket) parked(key TaskKey) (*storedTask, error) {
	st, err := tb.byKey(taskKey(key))
	if err == nil && st.Parked.IsZero() {
		err = fmt.Errorf("parked item %s: %w", key, ErrNotFound)
	}
	return st, err
}
