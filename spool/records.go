package spool

import (
	"fmt"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

func (tb recordBucket) add(r *storedRun, n NewRecord, body encoding.Packed) error {
	if err := checkLen("source id", string(n.Dataset), n.Source); err != nil {
		return err
	}
	seq, err := tb.next()
	if err != nil {
		return err
	}
	key := encoding.Pair(r.ID, seq)
	n.Fetched = n.Fetched.UTC()
	if err := tb.putSealed(key, n, body); err != nil {
		return err
	}
	return tb.t.meta().count(func(c *counters) { c.Records++ })
}

// Records returns up to maxCount records of the run with Seq > after, until their bodies exceed maxBytes (at least
// one). If the checksum of one fails, its Err is set.
func (s *Spool) Records(run, after uint64, maxCount int, maxBytes int64) ([]Record, error) {
	var out []Record
	var size int64
	err := s.view("read records", func(t *txn) error {
		if after == ^uint64(0) {
			return nil
		}
		return t.tab(bktRecords).scan(encoding.Num(run), encoding.Pair(run, after+1), func(k, v []byte) (bool, error) {
			if len(out) >= maxCount {
				return false, nil
			}
			if len(k) != 16 {
				return true, nil // a further fragment
			}
			r := t.records().read(k, v)
			size += int64(len(r.Body))
			if len(out) > 0 && size > maxBytes {
				return false, nil
			}
			out = append(out, r)
			return true, nil
		})
	})
	return out, err
}

func (tb recordBucket) read(k, v []byte) Record {
	r := Record{Run: encoding.U64(k, 0), Seq: encoding.U64(k, 8)}
	var err error
	if r.Body, err = tb.open(k, v, &r.NewRecord); err != nil {
		r.Err = fmt.Errorf("record %d/%d: %w", r.Run, r.Seq, err)
	}
	return r
}

// consume removes a record after it was mapped, and keeps a copy if that is wanted.
func (tb recordBucket) consume(now time.Time, run, seq uint64) error {
	tb, key := tb, encoding.Pair(run, seq)
	first := tb.get(key)
	if first == nil {
		return fmt.Errorf("record %d/%d: %w", run, seq, ErrNotFound)
	}
	if tb.t.keep > 0 {
		if err := tb.t.tab(bktKept).putBlob(keptKey(now, run, seq), encoding.Clone(tb.blob(key, first))); err != nil {
			return err
		}
	}
	if _, err := tb.delBlob(key); err != nil {
		return err
	}
	return tb.t.meta().count(func(c *counters) {
		c.Records--
		if tb.t.keep > 0 {
			c.Kept++
		}
	})
}
