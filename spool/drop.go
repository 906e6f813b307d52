package spool

import (
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
	var drops []func(*txn) int
	for _, key := range slices.Compact(slices.Sorted(slices.Values(dead))) {
		drops = append(drops, func(t *txn) int { return t.dead().drop(key) })
	}
	for _, key := range parked {
		drops = append(drops, func(t *txn) int {
			if st, err := t.tasks().parked(key); err == nil {
				t.tasks().remove(st)
			}
			return 0
		})
	}
	for _, id := range held {
		drops = append(drops, func(t *txn) int { return t.held().drop(id) })
	}
	n := 0
	for n < len(drops) {
		var done int
		err := s.update("drop", frees(), func(t *txn) error {
			done = 0
			for size := 0; size < dropBytes && done < taskStep && n+done < len(drops); done++ {
				size += drops[n+done](t)
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
			if t.objects(Held).seq(id) == 0 {
				return fmt.Errorf("held object %s: %w", id, ErrNotFound)
			}
		}
		return nil
	})
}

// drop removes a dead letter, unless it was removed meanwhile, and returns how many bytes it read.
func (tb deadBucket) drop(key uint64) int {
	d, ok := tb.read(key)
	if !ok {
		return 0
	}
	if tb.get(numKey(pfxOpenDL, key)) == nil {
		tb.count(d, 0, -1)
	} else {
		tb.count(d, -1, 0)
	}
	tb.unindex(d)
	if d.RetryRun != 0 {
		tb.del(retriedKey(d.RetryRun, key))
	}
	for _, pfx := range []byte{pfxDead, pfxPayload, pfxOpenDL} {
		tb.delBlob(numKey(pfx, key))
	}
	return len(d.Payload)
}

// unindex removes the rows that find a dead letter by its contents. If those cannot be read it walks the indices.
func (tb deadBucket) unindex(d DeadLetter) {
	if d.Err == nil {
		tb.del(sourceKey(d))
		tb.del(equalKey(d))
		return
	}
	var gone [][]byte
	for _, pfx := range []byte{pfxSource, pfxEqual, pfxRetried} {
		for k, v := range tb.rows([]byte{pfx}) {
			if letterOf(k, v) == d.Key {
				gone = append(gone, encoding.Clone(k))
			}
		}
	}
	tb.delAll(gone)
}

// letterOf returns the key of the dead letter that a row of an index names.
func letterOf(k, v []byte) uint64 {
	if k[0] == pfxEqual {
		return encoding.U64(v, 0)
	}
	return encoding.U64(k, len(k)-8)
}

// drop removes a held object, unless it was removed meanwhile, and returns how many bytes it read. Its entry in ids
// goes, too, unless the object is the whole copy of one that is published.
func (tb heldBucket) drop(id string) int {
	o := tb.unhold(id)
	if !o.Kept && o.Seq != 0 {
		tb.t.ids().remove(encoding.IDKey(id))
	}
	return len(o.JSON)
}

// parked returns a parked item, or ErrNotFound.
func (tb taskBucket) parked(key TaskKey) (*storedTask, error) {
	st, err := tb.byKey(taskKey(key))
	if err == nil && st.Parked.IsZero() {
		err = fmt.Errorf("parked item %s: %w", key, ErrNotFound)
	}
	return st, err
}
