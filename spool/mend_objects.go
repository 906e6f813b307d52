package spool

import (
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// objectIndex is a bucket of objects with what finds them by their ids.
type objectIndex struct {
	rows, index    *table
	row, id, watch []byte // prefixes
	run            uint64
	count          func(c *counters) *int64
}

func (t *txn) waitingIndex(run uint64) objectIndex {
	return objectIndex{
		rows: t.tab(bktWaiting), index: t.tab(bktWaitingByID), row: encoding.Num(run), id: numKey(pfxByID, run), watch: numKey(pfxWatch, run),
		run: run, count: func(c *counters) *int64 { return &c.Waiting },
	}
}

func (t *txn) heldIndex() objectIndex {
	return objectIndex{
		rows: t.tab(bktHeld), index: t.tab(bktHeld), row: []byte{pfxHeld}, id: []byte{pfxByID}, watch: []byte{pfxWatch},
		count: func(c *counters) *int64 { return &c.Held },
	}
}

// putSeq stores an index row that names an object, with its checksum.
func (tb *table) putSeq(key []byte, seq uint64) error {
	return tb.put(key, encoding.EncodeMark(key, seq))
}

// indexSeq reads what putSeq wrote; schema 1 wrote no checksum.
func indexSeq(key, v []byte) (uint64, bool) {
	if len(v) == 8 {
		return encoding.U64(v, 0), true
	}
	seq, err := encoding.DecodeMark(key, v)
	return seq, err == nil
}

func waitingDamage(run uint64) mending {
	return objectDamage(func(t *txn) objectIndex { return t.waitingIndex(run) })
}

func heldDamage(t *txn) (func(*txn) error, error) { return objectDamage((*txn).heldIndex)(t) }

// objectDamage looks whether the index of objects fits them. An object that cannot be
// read and that no index names becomes a dead letter.
func objectDamage(index func(*txn) objectIndex) mending {
	return func(t *txn) (func(*txn) error, error) {
		x := index(t)
		var named []uint64
		var wrong, lacking [][]byte
		err := x.index.scan(x.id, nil, func(k, v []byte) (bool, error) {
			if seq, ok := indexSeq(k, v); ok && x.rows.get(encoding.PutU64(encoding.Clone(x.row), seq)) != nil {
				named = append(named, seq)
			} else {
				wrong = append(wrong, encoding.Clone(k))
			}
			return true, nil
		})
		if err != nil {
			return nil, err
		}
		slices.Sort(named)
		err = x.rows.scan(x.row, nil, func(k, _ []byte) (bool, error) {
			if len(k) != len(x.row)+8 {
				return true, nil // a further fragment, or a row of the index
			}
			if _, found := slices.BinarySearch(named, encoding.U64(k, len(x.row))); !found {
				lacking = append(lacking, encoding.Clone(k))
			}
			return true, nil
		})
		if err != nil || len(wrong)+len(lacking) == 0 {
			return nil, err
		}
		return func(t *txn) error {
			x := index(t)
			err := x.index.delAll(wrong)
			for _, k := range lacking {
				if err == nil {
					err = t.mendObject(x, k)
				}
			}
			return err
		}, nil
	}
}

func (t *txn) mendObject(x objectIndex, key []byte) error {
	o := x.rows.object(key, nil)
	if o.Err == nil {
		if err := x.index.putSeq(encoding.AppendID(encoding.Clone(x.id), o.STIX), o.Seq); err != nil {
			return err
		}
		return x.index.put(encoding.PutU64(encoding.AppendID(encoding.Clone(x.watch), o.Watch), o.Seq), []byte{})
	}
	d := DeadLetter{
		Stage: StageMap, Class: "corrupt", Error: o.Err.Error(), Attempts: 1, Run: x.run,
		Dataset: o.Dataset, Source: o.Source, STIX: o.STIX, Payload: o.JSON,
	}
	st, err := t.meta().state()
	if err != nil {
		return err
	}
	if err := t.dead().add(st.Created, d, encoding.Pack(d.Payload)); err != nil {
		return err
	}
	if err := x.index.dropWatch(x.watch, o.Seq); err != nil {
		return err
	}
	if _, err := x.rows.delBlob(key); err != nil {
		return err
	}
	return t.meta().count(func(c *counters) { *x.count(c)-- })
}
