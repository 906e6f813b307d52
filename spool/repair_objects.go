package spool

import (
	"cmp"
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// objectDamage checks that the index of objects agrees with them. An object that cannot be read and that no index
// names becomes a dead letter.
func objectDamage(run uint64) damageCheck {
	return func(t *txn) repairing {
		x := t.objects(run)
		var named []uint64
		var wrong, lacking [][]byte
		for k, v := range x.index.rows(x.id) {
			if seq, ok := indexSeq(k, v); ok && x.rows.get(x.key(seq)) != nil {
				named = append(named, seq)
			} else {
				wrong = append(wrong, encoding.Clone(k))
			}
		}
		slices.Sort(named)
		for k := range x.rows.entries(x.row, x.row, 8) {
			if _, found := slices.BinarySearch(named, encoding.U64(k, len(x.row))); !found {
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
