package spool

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	bolt "go.etcd.io/bbolt"
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

// A bundle without its header and one of its blocks: what the others hold is delivered, and what is left of the block
// becomes a dead letter, wherever the cursor was.
func TestHeaderAndBlockLost(t *testing.T) {
	for block := range 3 {
		for _, fault := range []string{"its value cut", "removed"} {
			for confirmed := range 6 {
				if fault == "removed" && block == 2 {
					continue // nothing shows that there was one
				}
				t.Run(fmt.Sprintf("block %d, %s, %d confirmed", block, fault, confirmed), func(t *testing.T) {
					s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true}))
					defer func() { ok(t, s.Close()) }()
					run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule})).ID
					var b NewBundle
					for i := range 6 { // two to a block
						b.Objects = append(b.Objects, BundleObject{STIX: string(rune('0' + i)), JSON: bytes.Repeat([]byte("x"), blockSize*2/5)})
					}
					ok(t, s.CommitMap(1, t0, MapCommit{Run: run, Bundles: []NewBundle{b}}))
					ok(t, s.SaveCursor(1, run, 1, confirmed))
					ok(t, s.db.Update(func(tx *bolt.Tx) error {
						in := tx.Bucket([]byte(bktBundles))
						return errors.Join(in.Delete(pairKey(pfxHead, run, 1)), faults()[fault](in, blockKey(run, 1, uint32(block))))
					}))
					sent := map[string]bool{}
					for rounds := 0; ; rounds++ {
						h := must(s.NextBundle())
						if h.Confirmed == h.Objects {
							break
						}
						if rounds > 10 {
							t.Fatalf("stuck at %+v", h)
						}
						objects, err := s.BundleObjects(run, 1, h.Confirmed, 1)
						if bad, isBlock := errors.AsType[*BlockError](err); isBlock {
							ok(t, s.SkipMessage(1, run, 1, bad.From, DeadLetter{Class: "corrupt"}))
							continue
						}
						ok(t, err)
						sent[objects[0].STIX] = true
						ok(t, s.SaveCursor(1, run, 1, h.Confirmed+1))
					}
					for i, o := range b.Objects {
						if i >= confirmed && i/2 != block && !sent[o.STIX] {
							t.Errorf("object %d was not sent", i)
						}
					}
					letters := must(s.DeadLetters(0, 10))
					if confirmed < block*2+2 && len(letters) != 1 {
						t.Errorf("got %d dead letters, want one for the block", len(letters))
					}
					ok(t, s.EndBundle(1, run, 1, Work{}, nil))
				})
			}
		}
	}
}
