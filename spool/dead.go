package spool

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// A dead letter has one row for its head and one for its payload, so that healing it or counting it again does not
// write the payload again.

func (tb deadBucket) add(now time.Time, d DeadLetter, body encoding.Packed) {
	d.Last = cmp.Or(d.Last, now)
	d.First = cmp.Or(d.First, d.Last)
	same := equalKey(d)
	old, ok := tb.head(encoding.U64(tb.get(same), 0))
	if old.Payload = d.Payload; ok && old.Err == nil && bytes.Equal(equalKey(old), same) {
		tb.failedAgain(old, d)
		return
	}
	d.Key, d.Healed, d.Retried, d.RetryRun = tb.next(), time.Time{}, time.Time{}, 0
	tb.sealBlob(numKey(pfxPayload, d.Key), nil, body)
	tb.put(numKey(pfxOpenDL, d.Key), []byte{})
	tb.put(sourceKey(d), []byte{})
	tb.put(same, encoding.Num(d.Key))
	tb.count(d, 1, 0)
	tb.putHead(d)
}

// failedAgain counts d in the dead letter old that equals it. old is open again if it was healed.
func (tb deadBucket) failedAgain(old, d DeadLetter) {
	old.Attempts += max(1, d.Attempts)
	old.Last, old.Run, old.Error = d.Last, d.Run, d.Error
	tb.reopen(old)
}

// reopen stores a dead letter's head as open.
func (tb deadBucket) reopen(d DeadLetter) {
	if !d.Healed.IsZero() {
		d.Healed = time.Time{}
		tb.put(numKey(pfxOpenDL, d.Key), []byte{})
		tb.count(d, 1, -1)
	}
	tb.putHead(d)
}

// count adds to the counters of open and healed dead letters; d says of which stage they are.
func (tb deadBucket) count(d DeadLetter, open, healed int64) {
	c := tb.t.counters()
	c.Dead, c.Healed = c.Dead+open, c.Healed+healed
	switch {
	case open != 0 && d.Err != nil:
		c.Rejected = nil // its stage is unknown, so they are counted again
	case d.Stage == StagePlatform && c.Rejected != nil:
		*c.Rejected += open
	}
}

// countRejected counts the open dead letters of stage platform, in a file of a version that did not count them, and
// after a damaged one was removed.
func (tb deadBucket) countRejected() *int64 {
	n := new(int64)
	for k := range tb.rows([]byte{pfxOpenDL}) {
		if d, ok := tb.head(encoding.U64(k, 1)); ok && d.Err == nil && d.Stage == StagePlatform {
			*n++
		}
	}
	return n
}

// equalKey is the key of the dead letter that differs from d only in times, run and text. So what fails in the same
// way in every run, or when it is retried, is one dead letter.
func equalKey(d DeadLetter) []byte {
	h := sha256.New()
	var b []byte
	for _, part := range []string{string(d.Stage), d.Class, string(d.Dataset), d.Source, d.STIX} {
		b = encoding.AppendString(b, part)
	}
	_, _ = h.Write(b)
	_, _ = h.Write(d.Payload)
	return prefixed(pfxEqual, h.Sum(nil)[:16])
}

// sourceKey is the key that finds a dead letter by its item and its object. What is too long for a key is cut, so
// callers compare the whole values. What the platform refused is found by its object alone: a copy from any item
// heals it.
func sourceKey(d DeadLetter) []byte {
	if d.Stage == StagePlatform {
		return encoding.PutU64(sourcePrefix("", "", d.STIX), d.Key)
	}
	return encoding.PutU64(sourcePrefix(d.Dataset, d.Source, d.STIX), d.Key)
}

func retriedKey(run, key uint64) []byte { return pairKey(pfxRetried, run, key) }

// readBytes bounds the bytes that a reader of large rows returns at once.
const readBytes = 8 << 20

// healMost bounds how many dead letters of one source and object are looked at.
const healMost = 1000

// heal marks the open dead letters of a source and object as healed, since these succeeded; stix is "" for those
// about no single object.
func (tb deadBucket) heal(now time.Time, d Dataset, source, stix string) {
	if source != "" {
		tb.healAll(now, sourcePrefix(d, source, stix), func(l DeadLetter) bool {
			return l.Source == source && l.STIX == stix && (l.Stage != StageFetch || stix == "")
		})
	}
}

// healRejected marks the open dead letters of an object that the platform refused as healed. If it refuses the new
// copy, too, they are opened again.
func (tb deadBucket) healRejected(now time.Time, stix string) {
	tb.healAll(now, sourcePrefix("", "", stix), func(l DeadLetter) bool {
		return l.Stage == StagePlatform && l.STIX == stix
	})
}

func (tb deadBucket) healAll(now time.Time, prefix []byte, of func(DeadLetter) bool) {
	if !tb.has(prefix) { // the usual case, and cheap
		return
	}
	for _, k := range tb.keys(prefix, healMost) {
		if l, ok := tb.head(encoding.U64(k, len(k)-8)); ok && l.Err == nil && l.Healed.IsZero() && of(l) {
			tb.close(l, now)
		}
	}
}

