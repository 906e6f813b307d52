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
	n.Fetched = n.Fetched.UTC()
	tb.sealBlob(encoding.Pair(r.ID, tb.next()), n, body)
	tb.t.counters().Records++
	return nil
}

// Records returns up to maxCount records of the run with Seq > after, until their bodies exceed maxBytes (at least
// one). If the checksum of one fails, its Err is set.
func (s *Spool) Records(run, after uint64, maxCount int, maxBytes int64) (out []Record, err error) {
	var size int64
	err = s.view("read records", func(t *txn) error {
		for k, v := range t.records().entries(encoding.Num(run), past(encoding.Pair(run, after)), 8) {
			if len(out) >= maxCount {
				break
			}
			r := t.records().record(k, v)
			size += int64(len(r.Body))
			if len(out) > 0 && size > maxBytes {
				break
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// record reads a record or a kept one, whose key ends in run and seq.
func (tb *table) record(k, v []byte) Record {
	ident := k[len(k)-16:]
	r := Record{Run: encoding.U64(ident, 0), Seq: encoding.U64(ident, 8)}
	var err error
	if r.Body, err = tb.openAs(ident, k, v, &r.NewRecord); err != nil {
		r.Err = fmt.Errorf("record %d/%d: %w", r.Run, r.Seq, err)
	}
	return r
}

// consume removes a record after it was mapped, and keeps a copy if that is wanted.
func (tb recordBucket) consume(now time.Time, run, seq uint64) error {
	key := encoding.Pair(run, seq)
	first := tb.get(key)
	if first == nil {
		return fmt.Errorf("record %d/%d: %w", run, seq, ErrNotFound)
	}
	c := tb.t.counters()
	if tb.t.keep > 0 {
		tb.t.kept().putBlob(keptKey(now, run, seq), encoding.Clone(tb.blob(key, first)))
		c.Kept++
	}
	tb.delBlob(key)
	c.Records--
	return nil
}
