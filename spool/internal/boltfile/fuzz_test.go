package boltfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// Whatever is in the file, checking it before bbolt opens it ends with an answer.
func FuzzPages(f *testing.F) {
	path := filepath.Join(f.TempDir(), "f.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err == nil {
		err = db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("outer"))
			if err != nil {
				return err
			}
			if b, err = b.CreateBucket([]byte("inner")); err != nil {
				return err
			}
			return b.Put([]byte("k"), bytes.Repeat([]byte("v"), 10_000))
		})
	}
	if err = errors.Join(err, db.Close()); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{1})
	f.Add(uint32(4096*3+16), []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], patch)
		f := &file{ReaderAt: bytes.NewReader(b), length: int64(len(b))}
		err := f.readMetas()
		if err == nil {
			err = f.walkPages(t.Context())
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	})
}
