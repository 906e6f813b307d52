package spool

import (
	"fmt"

	"threatmatch-connector/spool/internal/encoding"
)

// schema is the number of the file format that this version writes.
const schema = 1

// migrations holds one step for each schema number from which this version can
// come: migrations[n] makes a file of schema n one of n+1. There is none yet.
var migrations = map[int]func(*txn) error{}

func schemaError(n int) error {
	if n > schema {
		return fmt.Errorf("%w: the file has schema %d, this version knows %d: use the newer version", ErrSchema, n, schema)
	}
	return fmt.Errorf("the file has the older schema %d, this version reads %d: start the connector once, which migrates it", n, schema)
}

// migrate brings the file to the schema, one transaction a step; each stamps
// its number together with its changes.
func (s *Spool) migrate(to int, steps map[int]func(*txn) error) error {
	for {
		var at int
		err := s.view("read schema", func(t *txn) error {
			if t.tx.Bucket([]byte(bktMeta)) == nil {
				return fmt.Errorf("%w: no bucket %s", ErrCorrupt, bktMeta)
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
			if err := step(t); err != nil {
				return err
			}
			return t.tab(bktMeta).b.Put([]byte(keySchema), encoding.PutU32(nil, uint32(at+1)))
		})
		if err != nil {
			return err
		}
	}
}
