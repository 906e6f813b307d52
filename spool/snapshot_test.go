package spool

import (
	"errors"
	"io"
	"testing"
)

// stalled is a reader that takes one piece and then no more until it is told to.
type stalled struct {
	first, free chan struct{}
	n           int
}

func newStalled() *stalled { return &stalled{first: make(chan struct{}), free: make(chan struct{})} }

func (w *stalled) Write(b []byte) (int, error) {
	if w.n++; w.n == 1 {
		close(w.first)
	}
	<-w.free
	return len(b), nil
}

// stall begins a snapshot whose reader stalls, and returns the channel with its result.
func stall(s *Spool, w *stalled) chan error {
	done := make(chan error, 1)
	go func() {
		_, err := s.Snapshot(w)
		done <- err
	}()
	<-w.first
	return done
}

// While the reader of a snapshot stalls, freed pages are not reused and the file grows. At the cap the copy is given
// up, and nobody lacks a page.
func TestStalledSnapshot(t *testing.T) {
	b := newBounded(t, 0)
	ok(t, b.record())
	w := newStalled()
	done := stall(b.s, w)
	var grown int64
	for range 60 { // much more than the cap, if nothing were reused
		ok(t, b.s.CommitMap(1, t0, MapCommit{Run: b.run.ID, Bundles: []NewBundle{{Objects: []BundleObject{{STIX: stixOf(1), JSON: b.body()}, {STIX: stixOf(2), JSON: b.body()}, {STIX: stixOf(3), JSON: b.body()}}}}}))
		b.deliver()
		grown = max(grown, b.s.Room().File)
	}
	if r := b.s.Room(); grown > r.Cap || grown < r.Cap/2 {
		t.Errorf("the file grew to %d with a cap of %d: the copy was not what kept it from reusing pages", grown, r.Cap)
	}
	close(w.free)
	if err := <-done; !errors.Is(err, ErrFull) {
		t.Errorf("the copy ended with %v, want ErrFull", err)
	}
	if _, err := b.s.Snapshot(io.Discard); err != nil {
		t.Errorf("the next copy: %v", err)
	}
}

// Close does not wait for a reader that stalls.
func TestCloseWithAStalledSnapshot(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		o := Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true}
		s := must(Open(t.Context(), o))
		if readOnly {
			ok(t, s.Close())
			o.ReadOnly = true
			s = must(Open(t.Context(), o))
		}
		w := newStalled()
		done := stall(s, w)
		ok(t, s.Close())
		close(w.free)
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("read-only %v: the copy ended with %v, want ErrClosed", readOnly, err)
		}
		if _, err := s.Snapshot(io.Discard); !errors.Is(err, ErrClosed) {
			t.Errorf("read-only %v: a copy of a closed spool: %v, want ErrClosed", readOnly, err)
		}
	}
}
