package encoding

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// Decoders read what a damaged disk returns: they may refuse it with ErrCorrupt, but must not panic, hang, or
// allocate without bound.

func FuzzEnvelope(f *testing.F) {
	for _, p := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("abc"), 500)} {
		b, err := Seal([]byte("k"), testHead{Source: "s"}, Pack(p))
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte("k"), b)
	}
	f.Fuzz(func(t *testing.T, ident, b []byte) {
		var h testHead
		payload, err := Open(ident, b, &h)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		// Past the checksum, too, as if that matched by chance.
		if len(b) >= envelopeHeader {
			if p, _, err := split(b); err == nil {
				if out, err := Unpack(p); err == nil && len(out) != p.Raw {
					t.Fatalf("%d bytes, want %d", len(out), p.Raw)
				}
			}
		}
		if err != nil {
			return
		}
		again, err := Seal(ident, h, Pack(payload))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Open(ident, again, nil); err != nil || !bytes.Equal(back, payload) {
			t.Fatalf("got error %v or another payload, want it back", err)
		}
	})
}

func FuzzID(f *testing.F) {
	key := IDKey("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f")
	f.Add(key, EncodeID(key, ID{Kind: "indicator", Modified: t0, At: t0, Properties: 9, Names: []string{"id", "x"}, Run: 3}, 4, "07"))
	f.Add(IDKey("odd"), []byte{1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, key, b []byte) {
		if len(b) >= 6 {
			b = bytes.Clone(b)
			sum := checksum(key, b) // let the fuzzer get past the checksum
			b[2], b[3], b[4], b[5] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		}
		e, seq, origin, err := DecodeID(key, b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		e.Earlier = e.Earlier[:min(len(e.Earlier), MaxEarlier)] // more is read, but never written
		if back, _, from, err := DecodeID(key, EncodeID(key, e, seq, origin)); err != nil || from != origin || !reflect.DeepEqual(back, e) {
			t.Fatalf("%+v came back as %+v: %v", e, back, err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add([]byte("k"), EncodeCursor([]byte("k"), Cursor{5, []int{1, 3}}))
	f.Fuzz(func(t *testing.T, key, b []byte) {
		if len(b) >= 5 {
			b = bytes.Clone(b)
			sum := cursorChecksum(key, b)
			b[1], b[2], b[3], b[4] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		}
		if c, err := DecodeCursor(key, b); err != nil && !errors.Is(err, ErrCorrupt) || c.Confirmed < 0 {
			t.Fatalf("got cursor %+v and error %v, want a corrupt row or no negative count", c, err)
		}
	})
}

func FuzzBlock(f *testing.F) {
	f.Add(AppendObject(AppendObject(nil, Object{STIX: "a", JSON: []byte("{}")}), Object{STIX: "b"}), 2)
	f.Fuzz(func(t *testing.T, b []byte, want int) {
		objects, err := CutBlock(b, want)
		if err != nil && !errors.Is(err, ErrCorrupt) || err == nil && want >= 0 && len(objects) != want {
			t.Fatalf("%d objects, %v", len(objects), err)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add(IDKey("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"))
	f.Add(IDKey("x-odd--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"))
	f.Add(IDKey("text\x00text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, rest, ok := CutString(b); ok && !bytes.Equal(append(PutString(nil, s), rest...), b) {
			t.Fatalf("string %x reads as %q", b, s)
		}
		if id, rest, ok := CutID(b); ok {
			if back, _, ok := CutID(append(IDKey(id), rest...)); !ok || back != id {
				t.Fatalf("id %x reads as %q, that as %q", b, id, back)
			}
		}
		_ = TimeAt(b, 0)
	})
}
