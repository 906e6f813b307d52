package spool

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"threatmatch-connector/spool/internal/encoding"
)

// The bucket items knows what became of an item after its record is gone. A row takes some 40 bytes.

func itemKey(d Dataset, source string) []byte {
	return encoding.PutString(encoding.PutString(nil, string(d)), source[:min(len(source), MaxID)])
}

// put stores what became of items. A value is run, objects and time in s (varints), and a checksum.
func (tb itemBucket) put(list []Item) {
	for _, it := range list {
		key := itemKey(it.Dataset, it.Source)
		if old := tb.get(key); old == nil {
			tb.t.counters().Items++
		} else if had, err := decodeItem(key, old); err == nil && had.Run == it.Run {
			it.Objects += had.Objects // a large item is several records
		}
		b := binary.AppendUvarint(nil, it.Run)
		b = binary.AppendUvarint(b, uint64(max(it.Objects, 0)))
		b = binary.AppendVarint(b, it.At.Unix())
		tb.table.put(key, encoding.Sum(key, b))
	}
}

func decodeItem(key, v []byte) (Item, error) {
	var it Item
	d, rest, ok1 := encoding.CutString(key)
	source, rest, ok2 := encoding.CutString(rest)
	it.Dataset, it.Source = Dataset(d), source
	value, ok3 := encoding.CutSum(key, v)
	if !ok1 || !ok2 || !ok3 || len(rest) > 0 {
		return it, fmt.Errorf("item %s/%s: %w", d, source, ErrCorrupt)
	}
	r := encoding.Reader{B: value}
	it.Run, it.Objects = r.Uvarint(), int(min(r.Uvarint(), math.MaxInt32))
	it.At = time.Unix(r.Varint(), 0).UTC()
	return it, nil
}

// Items returns what is remembered of a source id in dataset d, or in every dataset if d is "".
func (s *Spool) Items(d Dataset, source string) (out []Item, err error) {
	datasets := Datasets()
	if d != "" {
		datasets = []Dataset{d}
	}
	err = s.view("find item "+source, func(t *txn) error {
		for _, d := range datasets {
			key := itemKey(d, source)
			if it, err := decodeItem(key, t.items().get(key)); err == nil { // else it is unknown, or Verify reports it
				out = append(out, it)
			}
		}
		return nil
	})
	return out, err
}

// old returns the keys of those of the next rows after from that are of before the given time, and the last key that it
// looked at, nil at the end.
func (tb itemBucket) old(from []byte, before time.Time) (gone [][]byte, last []byte) {
	looked := 0
	for k, v := range tb.rowsFrom(nil, past(from)) {
		if looked++; looked > pruneStep {
			return gone, last
		}
		last = encoding.Clone(k)
		if it, err := decodeItem(k, v); err != nil || it.At.Before(before) {
			gone = append(gone, last)
		}
	}
	return gone, nil
}
