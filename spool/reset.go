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
		c, err := t.meta().counters()
		if err != nil {
			return err
		}
		cleared = map[string]int64{
			"tasks": c.Tasks, "parked": c.Parked, "queued": c.Queued, "records": c.Records, "waiting": c.Waiting,
			"held": c.Held, "bundles": c.Bundles, "messages": c.Messages, "ids": c.IDs, "items": c.Items, "kept": c.Kept,
		}
		st, err := t.meta().state()
		if err != nil {
			return err
		}
		if err := t.moveAway(st.Epoch); err != nil {
			return err
		}
		*c = counters{Runs: c.Runs, Dead: c.Dead, Healed: c.Healed, HeldPublished: new(int64), Rejected: c.Rejected, Bytes: map[string]int64{
			bktRuns: c.Bytes[bktRuns], bktDead: c.Bytes[bktDead],
		}}
		if cleared["runs"], open, err = t.runs().drop(now); err != nil {
			return err
		}
		return t.meta().reset()
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
func (t *txn) removeGone() (int, error) {
	left := goneStep
	_, err := removeSome(t.tx.Bucket([]byte(bktGone)), &left)
	return goneStep - left, err
}

// removeSome removes rows of a bucket until left is used up, and reports whether the bucket is empty then.
func removeSome(b *bolt.Bucket, left *int) (bool, error) {
	var keys [][]byte
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if *left <= 0 {
			break
		}
		if v != nil {
			*left -= len(k) + len(v) + 64
			keys = append(keys, encoding.Clone(k))
			continue
		}
		if empty, err := removeSome(b.Bucket(k), left); err != nil || !empty {
			return false, err
		}
		*left--
		return false, b.DeleteBucket(encoding.Clone(k)) // the cursor does not survive it
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return false, err
		}
	}
	k, _ := b.Cursor().First()
	return k == nil, nil
}

// drop ends the open runs and returns their number and their open works.
func (tb runBucket) drop(now time.Time) (int64, []Work, error) {
	ids, err := tb.open()
	if err != nil {
		return 0, nil, err
	}
	var open []Work
	for _, id := range ids {
		r, err := tb.change(id)
		if err != nil {
			return 0, nil, err
		}
		if r.Work.Status != "" && r.Work.Status != WorkDeleted {
			open = append(open, r.Work)
		}
		r.Dropped, r.DoneAt, r.Open, r.Behind, r.TakeIn = true, now.UTC(), nil, nil, nil
		if _, err := tb.del(numKey(pfxOpen, id)); err != nil {
			return 0, nil, err
		}
	}
	for _, pfx := range []byte{pfxWork, pfxSalvage} { // what a salvage brought goes, too, so it may be brought again
		keys, err := tb.keys([]byte{pfx}, 0)
		if err == nil {
			err = tb.delAll(keys)
		}
		if err != nil {
			return 0, nil, err
		}
	}
	return int64(len(ids)), open, tb.prune()
}

// reset removes the watermarks and the crash mark of the old epoch and begins a new one.
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
