package spool

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Decoders read what a damaged disk gives them: they may refuse it, with
// ErrCorrupt, but never panic, hang, or allocate without bound.

func FuzzEnvelope(f *testing.F) {
	for _, p := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("abc"), 500)} {
		b, err := seal([]byte("k"), recordHead{Source: "s"}, pack(p))
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte("k"), b)
	}
	f.Fuzz(func(t *testing.T, ident, b []byte) {
		var h recordHead
		payload, err := open(ident, b, &h)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		// Behind the checksum too, as if it had met by chance.
		if len(b) >= envelopeHeader {
			if p, _, err := split(b); err == nil {
				if out, err := unpack(p); err == nil && len(out) != p.raw {
					t.Fatalf("%d bytes, want %d", len(out), p.raw)
				}
			}
		}
		if err != nil {
			return
		}
		again, err := seal(ident, h, pack(payload))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := open(ident, again, nil); err != nil || !bytes.Equal(back, payload) {
			t.Fatalf("%v", err)
		}
	})
}

func FuzzID(f *testing.F) {
	key := idKey("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f")
	f.Add(key, encodeID(key, storedID{ID: ID{Kind: "indicator", Modified: t0, At: t0, Properties: 9, Run: 3}, Seq: 4}))
	f.Add(idKey("odd"), []byte{1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, key, b []byte) {
		if len(b) >= 6 {
			b = bytes.Clone(b)
			sum := idChecksum(key, b) // let the fuzzer behind the checksum
			b[2], b[3], b[4], b[5] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		}
		e, err := decodeID(key, b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if back, err := decodeID(key, encodeID(key, e)); err != nil || back != e {
			t.Fatalf("%+v came back as %+v: %v", e, back, err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add([]byte("k"), encodeCursor([]byte("k"), cursor{5, []int{1, 3}}))
	f.Fuzz(func(t *testing.T, key, b []byte) {
		if len(b) >= 5 {
			b = bytes.Clone(b)
			sum := cursorChecksum(key, b)
			b[1], b[2], b[3], b[4] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		}
		if c, err := decodeCursor(key, b); err != nil && !errors.Is(err, ErrCorrupt) || c.confirmed < 0 {
			t.Fatalf("%+v %v", c, err)
		}
	})
}

func FuzzBlock(f *testing.F) {
	f.Add(appendObject(appendObject(nil, BundleObject{STIX: "a", JSON: []byte("{}")}), BundleObject{STIX: "b"}), 2)
	f.Fuzz(func(t *testing.T, b []byte, want int) {
		objects, err := cutBlock(b, want)
		if err != nil && !errors.Is(err, ErrCorrupt) || err == nil && len(objects) != want {
			t.Fatalf("%d objects, %v", len(objects), err)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add(taskKey(item(Alerts, 1)))
	f.Add(idKey("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"))
	f.Add(idKey("x-odd--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"))
	f.Add(idKey("text\x00text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, ok := cutTaskKey(b); ok && !bytes.Equal(taskKey(k), b) {
			t.Fatalf("task key %x reads as %v, which is %x", b, k, taskKey(k))
		}
		if s, rest, ok := cutString(b); ok && !bytes.Equal(append(putString(nil, s), rest...), b) {
			t.Fatalf("string %x reads as %q", b, s)
		}
		if id, rest, ok := cutID(b); ok {
			if back, _, ok := cutID(append(idKey(id), rest...)); !ok || back != id {
				t.Fatalf("id %x reads as %q, that as %q", b, id, back)
			}
		}
		_, _, _ = cutLogRow(b)
		_ = timeAt(b, 0)
		if k, err := ParseTaskKey(string(b)); err == nil && k.String() != string(b) {
			t.Fatalf("%q reads as %v", b, k)
		}
	})
}

// Whatever stands in the file, looking at it before bbolt does ends with an answer.
func FuzzPages(f *testing.F) {
	dir := f.TempDir()
	if err := create(Options{Dir: dir, ConnectorID: "c"}.withDefaults()); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{1})
	f.Add(uint32(4096*3+16), []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], patch)
		if err := walkPages(t.Context(), bytes.NewReader(b), int64(len(b))); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
