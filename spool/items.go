package spool

import (
	"encoding/binary"
	"errors"
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
func (tb itemBucket) put(list []Item) error {
	for _, it := range list {
		key := itemKey(it.Dataset, it.Source)
		if old := tb.get(key); old != nil {
			// A large item is several records.
			if had, err := decodeItem(key, old); err == nil && had.Run == it.Run {
				it.Objects += had.Objects
			}
		} else {
			if err := tb.t.meta().count(func(c *counters) { c.Items++ }); err != nil {
				return err
			}
		}
		b := binary.AppendUvarint(nil, it.Run)
		b = binary.AppendUvarint(b, uint64(max(it.Objects, 0)))
		b = binary.AppendVarint(b, it.At.Unix())
		if err := tb.table.put(key, encoding.Sum(key, b)); err != nil {
			return err
		}
	}
	return nil
}

func decodeItem(key, v []byte) (Item, error) {
	var it Item
	d, rest, ok1 := encoding.CutString(key)
	source, _, ok2 := encoding.CutString(rest)
	it.Dataset, it.Source = Dataset(d), source
	if !ok1 || !ok2 || len(v) < 4 || string(encoding.Sum(key, v[:len(v)-4:len(v)-4])) != string(v) {
		return it, fmt.Errorf("item %s/%s: %w", d, source, ErrCorrupt)
	}
	r := encoding.Reader{B: v[:len(v)-4]}
	it.Run, it.Objects = r.Uvarint(), int(min(r.Uvarint(), math.MaxInt32))
	it.At = time.Unix(r.Varint(), 0).UTC()
	return it, nil
}

// Items returns what is remembered of a source id in dataset d, or in every dataset if d is "".
func (s *Spool) Items(d Dataset, source string) ([]Item, error) {
	datasets := Datasets()
	if d != "" {
		datasets = []Dataset{d}
	}
	var out []Item
	err := s.view("find item "+source, func(t *txn) error {
		for _, d := range datasets {
			key := itemKey(d, source)
			v := t.items().get(key)
			if v == nil {
				continue
			}
			it, err := decodeItem(key, v)
			if errors.Is(err, ErrCorrupt) {
				continue // Verify reports it
			}
			out = append(out, it)
		}
		return nil
	})
	return out, err
}

// prune looks at the next rows after the key and removes those mapped before the given time. last is the last key
// that it looked at, nil at the end.
func (tb itemBucket) prune(after []byte, before time.Time) (n int, last []byte, err error) {
	var gone [][]byte
	looked := 0
	err = tb.scan(nil, append(after, 0), func(k, v []byte) (bool, error) {
		if looked++; looked > pruneStep {
			return false, nil
		}
		last = encoding.Clone(k)
		if it, err := decodeItem(k, v); err != nil || it.At.Before(before) {
			gone = append(gone, last)
		}
		return true, nil
	})
	if looked <= pruneStep {
		last = nil
	}
	if err == nil {
		err = tb.delAll(gone)
	}
	if err != nil || len(gone) == 0 {
		return 0, last, err
	}
	return len(gone), last, tb.t.meta().count(func(c *counters) { c.Items -= int64(len(gone)) })
}
