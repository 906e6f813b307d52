package spool

import (
	"time"

	bolt "go.etcd.io/bbolt"

	"threatmatch-connector/spool/internal/encoding"
)

// Reset starts over in one transaction: it empties tasks, records, waiting, held, bundles, cursors, ids, items, kept
// records and watermarks, ends the open runs (they stay in the list of runs, marked as dropped), keeps the dead
// letters, raises the epoch and marks the state as known. It moves the old buckets away as they are; Prune removes
// their rows in steps. The dead letters that the open runs retried are opened again in steps after the transaction;
// Open does what a kill leaves of them, and Prune what an error leaves. It returns what it cleared, by kind, and the
// works that were open.
func (s *Spool) Reset(now time.Time) (cleared map[string]int64, open []Work, err error) {
	err = s.update("reset", frees(), func(t *txn) error {
		c := t.counters()
		cleared = c.byName()
		delete(cleared, "dead")
		delete(cleared, "healed")
		st, err := t.meta().changeState()
		if err != nil {
			return err
		}
		if err := t.moveAway(st.Epoch); err != nil {
			return err
		}
		*c = counters{
			Counts:        Counts{Runs: c.Runs, Dead: c.Dead, Healed: c.Healed},
			HeldPublished: new(int64), Rejected: c.Rejected,
			Bytes: map[string]int64{bktRuns: c.Bytes[bktRuns], bktDead: c.Bytes[bktDead]},
		}
		cleared["runs"], open = t.runs().drop(now)
		t.meta().unset(keyWatermarks)
		t.meta().unset(keyCrash)
		st.Epoch++
		st.StateKnown = true
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	_ = s.reopenDropped() // the reset is done even if this fails
	return cleared, open, nil
}

// clearedBuckets are the buckets that a reset empties.
func clearedBuckets() []string {
	return []string{
		bktTasks, bktRecords, bktWaiting, bktWaitingByID, bktHeld, bktBundles, bktCursors, bktIDs, bktItems, bktKept,
	}
}

// moveAway moves the buckets that a reset empties below "gone", and puts empty ones in their place. Sequences
// continue, so that no key is given twice.
func (t *txn) moveAway(epoch uint64) error {
	to, err := t.tx.Bucket([]byte(bktGone)).CreateBucketIfNotExists(encoding.Num(epoch))
	if err != nil {
		return err
	}
	for _, name := range clearedBuckets() {
		old := t.tx.Bucket([]byte(name))
		seqs := map[string]uint64{"": old.Sequence()}
		for _, sub := range subBuckets(name) {
			seqs[sub] = old.Bucket([]byte(sub)).Sequence()
		}
		if err := t.tx.MoveBucket([]byte(name), nil, to); err != nil {
			return err
		}
		if err := makeBucket(t.tx, name, seqs); err != nil {
			return err
		}
	}
	t.tables, t.forgotten = map[string]*table{}, map[uint64]uint64{}
	return nil
}

// makeBucket makes a top-level bucket and its sub-buckets with the given sequences.
func makeBucket(tx *bolt.Tx, name string, seqs map[string]uint64) error {
	b, err := tx.CreateBucket([]byte(name))
	if err != nil {
		return err
	}
	if err := b.SetSequence(seqs[""]); err != nil {
		return err
	}
	for _, sub := range subBuckets(name) {
		in, err := b.CreateBucket([]byte(sub))
		if err == nil {
			err = in.SetSequence(seqs[sub])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func subBuckets(name string) []string {
	if name == bktIDs {
		return []string{subEntries, subLog, subForgotten}
	}
	return nil
}

// goneStep bounds the bytes that one transaction removes of what a reset moved away.
const goneStep = 4 << 20

// removeGone removes a step of what resets moved away and returns about how many bytes it was.
func (t *txn) removeGone() int {
	left := goneStep
	t.removeSome(t.tx.Bucket([]byte(bktGone)), &left)
	return goneStep - left
}

// removeSome removes rows of a bucket until left is used up, and reports whether the bucket is empty then.
func (t *txn) removeSome(b *bolt.Bucket, left *int) (empty bool) {
	var keys [][]byte
	c := b.Cursor()
	for k, v := c.First(); k != nil && *left > 0; k, v = c.Next() {
		if v != nil {
			*left -= len(k) + len(v) + 64
			keys = append(keys, encoding.Clone(k))
			continue
		}
		if t.removeSome(b.Bucket(k), left) {
			*left--
			t.fail(bktGone, b.DeleteBucket(encoding.Clone(k)))
		}
		return false // the cursor does not survive it
	}
	for _, k := range keys {
		t.fail(bktGone, b.Delete(k))
	}
	k, _ := b.Cursor().First()
	return k == nil
}

// drop ends the open runs and returns their number and their open works.
func (tb runBucket) drop(now time.Time) (n int64, open []Work) {
	for _, r := range tb.open() {
		if r.Work.Status != "" && r.Work.Status != WorkDeleted {
			open = append(open, r.Work)
		}
		r.Dropped, r.DoneAt, r.Open, r.Behind, r.TakeIn = true, now.UTC(), nil, nil, nil
		r.dirty = true
		tb.del(numKey(pfxOpen, r.ID))
		n++
	}
	for _, pfx := range []byte{pfxWork, pfxSalvage} { // what a salvage brought goes, too, so it may be brought again
		tb.delAll(tb.keys([]byte{pfx}, 0))
	}
	tb.prune()
	return n, open
}
