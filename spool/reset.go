package spool

import (
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"
)

// Reset empties tasks, records, waiting, held, bundles, cursors, ids, kept
// records and watermarks, ends the open runs (they stay in the list of runs,
// marked as dropped), keeps the dead letters, raises the epoch and marks the
// state as known, in one transaction. It returns what it cleared, by kind, and
// the works that were open.
func (s *Spool) Reset(now time.Time) (cleared map[string]int64, open []Work, err error) {
	err = s.update("reset", frees(), func(t *txn) error {
		c, err := t.meta().counters()
		if err != nil {
			return err
		}
		cleared = map[string]int64{
			"tasks": c.Tasks, "parked": c.Parked, "records": c.Records, "waiting": c.Waiting,
			"held": c.Held, "bundles": c.Bundles, "messages": c.Messages, "ids": c.IDs, "kept": c.Kept,
		}
		if cleared["runs"], open, err = t.runs().drop(now); err != nil {
			return err
		}
		for _, name := range []string{bktTasks, bktRecords, bktWaiting, bktWaitingByID, bktHeld, bktBundles, bktCursors, bktKept} {
			if err := t.empty(name); err != nil {
				return err
			}
		}
		for _, name := range []string{subEntries, subLog, subRuns} {
			if err := emptyBucket(t.tx.Bucket([]byte(bktIDs)), name); err != nil {
				return err
			}
		}
		t.forgetTables()
		c.Tasks, c.Parked, c.Records, c.Waiting, c.Held, c.Bundles, c.Messages, c.IDs, c.Kept = 0, 0, 0, 0, 0, 0, 0, 0, 0
		c.HeldPublished = new(int64)
		for name := range c.Bytes {
			if name != bktRuns && name != bktDead {
				delete(c.Bytes, name)
			}
		}
		return t.meta().reset()
	})
	if err != nil {
		return nil, nil, err
	}
	return cleared, open, nil
}

// drop ends the open runs and returns their number and their open works.
func (tb runBucket) drop(now time.Time) (int64, []Work, error) {
	ids, err := tb.open()
	if err != nil {
		return 0, nil, err
	}
	var open []Work
	retries := map[uint64]bool{}
	for _, id := range ids {
		r, err := tb.change(id)
		if err != nil {
			return 0, nil, err
		}
		if r.Reason == ReasonRetry {
			retries[id] = true
		}
		if r.Work.Status != "" && r.Work.Status != WorkDeleted {
			open = append(open, r.Work)
		}
		r.Dropped, r.DoneAt, r.Open, r.Behind = true, now.UTC(), nil, nil
		if _, err := tb.del(numKey(pfxOpen, id)); err != nil {
			return 0, nil, err
		}
	}
	if len(retries) > 0 {
		if err := tb.t.dead().reopenRetried(retries); err != nil {
			return 0, nil, err
		}
	}
	return int64(len(ids)), open, tb.prune()
}

// reset clears watermarks and notes of the old epoch and begins a new one.
func (tb metaBucket) reset() error {
	for _, key := range []string{keyWatermarks, keyCrash} {
		if err := tb.b.Delete([]byte(key)); err != nil {
			return err
		}
	}
	st, err := tb.changeState()
	if err != nil {
		return err
	}
	st.Epoch++
	st.StateKnown = true
	return nil
}

// empty clears a top-level bucket. Its sequence goes on, so that no key is given twice.
func (t *txn) empty(name string) error {
	seq := t.tx.Bucket([]byte(name)).Sequence()
	if err := t.tx.DeleteBucket([]byte(name)); err != nil {
		return err
	}
	b, err := t.tx.CreateBucket([]byte(name))
	if err != nil {
		return err
	}
	return b.SetSequence(seq)
}

// emptyBucket does the same inside another bucket.
func emptyBucket(parent *bolt.Bucket, name string) error {
	seq := parent.Bucket([]byte(name)).Sequence()
	if err := parent.DeleteBucket([]byte(name)); err != nil && !errors.Is(err, bolterr.ErrBucketNotFound) {
		return err
	}
	b, err := parent.CreateBucket([]byte(name))
	if err != nil {
		return err
	}
	return b.SetSequence(seq)
}

// forgetTables drops what the transaction remembers of buckets that were made anew.
func (t *txn) forgetTables() {
	t.tables = map[string]*table{}
	t.idRuns, t.idRunDirty = map[uint64]*idRun{}, map[uint64]bool{}
}
