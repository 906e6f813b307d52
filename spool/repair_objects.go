package spool

import (
	"cmp"
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// objectDamage checks that each object is found by its id and by the one that it waits for. One that cannot be read
// and is not found becomes a dead letter.
func objectDamage(run uint64) damageCheck {
	return func(t *txn) repairing {
		x := t.objects(run)
		var named, watched []uint64
		var wrong, lacking [][]byte
		for k, v := range x.index.rows(x.id) {
			if seq, ok := indexSeq(k, v); ok && x.rows.get(x.key(seq)) != nil {
				named = append(named, seq)
			} else {
				wrong = append(wrong, encoding.Clone(k))
			}
		}
		for k := range x.index.rows(x.watch) {
			if _, seq, ok := x.cutWatch(k); ok && x.rows.get(x.key(seq)) != nil {
				watched = append(watched, seq)
			} else {
				wrong = append(wrong, encoding.Clone(k))
			}
		}
		slices.Sort(named)
		slices.Sort(watched)
		for k := range x.rows.entries(x.row, x.row, 8) {
			seq := encoding.U64(k, len(x.row))
			_, byID := slices.BinarySearch(named, seq)
			_, byWatch := slices.BinarySearch(watched, seq)
			if !byID || !byWatch {
				lacking = append(lacking, encoding.Clone(k))
			}
		}
		if len(wrong)+len(lacking) == 0 {
			return nil
		}
		return func(t *txn) (err error) {
			x := t.objects(run)
			x.index.delAll(wrong)
			for _, k := range lacking {
				err = cmp.Or(err, t.repairObject(x, k))
			}
			return err
		}
	}
}

func (t *txn) repairObject(x objectIndex, key []byte) error {
	o := x.rows.object(key, nil)
	if o.Err == nil {
		x.putRows(o)
		return nil
	}
	if x.at(o.Seq).STIX != "" {
		return nil // it is found by its id, and is a dead letter when it is read
	}
	d := DeadLetter{
		Stage: StageMap, Class: "corrupt", Error: o.Err.Error(), Attempts: 1, Run: x.run,
		Dataset: o.Dataset, Source: o.Source, STIX: o.STIX, Payload: o.JSON,
	}
	st, err := t.meta().state()
	if err != nil {
		return err
	}
	t.dead().add(st.Created, d, encoding.Pack(d.Payload))
	x.dropWatch(o.Seq)
	x.rows.delBlob(key)
	*x.count()--
	return nil
}
