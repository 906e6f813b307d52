package encoding

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
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

type testHead struct {
	Source  string
	Fetched time.Time
}

// What is sealed opens under its own identity and no other, and a flip of any byte is noticed.
func TestEnvelope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ident := []byte(rapid.String().Draw(t, "ident"))
		payload := anyPayload().Draw(t, "payload")
		head := testHead{Source: rapid.String().Draw(t, "source"), Fetched: anyTime().Draw(t, "fetched").Truncate(time.Hour)}
		if head.Fetched.Year() < 0 || head.Fetched.Year() > 9999 {
			head.Fetched = t0 // JSON has four digits for the year
		}
		sealed, err := Seal(ident, head, Pack(payload))
		if err != nil {
			t.Fatal(err)
		}
		var got testHead
		back, err := Open(ident, sealed, &got)
		if err != nil || !bytes.Equal(back, payload) || got.Source != head.Source || !got.Fetched.Equal(head.Fetched) {
			t.Fatalf("%v: %+v %q", err, got, back)
		}
		if _, err := Open(append(ident, 'x'), sealed, &got); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("opened under another key: %v", err)
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "flip")
		sealed[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		if _, err := Open(ident, sealed, &got); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	})
}

func TestSmallPayloadsStayAsTheyAre(t *testing.T) {
	if p := Pack(bytes.Repeat([]byte("a"), minCompress-1)); p.Codec != CodecRaw {
		t.Error("a small payload was compressed")
	}
	if p := Pack(bytes.Repeat([]byte("a"), 10_000)); p.Codec != codecS2 || p.Size() > 1000 {
		t.Errorf("codec %d, %d bytes", p.Codec, p.Size())
	}
}

func anyEntry() *rapid.Generator[ID] {
	return rapid.Custom(func(t *rapid.T) ID {
		var e ID
		e.Kind = rapid.OneOf(rapid.SampledFrom(kindCodes), rapid.String()).Draw(t, "kind")
		e.Properties = rapid.IntRange(0, 1<<31-1).Draw(t, "properties")
		e.Run = rapid.Uint64().Draw(t, "run")
		hash := func() (h [16]byte) {
			copy(h[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hash"))
			return h
		}
		name := rapid.OneOf(rapid.SampledFrom(nameCodes), rapid.String())
		if rapid.Bool().Draw(t, "full") {
			e.Hash = hash()
			e.Modified = time.UnixMilli(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "modified")).UTC()
			e.At = time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "at"), 0).UTC()
			for range rapid.IntRange(0, MaxEarlier).Draw(t, "earlier") {
				e.Earlier = append(e.Earlier, hash())
			}
			if e.Names = rapid.SliceOfN(name, 0, 30).Draw(t, "names"); len(e.Names) == 0 {
				e.Names = nil
			}
			if e.Lists = rapid.MapOfN(name, rapid.Uint64(), 0, 5).Draw(t, "lists"); len(e.Lists) == 0 {
				e.Lists = nil
			}
			e.Marking = rapid.IntRange(0, 9).Draw(t, "marking")
			e.Required = rapid.Uint64().Draw(t, "required")
		}
		return e
	})
}

func TestEntriesAndCursors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := IDKey(anyID().Draw(t, "id"))
		e, seq := anyEntry().Draw(t, "entry"), rapid.Uint64().Draw(t, "seq")
		origin := rapid.String().Draw(t, "origin")
		b := EncodeID(key, e, seq, origin)
		if got, gotSeq, from, err := DecodeID(key, b); err != nil || gotSeq != seq || from != origin || !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v of row %d came back as %+v of row %d: %v", e, seq, got, gotSeq, err)
		}
		c := Cursor{Confirmed: rapid.IntRange(0, 1<<30).Draw(t, "confirmed")}
		last := 0
		for _, d := range rapid.SliceOfN(rapid.IntRange(0, 1000), 0, 20).Draw(t, "skipped") {
			last += d
			c.Skipped = append(c.Skipped, last)
		}
		v := EncodeCursor(key, c)
		if got, err := DecodeCursor(key, v); err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%+v came back as %+v: %v", c, got, err)
		}
		for _, b := range [][]byte{b, v} {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "flip")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		}
		if _, _, _, err := DecodeID(key, b); !errors.Is(err, ErrCorrupt) {
			t.Fatal("a flip in an entry went unnoticed")
		}
		if _, err := DecodeCursor(key, v); !errors.Is(err, ErrCorrupt) {
			t.Fatal("a flip in a cursor went unnoticed")
		}
	})
}

// An entry for a typical object of ThreatMatch stays small: a million of them are kept.
func TestEntryIsCompact(t *testing.T) {
	key := IDKey("indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f")
	e := ID{
		Hash: [16]byte{1}, Modified: t0, Properties: 14, Kind: "indicator", Run: 300, At: t0, Marking: 2, Required: 1 << 60,
		Names: nameCodes[:14], Lists: map[string]uint64{"labels": 1 << 60, "object_marking_refs": 1 << 61},
	}
	if n := len(EncodeID(key, e, 1<<20, "")); n > 90 {
		t.Errorf("%d bytes, want at most 90", n)
	}
}

// TestLargePayload: a payload of many megabytes comes back, and is packed without a buffer of its size.
func TestLargePayload(t *testing.T) {
	text := bytes.Repeat([]byte("a text of megabytes "), 8*pieceSize/20+1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	packed := Pack(text)
	runtime.ReadMemStats(&after)
	if back, err := Unpack(packed); err != nil || !bytes.Equal(back, text) || packed.Codec != codecS2 {
		t.Errorf("codec %d, %d bytes came back, %v", packed.Codec, len(back), err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 4*pieceSize {
		t.Errorf("packing %d bytes took %d", len(text), took)
	}
}

// TestLargeNoise: a payload of many megabytes that does not compress is packed, sealed and opened without a copy.
func TestLargeNoise(t *testing.T) {
	noise := make([]byte, 8*pieceSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sealed, err := SealPieces([]byte("k"), "head", Pack([]byte("begins with "), noise))
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; err != nil || took > 4*pieceSize {
		t.Errorf("sealing %d bytes took %d: %v", len(noise), took, err)
	}
	whole := slices.Concat(sealed...)
	runtime.ReadMemStats(&before)
	back, err := OpenShared([]byte("k"), whole, new(string))
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; err != nil || took > pieceSize || string(back) != "begins with "+string(noise) {
		t.Errorf("opening took %d, %d bytes came back of %d: %v", took, len(back), len(noise), err)
	}
	kept, _ := Open([]byte("k"), whole, new(string))
	clear(whole)
	if string(kept) != "begins with "+string(noise) {
		t.Error("what Open returns shares memory with the envelope")
	}
}
