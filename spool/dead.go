package spool

import (
	"bytes"
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// deadHead is what stands beside a dead letter's payload.
type deadHead struct {
	Stage    Stage     `json:"stage"`
	Class    string    `json:"class"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Run      uint64    `json:"run"`
	Dataset  Dataset   `json:"dataset"`
	Source   string    `json:"source"`
	STIX     string    `json:"stix,omitempty"`
	Healed   time.Time `json:"healed,omitzero"`
	Retried  time.Time `json:"retried,omitzero"`
	RetryRun uint64    `json:"retry_run,omitempty"`
}

func (d DeadLetter) head() deadHead {
	return deadHead{
		d.Stage, d.Class, d.Error, d.Attempts, d.First.UTC(), d.Last.UTC(), d.Run,
		d.Dataset, d.Source, d.STIX, d.Healed, d.Retried, d.RetryRun,
	}
}

func (tb deadBucket) addLetter(now time.Time, d DeadLetter) error {
	return tb.add(now, d, encoding.Pack(d.Payload))
}

func (tb deadBucket) add(now time.Time, d DeadLetter, body encoding.Packed) error {
	if d.Last.IsZero() {
		d.Last = now
	}
	if d.First.IsZero() {
		d.First = d.Last
	}
	if old, ok := tb.same(d); ok {
		return tb.failedAgain(old, d, body)
	}
	key, err := tb.next()
	if err != nil {
		return err
	}
	d.Key, d.Healed, d.Retried, d.RetryRun = key, time.Time{}, time.Time{}, 0
	if err := tb.store(d, body); err != nil {
		return err
	}
	if err := tb.put(numKey(pfxOpenDL, key), []byte{}); err != nil {
		return err
	}
	if err := tb.put(sourceKey(d), []byte{}); err != nil {
		return err
	}
	return tb.t.meta().count(func(c *counters) { c.Dead++ })
}

// failedAgain counts a dead letter in the one that it equals, which is open
// again if it was healed.
func (tb deadBucket) failedAgain(old, d DeadLetter, body encoding.Packed) error {
	if !old.Healed.IsZero() {
		old.Healed = time.Time{}
		if err := tb.put(numKey(pfxOpenDL, old.Key), []byte{}); err != nil {
			return err
		}
		if err := tb.t.meta().count(func(c *counters) { c.Dead++; c.Healed-- }); err != nil {
			return err
		}
	}
	old.Attempts += max(1, d.Attempts)
	old.Last, old.Run, old.Error = d.Last, d.Run, d.Error
	return tb.store(old, body)
}

// lookBack is how many dead letters of a source are looked at for an equal one.
const lookBack = 16

// same returns the dead letter that differs from d in no more than time, run
// and text, so that what fails alike in every run, or when it is tried again, is
// one letter.
func (tb deadBucket) same(d DeadLetter) (DeadLetter, bool) {
	for _, l := range tb.lettersOf(d.Dataset, d.Source, lookBack) {
		if l.Stage == d.Stage && l.Class == d.Class && l.STIX == d.STIX && bytes.Equal(l.Payload, d.Payload) {
			return l, true
		}
	}
	return DeadLetter{}, false
}

// lettersOf returns the newest dead letters of a source that can be read.
func (tb deadBucket) lettersOf(dataset Dataset, source string, limit int) []DeadLetter {
	prefix := sourcePrefix(dataset, source[:min(len(source), MaxID)])
	c := tb.b.Cursor()
	k, _ := c.Seek(encoding.PutU64(encoding.Clone(prefix), ^uint64(0)))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	var out []DeadLetter
	for n := 0; n < limit && k != nil && hasPrefix(k, prefix); n++ {
		if l, ok := tb.read(encoding.U64(k, len(k)-8)); ok && l.Err == nil && l.Source == source {
			out = append(out, l)
		}
		k, _ = c.Prev()
	}
	return out
}

// sourceKey finds a dead letter by what it came from. A source id that is too
// long for a key is cut: at worst a dead letter of a like-named source is
// looked at, and heal compares the whole.
func sourceKey(d DeadLetter) []byte {
	return encoding.PutU64(sourcePrefix(d.Dataset, d.Source[:min(len(d.Source), MaxID)]), d.Key)
}

func (tb deadBucket) store(d DeadLetter, body encoding.Packed) error {
	key := numKey(pfxDead, d.Key)
	v, err := encoding.Seal(key, d.head(), body)
	if err != nil {
		return err
	}
	return tb.putBlob(key, v)
}

// read reads one dead letter; one that fails its checksum comes with Err set.
func (tb deadBucket) read(key uint64) (DeadLetter, bool) {
	k := numKey(pfxDead, key)
	v := tb.blob(k, nil)
	if v == nil {
		return DeadLetter{}, false
	}
	var h deadHead
	body, err := encoding.Open(k, v, &h)
	d := DeadLetter{
		Key: key, Stage: h.Stage, Class: h.Class, Error: h.Error, Attempts: h.Attempts,
		First: h.First, Last: h.Last, Run: h.Run, Dataset: h.Dataset, Source: h.Source,
		STIX: h.STIX, Healed: h.Healed, Retried: h.Retried, RetryRun: h.RetryRun, Payload: body,
	}
	if err != nil {
		d.Err = fmt.Errorf("dead letter %d: %w", key, err)
	}
	return d, true
}

// heal marks the dead letters of a source id that now succeeded. What is known
// by the id of its object is healed by that object: see healPublished.
func (tb deadBucket) heal(now time.Time, d Dataset, source string) error {
	if source == "" {
		return nil
	}
	prefix := sourcePrefix(d, source[:min(len(source), MaxID)])
	if !tb.has(prefix) {
		return nil
	}
	keys, err := tb.keys(prefix, 0)
	if err != nil {
		return err
	}
	for _, k := range keys {
		l, ok := tb.read(encoding.U64(k, len(k)-8))
		if !ok || l.Err != nil || l.Source != source || !l.Healed.IsZero() || l.Stage != StageFetch && l.STIX != "" {
			continue
		}
		l.Healed = now.UTC()
		if err := tb.close(l); err != nil {
			return err
		}
	}
	return nil
}

// healBack is how many dead letters of a source are looked at when objects of it
// are published.
const healBack = 200

// healPublished marks the dead letters of map and deliver whose objects, from
// the same source, are handed over now.
func (tb deadBucket) healPublished(now time.Time, bundles []NewBundle) error {
	c, err := tb.t.meta().counters()
	if err != nil || c.Dead == 0 {
		return err
	}
	type origin struct {
		dataset Dataset
		source  string
	}
	out := map[origin]map[string]bool{}
	for _, b := range bundles {
		for _, o := range b.Objects {
			from := origin{o.Dataset, o.Source}
			if out[from] == nil {
				out[from] = map[string]bool{}
			}
			out[from][o.STIX] = true
		}
	}
	for from, ids := range out {
		for _, l := range tb.lettersOf(from.dataset, from.source, healBack) {
			if !l.Healed.IsZero() || l.Stage == StageFetch || l.STIX == "" || !ids[l.STIX] {
				continue
			}
			l.Healed = now.UTC()
			if err := tb.close(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// reopenRetried opens the dead letters again that a run took back which ends
// before it is known whether that helped.
func (tb deadBucket) reopenRetried(runs map[uint64]bool) error {
	var again []DeadLetter
	err := tb.scan([]byte{pfxDead}, nil, func(k, _ []byte) (bool, error) {
		if len(k) != 9 || tb.get(numKey(pfxOpenDL, encoding.U64(k, 1))) != nil {
			return true, nil
		}
		if d, ok := tb.read(encoding.U64(k, 1)); ok && d.Err == nil && runs[d.RetryRun] && d.Healed.Equal(d.Retried) {
			d.Payload = encoding.Clone(d.Payload)
			again = append(again, d)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, d := range again {
		d.Healed = time.Time{}
		if err := tb.store(d, encoding.Pack(d.Payload)); err != nil {
			return err
		}
		if err := tb.put(numKey(pfxOpenDL, d.Key), []byte{}); err != nil {
			return err
		}
		if err := tb.t.meta().count(func(c *counters) { c.Dead++; c.Healed-- }); err != nil {
			return err
		}
	}
	return nil
}

// close stores a dead letter that is healed now. It can still be found by
// its source, should it fail again.
func (tb deadBucket) close(d DeadLetter) error {
	if err := tb.store(d, encoding.Pack(d.Payload)); err != nil {
		return err
	}
	if _, err := tb.del(numKey(pfxOpenDL, d.Key)); err != nil {
		return err
	}
	return tb.t.meta().count(func(c *counters) { c.Dead--; c.Healed++ })
}

// unindex takes a dead letter out of the indices.
func (tb deadBucket) unindex(d DeadLetter) error {
	if _, err := tb.del(numKey(pfxOpenDL, d.Key)); err != nil {
		return err
	}
	if d.Err == nil {
		_, err := tb.del(sourceKey(d))
		return err
	}
	keys, err := tb.keys([]byte{pfxSource}, 0)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if encoding.U64(k, len(k)-8) != d.Key {
			continue
		}
		if _, err := tb.del(k); err != nil {
			return err
		}
	}
	return nil
}

// DeadLetters returns up to limit dead letters with Key > after, oldest first,
// healed ones among them.
func (s *Spool) DeadLetters(after uint64, limit int) ([]DeadLetter, error) {
	var out []DeadLetter
	err := s.view("read dead letters", func(t *txn) error {
		if after == ^uint64(0) {
			return nil
		}
		return t.tab(bktDead).scan([]byte{pfxDead}, numKey(pfxDead, after+1), func(k, _ []byte) (bool, error) {
			if len(out) >= limit {
				return false, nil
			}
			if len(k) != 9 {
				return true, nil
			}
			if d, ok := t.dead().read(encoding.U64(k, 1)); ok {
				out = append(out, d)
			}
			return true, nil
		})
	})
	return out, err
}

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
	d, ok := tb.read(key)
	if !ok {
		return fmt.Errorf("dead letter %d: %w", key, ErrNotFound)
	}
	healed := tb.get(numKey(pfxOpenDL, key)) == nil
	if err := tb.unindex(d); err != nil {
		return err
	}
	if _, err := tb.delBlob(numKey(pfxDead, key)); err != nil {
		return err
	}
	return tb.t.meta().count(func(c *counters) {
		if healed {
			c.Healed--
		} else {
			c.Dead--
		}
	})
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
