package spool

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"threatmatch-connector/spool/internal/encoding"
)

// Blocks have all objects in order, and none is larger than it must be.
func TestBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var objects []BundleObject
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			size := rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(blockSize-100, blockSize+100)).Draw(t, "size")
			objects = append(objects, BundleObject{
				STIX: rapid.String().Draw(t, "id"), Deps: rapid.Uint32().Draw(t, "deps"), Source: "s", Dataset: Alerts, JSON: bytes.Repeat([]byte("x"), size),
			})
		}
		var back []BundleObject
		for _, b := range packBlocks(objects) {
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
			back = append(back, bundleObjects(part)...)
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
