package spool

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"threatmatch-connector/spool/internal/encoding"
)

// Blocks have all objects in order, and none is larger than it must be.
func TestBlocks(t *testing.T) {
	text := noise(blockSize + 200) // does not compress, so that it may be kept
	rapid.Check(t, func(t *rapid.T) {
		var objects []BundleObject
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			size := rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(blockSize-100, blockSize+100)).Draw(t, "size")
			objects = append(objects, BundleObject{
				STIX: rapid.String().Draw(t, "id"), Deps: rapid.Uint32().Draw(t, "deps"), Source: "s", Dataset: Alerts, JSON: text[len(objects):][:size],
			})
		}
		var p BundlePacker
		var buf []byte
		var back []BundleObject
		for _, o := range objects { // the JSON of all in one buffer, as far as it is given back
			o.JSON = append(buf, o.JSON...)
			buf = p.Add(o)
		}
		for _, b := range p.Bundle().blocks {
			raw, err := encoding.Unpack(b.body)
			if err != nil {
				t.Fatal(err)
			}
			part, err := encoding.CutBlock(raw, b.objects)
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

// TestBlocksAreReadOnce: what is read at a time ends with a block, unless a single one has more.
func TestBlocksAreReadOnce(t *testing.T) {
	s := newSpool(t)
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule})).ID
	var b NewBundle
	for i := range 10 { // two to a block
		b.Objects = append(b.Objects, BundleObject{STIX: string(rune('0' + i)), JSON: bytes.Repeat([]byte("x"), blockSize*2/5)})
	}
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run, Bundles: []NewBundle{b}}))
	for _, c := range []struct {
		from   int
		blocks float64
		want   int
	}{{0, 1.5, 2}, {0, 2.3, 4}, {1, 1.1, 1}, {0, 0.5, 1}, {0, 0, 1}, {9, 9, 1}} {
		got := must(s.BundleObjects(run, 1, c.from, int64(c.blocks*blockSize)))
		if len(got) != c.want || got[0].STIX != b.Objects[c.from].STIX {
			t.Errorf("%+v: got %d objects", c, len(got))
		}
	}
}
