package data

import "testing"

func BenchmarkItem(b *testing.B) {
	g := realistic(1000)
	n := 0
	for i := 0; b.Loop(); i++ {
		objects, _ := g.Item(Profiles, 1+i%1000)
		n += len(objects)
	}
	b.ReportMetric(float64(n)/float64(b.N), "objects/op")
}

func BenchmarkIndicator(b *testing.B) {
	seq := realistic(1000).Objects("indicator")
	for i := 0; b.Loop(); i++ {
		seq.Object(i % 10000)
	}
}
