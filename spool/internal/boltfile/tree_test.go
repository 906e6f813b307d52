package boltfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

const rowsThere = 2000

// treeFile is a file of one bucket with many leaves, whose last transaction changed only its first row.
func treeFile(t *testing.T) (file []byte, m Meta) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	write := func(n int, value string) {
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("rows"))
			for i := 0; i < n && err == nil; i++ {
				err = b.Put(fmt.Appendf(nil, "%06d", i), append([]byte(value), make([]byte, 100)...))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	write(rowsThere, "old")
	write(1, "new")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err = Newest(path); err != nil {
		t.Fatal(err)
	}
	if file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return file, m
}

// readTree returns the rows, how many came again, and how many losses were reported.
func readTree(t *testing.T, file []byte) (rows map[string][]byte, repeated, lost int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "d.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := OpenTree(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	}()
	rows = map[string][]byte{}
	for k, v := range tree.Rows(t.Context(), "rows", nil, func(error) { lost++ }) {
		if rows[string(k)] != nil {
			repeated++
		}
		rows[string(k)] = v
	}
	return rows, repeated, lost
}

// If a page of the newest tree is damaged, the tree of the previous transaction gives what it has in that page's
// place, once, and the page is reported.
func TestTree(t *testing.T) {
	file, m := treeFile(t)
	page := func(b []byte, id uint64) []byte { return b[id*m.PageSize : (id+1)*m.PageSize] }
	ne := binary.NativeEndian
	leaf := page(file, m.Root)
	off := pageHeader + uint64(ne.Uint32(leaf[pageHeader+4:])) + uint64(ne.Uint32(leaf[pageHeader+8:]))
	branch := ne.Uint64(leaf[off:]) // root page of the bucket
	child := func(i int) uint64 { return ne.Uint64(page(file, branch)[pageHeader+i*elementSize+8:]) }
	for _, tt := range []struct {
		name   string
		damage func(b []byte)
		rows   int
		first  string
		told   bool
	}{
		{"none", func([]byte) {}, rowsThere, "new", false},
		{"the newest root", func(b []byte) { clear(page(b, m.Root)) }, rowsThere, "old", true},
		{"the bucket's root", func(b []byte) { clear(page(b, branch)) }, rowsThere, "old", true},
		{"the leaf of the last transaction", func(b []byte) { clear(page(b, child(0))) }, rowsThere, "old", true},
		{"a key between two leaves", func(b []byte) {
			at := pageHeader + 3*elementSize
			copy(page(b, branch)[at+int(ne.Uint32(page(b, branch)[at:])):], "zz")
		}, rowsThere, "new", false},
		{"a child that is its own branch", func(b []byte) {
			for i := range int(ne.Uint16(page(b, branch)[10:])) {
				ne.PutUint64(page(b, branch)[pageHeader+i*elementSize+8:], branch)
			}
		}, rowsThere, "old", true},
		{"a child of a page too far", func(b []byte) { ne.PutUint32(page(b, child(0))[12:], 1<<31) }, rowsThere, "old", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bytes.Clone(file)
			tt.damage(b)
			rows, repeated, lost := readTree(t, b)
			if len(rows) != tt.rows || repeated != 0 || (lost > 0) != tt.told {
				t.Errorf("got %d rows, %d of them again, %d losses told; want %d rows, told %v", len(rows), repeated, lost, tt.rows, tt.told)
			}
			if got := rows["000000"]; !bytes.HasPrefix(got, []byte(tt.first)) {
				t.Errorf("the first row is %.3q, want %q", got, tt.first)
			}
		})
	}
}