// healPublished marks dead letters as healed whose objects are handed over now: those of map and deliver if the
// object comes from the same source, and those of the platform.
func (tb deadBucket) healPublished(now time.Time, bundles []NewBundle) {
	if tb.t.counters().Dead == 0 {
		return
	}
	for _, b := range bundles {
		for _, o := range b.Objects {
			tb.heal(now, o.Dataset, o.Source, o.STIX)
			tb.healRejected(now, o.STIX)
		}
	}
}

// close stores a dead letter's head as healed now. It can still be found if it fails again.
func (tb deadBucket) close(d DeadLetter, now time.Time) {
	d.Healed = now.UTC()
	tb.del(numKey(pfxOpenDL, d.Key))
	tb.count(d, -1, 1)
	tb.putHead(d)
}

// reopenRetried opens up to limit dead letters again that the run retries, since it ends before it is known whether
// that helped; limit 0 means all.
func (tb deadBucket) reopenRetried(run uint64, limit int) {
	keys := tb.keys(numKey(pfxRetried, run), limit)
	for _, k := range keys {
		if d, ok := tb.head(encoding.U64(k, 9)); ok && d.Err == nil && d.RetryRun == run && d.Healed.Equal(d.Retried) {
			tb.reopen(d)
		}
	}
	tb.delAll(keys)
}

// reopenDropped opens the dead letters again that runs retried which a reset dropped, in bounded steps.
func (s *Spool) reopenDropped() error {
	for {
		var run uint64
		err := s.view("look for dropped retries", func(t *txn) error { run = t.dead().droppedRetry(); return nil })
		if err != nil || run == 0 {
			return err
		}
		err = s.update("open letters again", frees(), func(t *txn) error { t.dead().reopenRetried(run, taskStep); return nil })
		if err != nil {
			return err
		}
	}
}

// droppedRetry returns a dropped run whose dead letters are not opened again yet; 0 if there is none.
func (tb deadBucket) droppedRetry() (run uint64) {
	for {
		k, _ := tb.first([]byte{pfxRetried}, numKey(pfxRetried, run))
		if k == nil {
			return 0
		}
		if run = encoding.U64(k, 1); tb.t.runs().dropped(run) {
			return run
		}
		run++
	}
}

func (tb deadBucket) putHead(d DeadLetter) {
	d.First, d.Last = d.First.UTC(), d.Last.UTC()
	tb.sealBlob(numKey(pfxDead, d.Key), d, encoding.Packed{})
}

// head reads a dead letter without its payload. If its checksum fails, Err is set.
func (tb deadBucket) head(key uint64) (DeadLetter, bool) {
	k := numKey(pfxDead, key)
	v := tb.blob(k, nil)
	if v == nil {
		return DeadLetter{}, false
	}
	var d DeadLetter
	_, err := encoding.Open(k, v, &d)
	if d.Key = key; err != nil {
		d.Err = fmt.Errorf("dead letter %d: %w", key, err)
	}
	return d, true
}

// read reads a whole dead letter. If it is damaged, Err is set and Payload is what can be read.
func (tb deadBucket) read(key uint64) (DeadLetter, bool) {
	d, ok := tb.head(key)
	if !ok {
		return d, false
	}
	k := numKey(pfxPayload, key)
	body, err := tb.open(k, nil, nil)
	if d.Payload = body; err != nil && d.Err == nil {
		d.Err = fmt.Errorf("payload of dead letter %d: %w", key, err)
	}
	return d, true
}

// DeadLetters returns up to limit dead letters with Key > after, oldest first, healed ones included. It returns fewer
// if they are large, but at least one while there are any.
func (s *Spool) DeadLetters(after uint64, limit int) (out []DeadLetter, err error) {
	var size int
	err = s.view("read dead letters", func(t *txn) error {
		for k := range t.dead().entries([]byte{pfxDead}, past(numKey(pfxDead, after)), 8) {
			if len(out) >= limit || size >= readBytes {
				break
			}
			if d, ok := t.dead().read(encoding.U64(k, 1)); ok {
				d.NoRetry = t.dead().noRetry(d)
				out = append(out, d)
				size += len(d.Payload)
			}
		}
		return nil
	})
	return out, err
}

// OpenDeadLetters returns up to limit dead letters with Key > after that are not healed, oldest first, without their
// payloads. Stats has their number.
func (s *Spool) OpenDeadLetters(after uint64, limit int) (out []DeadLetter, err error) {
	err = s.view("read open dead letters", func(t *txn) error {
		for k := range t.dead().rowsFrom([]byte{pfxOpenDL}, past(numKey(pfxOpenDL, after))) {
			if len(out) >= limit {
				break
			}
			if d, ok := t.dead().head(encoding.U64(k, 1)); ok {
				out = append(out, d)
			}
		}
		return nil
	})
	return out, err
}
