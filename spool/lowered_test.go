package spool

import "testing"

// A spool that was filled under a larger max_size drains under a smaller one.
func TestMaxSizeLowered(t *testing.T) {
	dir := t.TempDir()
	f := must(newFiller(dir))
	for range 220 {
		ok(t, f.bring())
	}
	ok(t, f.mapSome(20))
	ok(t, f.s.Close())
	f.opts.MaxSize, f.opts.slack = 4<<20, 4<<20
	s := mustOpen(t, f.opts)
	f.s = s
	if r := s.Room(); r.Live <= r.Cap || r.Max != 4<<20 {
		t.Fatalf("%+v is no spool over its cap", r)
	}
	if err := f.bring(); err == nil {
		t.Error("fetch may go on over the cap")
	}
	for must(s.Stats()).Records > 0 {
		ok(t, f.deliverAll())
		ok(t, f.mapSome(20))
	}
	ok(t, f.deliverAll())
	if r := s.Room(); r.Live > r.Max {
		t.Errorf("not drained: %+v", r)
	}
	ok(t, f.whole())
	ok(t, f.bring())
}
