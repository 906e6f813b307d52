package spool

import (
	"slices"

	"threatmatch-connector/spool/internal/encoding"
)

// objectDamage checks that the index of objects agrees with them. An object that cannot be read and that no index
// names becomes a dead letter.
func objectDamage(of indexOf) damageCheck {
	return func(t *txn) (func(*txn) error, error) {
		x := of(t)
		var named []uint64
		var wrong, lacking [][]byte
		err := x.index.scan(x.id, nil, func(k, v []byte) (bool, error) {
			if seq, ok := indexSeq(k, v); ok && x.rows.get(x.key(seq)) != nil {
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
			x := of(t)
			err := x.index.delAll(wrong)
			for _, k := range lacking {
				if err == nil {
					err = t.repairObject(x, k)
				}
			}
			return err
		}, nil
	}
}

func (t *txn) repairObject(x objectIndex, key []byte) error {
	o := x.rows.object(key, nil)
	if o.Err == nil {
		return x.putRows(o)
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
	if err := x.dropWatch(o.Seq); err != nil {
		return err
	}
	if _, err := x.rows.delBlob(key); err != nil {
		return err
	}
	return t.meta().count(func(c *counters) { *x.count(c)-- })
}
