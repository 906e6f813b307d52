package spool

import (
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// The most that one call of Prune removes, and one of its transactions.
const (
	pruneLimit = 50_000
	pruneStep  = 2_000
)

// Kinds in Prune's result.
const (
	PrunedReset     = "reset"         // KiB of rows that a reset moved away
	PrunedKept      = "kept"          // kept records past their time, or removed to make room
	PrunedForgotten = "ids_forgotten" // ids not seen since the given time
	PrunedEvicted   = "ids_evicted"   // the oldest ids above a quarter of MaxSize
)

// Prune removes what may go first when room is short or time is up: kept records past their time (and more of them,
// oldest first, while the spool exceeds MaxSize), ids not seen since forgetBefore, and the oldest ids above a quarter
// of MaxSize. It returns counts by kind. One call is bounded; call it about once a minute and when room is short. It
// works in transactions of bounded size, each complete in itself. It also makes the reserve file again once the disk
// has room.
func (s *Spool) Prune(now, forgetBefore time.Time) (map[string]int64, error) {
	out := map[string]int64{}
	s.room.isShort()
	if err := s.reopenDropped(); err != nil {
		return out, err
	}
	if err := s.pruneItems(laterOf(forgetBefore, s.evictedUpTo())); err != nil {
		return out, err
	}
	for done := 0; done < pruneLimit; {
		over := s.room.live() - s.room.max
		n, kind, err := s.pruneOnce(now, forgetBefore, over)
		if err != nil {
			return out, err
		}
		if n == 0 {
			break
		}
		out[kind] += int64(n)
		done += n
	}
	return out, nil
}

// pruneOnce is one transaction of Prune: it removes entries of one kind.
func (s *Spool) pruneOnce(now, forgetBefore time.Time, over int64) (n int, kind string, err error) {
	todo, err := s.anythingToPrune(now, forgetBefore, over)
	if err != nil || !todo {
		return 0, "", err
	}
	var evicted time.Time
	err = s.update("prune", frees(), func(t *txn) error {
		if n = t.removeGone(); n > 0 {
			kind, n = PrunedReset, max(n>>10, 1)
			return nil
		}
		if n = t.kept().prune(now.Add(-t.keep), over); n > 0 {
			kind = PrunedKept
			return nil
		}
		if n = t.ids().prune(func(e storedID) bool { return e.At.Before(forgetBefore) }); n > 0 {
			kind = PrunedForgotten
			return nil
		}
		kind = PrunedEvicted
		n, evicted = t.ids().evict(s.room.max / 4)
		return nil
	})
	if err == nil && n > 0 && kind == PrunedEvicted {
		s.pruning.Lock()
		s.evicted = laterOf(s.evicted, evicted)
		s.pruning.Unlock()
	}
	return n, kind, err
}

// evictedUpTo returns when the newest id was written that had to make room in this process. Items of that time go
// with it.
func (s *Spool) evictedUpTo() time.Time {
	s.pruning.Lock()
	defer s.pruning.Unlock()
	return s.evicted
}

func laterOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// pruneItems removes what is old of a step of the items, and the marks of forgotten runs that have no entry left.
func (s *Spool) pruneItems(before time.Time) error {
	s.pruning.Lock()
	defer s.pruning.Unlock()
	var gone, marks [][]byte
	var last []byte
	look := func(t *txn) {
		gone, last = t.items().old(s.itemsAt, before)
		marks = t.ids().endedMarks()
	}
	err := s.view("look what to prune", func(t *txn) error { look(t); return nil })
	if err == nil && len(gone)+len(marks) > 0 {
		err = s.update("prune items", frees(), func(t *txn) error {
			look(t) // once more: a row may be new since
			t.ids().marks().delAll(marks)
			t.items().delAll(gone)
			t.counters().Items -= int64(len(gone))
			return nil
		})
	}
	if err == nil {
		s.itemsAt = last
	}
	return err
}

// endedMarks returns the marks below the oldest row of the log.
func (tb idBucket) endedMarks() (out [][]byte) {
	first, _ := tb.log().seek(nil)
	for k, v := range tb.marks().rows(nil) {
		if mark, err := encoding.DecodeMark(k, v); err == nil && (first == nil || mark < encoding.U64(first, 0)) {
			out = append(out, encoding.Clone(k))
		}
		if len(out) == pruneStep {
			break
		}
	}
	return out
}

// anythingToPrune looks first, so that an idle spool is not written to.
func (s *Spool) anythingToPrune(now, forgetBefore time.Time, over int64) (todo bool, err error) {
	err = s.view("look what to prune", func(t *txn) error {
		if k, _ := t.kept().seek(nil); k != nil {
			todo = over > 0 || !encoding.TimeAt(k, 0).After(now.Add(-t.keep))
		}
		if k, v := t.ids().log().seek(nil); k != nil {
			e, ok := t.ids().logEntry(v)
			todo = todo || !ok || e.At.Before(forgetBefore)
		}
		k, _ := t.tab(bktGone).seek(nil)
		todo = todo || k != nil || idSpace(t.counters()) > s.room.max/4
		return nil
	})
	return todo, err
}

// idSpace estimates the bytes of the pages of ids: each row has an element of 16 bytes, and pages are two thirds full
// if keys come at random.
func idSpace(c *counters) int64 {
	return (c.Bytes[bktIDs] + c.IDs*2*16) * 3 / 2
}

// prune removes kept records from before the given time, and then the oldest ones until they make up for over bytes.
func (tb keptBucket) prune(before time.Time, over int64) int {
	var gone [][]byte
	for k, v := range tb.rows(nil) {
		first := len(k) == 24 // else a further fragment of the one before
		if first && (len(gone) >= pruneStep || over <= 0 && encoding.TimeAt(k, 0).After(before)) {
			break
		}
		if first {
			gone = append(gone, encoding.Clone(k))
		}
		over -= int64(len(v))
	}
	for _, k := range gone {
		tb.delBlob(k)
	}
	tb.t.counters().Kept -= int64(len(gone))
	return len(gone)
}

// logEntry returns the entry of a log row; false if it cannot be read.
func (tb idBucket) logEntry(row []byte) (storedID, bool) {
	_, key, ok := cutLogRow(row)
	if !ok {
		return storedID{}, false
	}
	v := tb.entries().get(key)
	if v == nil {
		return storedID{}, false
	}
	e, err := decodeEntry(key, v)
	return e, err == nil
}

// prune removes the oldest entries for as long as gone reports true.
func (tb idBucket) prune(gone func(storedID) bool) int {
	var rows, keys [][]byte
	for k, v := range tb.log().rows(nil) {
		e, ok := tb.logEntry(v)
		if len(keys) >= pruneStep || ok && !gone(e) {
			break
		}
		_, key, _ := cutLogRow(v)
		rows, keys = append(rows, encoding.Clone(k)), append(keys, encoding.Clone(key))
	}
	for _, key := range keys {
		tb.remove(key)
	}
	tb.log().delAll(rows) // those without an entry
	return len(keys)
}

// evict removes the oldest entries while ids take more than limit bytes. last is when the newest of them was written.
func (tb idBucket) evict(limit int64) (n int, last time.Time) {
	c := tb.t.counters()
	excess := idSpace(c) - limit
	if excess <= 0 || c.IDs == 0 {
		return 0, last
	}
	each := max(idSpace(c)/c.IDs, 1)
	left := excess/each + 1
	n = tb.prune(func(e storedID) bool {
		if left--; left < 0 {
			return false
		}
		last = laterOf(last, e.At)
		return true
	})
	return n, last
}
