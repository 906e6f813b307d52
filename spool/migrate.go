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

// migrate brings the file to schema to, one transaction per step. The last step of a migration writes the new number
// together with its changes.
func (s *Spool) migrate(to int, steps map[int]migration) error {
	for {
		var at int
		err := s.view("read schema", func(t *txn) error {
			if t.tx.Bucket([]byte(bktMeta)) == nil {
				return fmt.Errorf("%w: no bucket %s", ErrUnusable, bktMeta)
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
			t.meta().stamp(at + 1)
			return nil
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
	if !t.dead().migrate() || !t.tasks().migrate() {
		return false, nil
	}
	return true, makeBucket(t.tx, bktGone, nil) // last, since it shows the schema
}

func startMigrationTo2(t *txn) error {
	st, err := t.meta().state()
	if err != nil {
		return err
	}
	t.meta().save(keyConnector, connectorRow{st.ConnectorID})
	ids := t.tx.Bucket([]byte(bktIDs))
	if _, err := ids.CreateBucket([]byte(subForgotten)); err != nil {
		return err
	}
	const runs = "runs" // first row, number of entries, forgotten up to row
	if b := ids.Bucket([]byte(runs)); b != nil {
		err := b.ForEach(func(k, v []byte) error {
			t.counters().Bytes[bktIDs] -= int64(len(k) + len(v))
			forget := encoding.U64(v, 16)
			if len(v) != 24 {
				forget = t.ids().log().b.Sequence()
			}
			if forget != 0 {
				t.ids().marks().put(k, encoding.EncodeMark(k, forget))
			}
			return nil
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
func (tb deadBucket) migrate() bool {
	var todo []uint64
	size := 0
	for k, v := range tb.rows([]byte{pfxDead}) {
		if len(todo) == migrateRows || size >= migrateBytes {
			break
		}
		if len(k) == 9 && tb.get(numKey(pfxPayload, encoding.U64(k, 1))) == nil {
			todo = append(todo, encoding.U64(k, 1))
			size += len(tb.blob(k, v))
		}
	}
	for _, key := range todo {
		tb.migrateOne(key)
	}
	return len(todo) == 0
}

func (tb deadBucket) migrateOne(key uint64) {
	k := numKey(pfxDead, key)
	var d DeadLetter
	body, err := encoding.Open(k, tb.blob(k, nil), &d)
	tb.sealBlob(numKey(pfxPayload, key), nil, encoding.Pack(body))
	if err != nil {
		return // a damaged one stays as it is, beside its bytes
	}
	d.Key = key
	old := encoding.PutString(encoding.PutString([]byte{pfxSource}, string(d.Dataset)), d.Source[:min(len(d.Source), MaxID)])
	tb.del(encoding.PutU64(old, key))
	d.Payload = body
	tb.put(sourceKey(d), []byte{})
	tb.put(equalKey(d), encoding.Num(key))
	if d.RetryRun != 0 && tb.t.runs().get(numKey(pfxOpen, d.RetryRun)) != nil {
		tb.put(retriedKey(d.RetryRun, key), []byte{})
	}
	tb.putHead(d)
}

// migrate gives a step of the rows that hold last_run back a checksum, and reports whether none is left.
func (tb taskBucket) migrate() bool {
	var todo [][]byte
	for k, v := range tb.rows([]byte{pfxBehind}) {
		if len(v) == 0 {
			todo = append(todo, encoding.Clone(k))
		}
		if len(todo) == migrateRows {
			break
		}
	}
	for _, k := range todo {
		tb.put(k, encoding.Sum(k, nil))
	}
	return len(todo) == 0
}
