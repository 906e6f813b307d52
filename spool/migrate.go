package spool

import (
	"fmt"

	"threatmatch-connector/spool/internal/encoding"
)

// schema is the number of the file format that this version writes.
const schema = 2

// A migration turns a file of one schema into one of the next. It is called again and again, each time in a
// transaction of its own, until it is done. The file must show what it did so far, so that it can continue after a
// crash.
type migration func(*txn) (done bool, err error)

// migrations holds, by schema number, every migration to the next one.
var migrations = map[int]migration{1: migrateTo2}

func schemaError(n int) error {
	if n > schema {
		return fmt.Errorf("%w: the file has schema %d, this version knows %d: use the newer version", ErrSchema, n, schema)
	}
	return fmt.Errorf("the file has the older schema %d, this version reads %d: start the connector once, which migrates it", n, schema)
}

// migrate brings the file to schema to, one transaction a step. The last step of a migration writes the new number
// together with its changes.
func (s *Spool) migrate(to int, steps map[int]migration) error {
	for {
		var at int
		err := s.view("read schema", func(t *txn) error {
			if t.tx.Bucket([]byte(bktMeta)) == nil {
				return fmt.Errorf("%w: no bucket %s", errUnusable, bktMeta)
			}
			at = t.meta().schema()
			return nil
		})
		if err != nil {
			return err
		}
		if at == to {
			return nil
		}
		step := steps[at]
		if at > to || step == nil {
			return schemaError(at)
		}
		err = s.update("migrate", frees(), func(t *txn) error {
			done, err := step(t)
			if err != nil || !done {
				return err
			}
			return t.meta().stamp(at + 1)
		})
		if err != nil {
			return err
		}
	}
}

// The most that one transaction of a migration rewrites.
const (
	migrateRows  = 2000
	migrateBytes = 4 << 20
)

// migrateTo2 adds the buckets of schema 2 and the second copy of the connector id, turns what ids knew of forgotten
// runs into marks, gives the rows that hold last_run back a checksum, and gives dead letters a row for the payload
// and the rows that find them. A dead letter with a payload row is done.
func migrateTo2(t *txn) (bool, error) {
	if t.tx.Bucket([]byte(bktItems)) == nil {
		return false, startMigrationTo2(t)
	}
	done, err := t.dead().migrate()
	if err != nil || !done {
		return false, err
	}
	if done, err = t.tasks().migrate(); err != nil || !done {
		return false, err
	}
	return true, makeBucket(t.tx, bktGone, nil) // last, since it shows the schema
}

func startMigrationTo2(t *txn) error {
	st, err := t.meta().state()
	if err != nil {
		return err
	}
	if err := t.meta().save(keyConnector, connectorRow{st.ConnectorID}); err != nil {
		return err
	}
	ids := t.tx.Bucket([]byte(bktIDs))
	if _, err := ids.CreateBucket([]byte(subForgotten)); err != nil {
		return err
	}
	const runs = "runs" // first row, number of entries, forgotten up to row
	if b := ids.Bucket([]byte(runs)); b != nil {
		err := b.ForEach(func(k, v []byte) error {
			if err := t.meta().countBytes(bktIDs, -len(k)-len(v)); err != nil {
				return err
			}
			forget := encoding.U64(v, 16)
			if len(v) != 24 {
				forget = t.ids().log().b.Sequence()
			}
			if forget == 0 {
				return nil
			}
			return t.ids().marks().put(k, encoding.EncodeMark(k, forget))
		})
		if err == nil {
			err = ids.DeleteBucket([]byte(runs))
		}
		if err != nil {
			return err
		}
	}
	return makeBucket(t.tx, bktItems, nil)
}

// migrate rewrites a step of the dead letters of schema 1 and reports whether none is left.
func (tb deadBucket) migrate() (bool, error) {
	var todo []uint64
	size := 0
	err := tb.scan([]byte{pfxDead}, nil, func(k, v []byte) (bool, error) {
		if len(k) != 9 || tb.get(numKey(pfxPayload, encoding.U64(k, 1))) != nil {
			return true, nil
		}
		todo = append(todo, encoding.U64(k, 1))
		size += len(v)
		if len(v) == fragmentSize {
			size += len(tb.blob(k, v))
		}
		return len(todo) < migrateRows && size < migrateBytes, nil
	})
	if err != nil {
		return false, err
	}
	for _, key := range todo {
		if err := tb.migrateOne(key); err != nil {
			return false, err
		}
	}
	return len(todo) == 0, nil
}

func (tb deadBucket) migrateOne(key uint64) error {
	k := numKey(pfxDead, key)
	var d DeadLetter
	body, err := encoding.Open(k, tb.blob(k, nil), &d)
	p := numKey(pfxPayload, key)
	v, serr := encoding.Seal(p, nil, encoding.Pack(body))
	if serr != nil {
		return serr
	}
	if perr := tb.putBlob(p, v); perr != nil || err != nil {
		return perr // a damaged one stays as it is, beside its bytes
	}
	d.Key = key
	old := encoding.PutString(encoding.PutString([]byte{pfxSource}, string(d.Dataset)), d.Source[:min(len(d.Source), MaxID)])
	if _, err := tb.del(encoding.PutU64(old, key)); err != nil {
		return err
	}
	d.Payload = body
	rows := [][2][]byte{{sourceKey(d), {}}, {equalKey(d), encoding.Num(key)}}
	if d.RetryRun != 0 && tb.t.tab(bktRuns).get(numKey(pfxOpen, d.RetryRun)) != nil {
		rows = append(rows, [2][]byte{retriedKey(d.RetryRun, key), {}})
	}
	for _, r := range rows {
		if err := tb.put(r[0], r[1]); err != nil {
			return err
		}
	}
	return tb.putHead(d)
}

// migrate gives a step of the rows that hold last_run back a checksum, and reports whether none is left.
func (tb taskBucket) migrate() (bool, error) {
	var todo [][]byte
	err := tb.scan([]byte{pfxBehind}, nil, func(k, v []byte) (bool, error) {
		if len(v) == 0 {
			todo = append(todo, encoding.Clone(k))
		}
		return len(todo) < migrateRows, nil
	})
	for _, k := range todo {
		if err == nil {
			err = tb.put(k, encoding.Sum(k, nil))
		}
	}
	return len(todo) == 0, err
}
