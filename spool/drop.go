package spool

import (
	"fmt"

	"threatmatch-connector/spool/internal/encoding"
)

// Drop removes dead letters, parked items and held objects, named by the
// operator, and returns how many. All or nothing: one that is not there makes
// it fail with ErrNotFound.
func (s *Spool) Drop(dead []uint64, parked []TaskKey, held []string) (int, error) {
	err := s.update("drop", frees(), func(t *txn) error {
		for _, key := range dead {
			if err := t.dead().drop(key); err != nil {
				return err
			}
		}
		for _, key := range parked {
			st, err := t.tasks().parked(key)
			if err != nil {
				return err
			}
			if err := t.tasks().remove(st); err != nil {
				return err
			}
		}
		for _, id := range held {
			if err := t.held().drop(id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(dead) + len(parked) + len(held), nil
}

func (tb deadBucket) drop(key uint64) error {
	d, ok := tb.head(key)
	if !ok {
		return fmt.Errorf("dead letter %d: %w", key, ErrNotFound)
	}
	healed := tb.get(numKey(pfxOpenDL, key)) == nil
	if err := tb.unindex(key); err != nil {
		return err
	}
	if d.RetryRun != 0 {
		if _, err := tb.del(retriedKey(d.RetryRun, key)); err != nil {
			return err
		}
	}
	for _, pfx := range []byte{pfxDead, pfxPayload, pfxOpenDL} {
		if _, err := tb.delBlob(numKey(pfx, key)); err != nil {
			return err
		}
	}
	if healed {
		return tb.count(d, 0, -1)
	}
	return tb.count(d, -1, 0)
}

// unindex removes what finds a letter by its contents. Where those cannot be
// read it walks the indices.
func (tb deadBucket) unindex(key uint64) error {
	d, _ := tb.read(key)
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
	for _, k := range gone {
		if _, err := tb.del(k); err != nil {
			return err
		}
	}
	return nil
}

// drop removes a held object. Unless it is the whole copy of one that is
// published, its entry in ids goes too.
func (tb heldBucket) drop(id string) error {
	o, ok, err := tb.unhold(id)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("held object %s: %w", id, ErrNotFound)
	}
	if o.Kept {
		return nil
	}
	return tb.t.ids().remove(encoding.IDKey(id))
}

// parked returns a parked item, or ErrNotFound.
func (tb taskBucket) parked(key TaskKey) (*storedTask, error) {
	st, err := tb.byKey(taskKey(key))
	if err == nil && st.Parked.IsZero() {
		err = fmt.Errorf("parked item %s: %w", key, ErrNotFound)
	}
	return st, err
}
