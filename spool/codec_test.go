package spool

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func anyPayload() *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, 2000),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte("abc")), 0, 5000), func(b []byte) []byte { return b }),
	)
}

// What is sealed opens under its own identity and under no other, and a flip of
// any byte is noticed.
func TestEnvelope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ident := []byte(rapid.String().Draw(t, "ident"))
		payload := anyPayload().Draw(t, "payload")
		head := recordHead{Dataset: Alerts, Source: rapid.String().Draw(t, "source"), Fetched: anyTime().Draw(t, "fetched").Truncate(time.Hour)}
		if head.Fetched.Year() < 0 || head.Fetched.Year() > 9999 {
			head.Fetched = t0 // JSON has four digits for the year
		}
		sealed, err := seal(ident, head, pack(payload))
		if err != nil {
			t.Fatal(err)
		}
		var got recordHead
		back, err := open(ident, sealed, &got)
		if err != nil || !bytes.Equal(back, payload) || got.Dataset != head.Dataset || !got.Fetched.Equal(head.Fetched) {
			t.Fatalf("%v: %+v %q", err, got, back)
		}
		if _, err := open(append(ident, 'x'), sealed, &got); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("opened under another key: %v", err)
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "flip")
		sealed[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		if _, err := open(ident, sealed, &got); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	})
}

func TestSmallPayloadsStayAsTheyAre(t *testing.T) {
	if p := pack(bytes.Repeat([]byte("a"), minCompress-1)); p.codec != codecRaw {
		t.Error("a small payload was compressed")
	}
	if p := pack(bytes.Repeat([]byte("a"), 10_000)); p.codec != codecS2 || len(p.data) > 1000 {
		t.Errorf("codec %d, %d bytes", p.codec, len(p.data))
	}
}

func anyIDEntry() *rapid.Generator[storedID] {
	return rapid.Custom(func(t *rapid.T) storedID {
		e := storedID{Seq: rapid.Uint64().Draw(t, "seq")}
		e.Kind = rapid.OneOf(rapid.SampledFrom(kindCodes), rapid.String()).Draw(t, "kind")
		e.Properties = rapid.IntRange(0, 1<<31-1).Draw(t, "properties")
		e.Run = rapid.Uint64().Draw(t, "run")
		if rapid.Bool().Draw(t, "full") {
			copy(e.Hash[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hash"))
			e.Modified = time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "modified")).UTC()
			e.At = time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "at"), 0).UTC()
		}
		return e
	})
}

func TestIDEntriesAndCursors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := idKey(anyID().Draw(t, "id"))
		e := anyIDEntry().Draw(t, "entry")
		b := encodeID(key, e)
		if got, err := decodeID(key, b); err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v came back as %+v: %v", e, got, err)
		}
		c := cursor{confirmed: rapid.IntRange(0, 1<<30).Draw(t, "confirmed")}
		last := 0
		for _, d := range rapid.SliceOfN(rapid.IntRange(0, 1000), 0, 20).Draw(t, "skipped") {
			last += d
			c.skipped = append(c.skipped, last)
		}
		v := encodeCursor(key, c)
		if got, err := decodeCursor(key, v); err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%+v came back as %+v: %v", c, got, err)
		}
		for _, b := range [][]byte{b, v} {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "flip")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		}
		if _, err := decodeID(key, b); !errors.Is(err, ErrCorrupt) {
			t.Fatal("a flip in an entry went unnoticed")
		}
		if _, err := decodeCursor(key, v); !errors.Is(err, ErrCorrupt) {
			t.Fatal("a flip in a cursor went unnoticed")
		}
	})
}

// Blocks hold all objects in order, none larger than it must be.
func TestBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var objects []BundleObject
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			size := rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(blockSize-100, blockSize+100)).Draw(t, "size")
			objects = append(objects, BundleObject{
				STIX: anyID().Draw(t, "id"), Deps: rapid.Uint32().Draw(t, "deps"), Source: "s", Dataset: Alerts, JSON: bytes.Repeat([]byte("x"), size),
			})
		}
		var back []BundleObject
		for _, b := range packBlocks(objects) {
			raw, err := unpack(b.body)
			if err != nil {
				t.Fatal(err)
			}
			part, err := cutBlock(raw, b.objects)
			if err != nil {
				t.Fatal(err)
			}
			if len(part) > 1 && len(raw) > blockSize+3000+MaxID {
				t.Fatalf("%d objects in a block of %d bytes", len(part), len(raw))
			}
			back = append(back, part...)
		}
		if len(back) != len(objects) {
			t.Fatalf("%d objects came back of %d", len(back), len(objects))
		}
		for i := range back {
			if back[i].STIX != objects[i].STIX || back[i].Deps != objects[i].Deps || !bytes.Equal(back[i].JSON, objects[i].JSON) {
				t.Fatalf("object %d differs", i)
			}
		}
	})
}
