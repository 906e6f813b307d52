package spool

import (
	"errors"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// create makes a new spool that is whole from its first moment: under another name, with all its buckets, synced, and
// only then renamed. A half-made file could not be told from a damaged one.
func create(o Options) error {
	tmp := filepath.Join(o.Dir, newName)
	if err := removeIfThere(tmp); err != nil {
		return err
	}
	aside, err := lastAside(o.Dir)
	if err != nil {
		return err
	}
	db, err := bolt.Open(tmp, 0o600, o.bolt())
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return fillNew(newTxn(tx, 0), &state{ConnectorID: o.ConnectorID, Epoch: 1, Created: o.Now().UTC(), SetAside: aside})
	})
	if err = errors.Join(err, db.Sync(), db.Close()); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	if err := os.Rename(tmp, filepath.Join(o.Dir, fileName)); err != nil {
		return err
	}
	return syncDir(o.Dir)
}

// fillNew makes the buckets and the first state.
func fillNew(t *txn, st *state) error {
	for _, name := range Buckets() {
		if err := makeBucket(t.tx, name, nil); err != nil {
			return err
		}
	}
	t.meta().stamp(schema)
	t.meta().save(keyConnector, connectorRow{st.ConnectorID})
	t.st, t.stDirty, t.count = st, true, &counters{Bytes: map[string]int64{}, HeldPublished: new(int64), Rejected: new(int64)}
	t.flush()
	return t.err
}

// removeLeftovers removes what a crash during creation or compaction left behind.
func removeLeftovers(dir string) error {
	for _, name := range []string{newName, compactName} {
		if err := removeIfThere(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir makes a rename in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
