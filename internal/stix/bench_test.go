package stix

import (
	"fmt"
	"testing"
)

// bundleOf makes n objects: an author, and reports that list the ten
// indicators before them.
func bundleOf(n int) []*Object {
	author := New("identity", "identity--00000000-0000-4000-8000-000000000000")
	objs := []*Object{author}
	var before []string
	for i := 1; i < n; i++ {
		typ := "indicator"
		if i%11 == 0 {
			typ = "report"
		}
		o := New(typ, fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", typ, i))
		o.Set("created_by_ref", author.ID())
		o.Set("object_marking_refs", []string{tlps[2].ID})
		if typ == "report" {
			o.Set("object_refs", before)
			before = nil
		} else {
			before = append(before, o.ID())
		}
		objs = append(objs, o)
	}
	return objs
}

func BenchmarkOrder(b *testing.B) {
	objs := bundleOf(5000)
	b.ReportAllocs()
	for b.Loop() {
		if len(Order(objs)) != len(objs) {
			b.Fatal("lost some")
		}
	}
}

func BenchmarkHash(b *testing.B) {
	o := bundleOf(12)[11]
	b.ReportAllocs()
	for b.Loop() {
		o.Hash()
	}
}

func BenchmarkParse(b *testing.B) {
	raw := bundleOf(12)[11].AppendJSON(nil)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
