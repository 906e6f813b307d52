package spool

import (
	"errors"
	"testing"
	"time"

	bolterr "go.etcd.io/bbolt/errors"
)

// A write that fails makes its transaction fail as a whole, whatever follows it and whatever the method itself says.
func TestFailedWriteLeavesNothing(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	before := must(digest(t.Context(), s.db))
	other := errors.New("other")
	year := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) // JSON has no form for it
	for name, tt := range map[string]struct {
		write func(*txn)
		want  error // nil: any
	}{
		"a row":       {func(t *txn) { t.records().put(nil, []byte("v")) }, bolterr.ErrKeyRequired},
		"a meta row":  {func(t *txn) { t.meta().set("", []byte("v")) }, bolterr.ErrKeyRequired},
		"an envelope": {func(t *txn) { t.tasks().seal([]byte("k"), year) }, nil},
		"a state":     {func(t *txn) { t.meta().save(keyState, year) }, nil},
		"a run":       {func(t *txn) { must(t.runs().add(t0, RunSpec{})).Start = year }, nil},
	} {
		for _, own := range []error{nil, other} {
			err := s.update("test", frees(), func(t *txn) error {
				t.records().put([]byte("before"), []byte("v"))
				tt.write(t)
				t.records().put([]byte("after"), []byte("v"))
				return own
			})
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%s that cannot be written, then %v: got %v, want its error", name, own, err)
			}
			if after := must(digest(t.Context(), s.db)); after != before {
				t.Fatalf("%s that cannot be written: the file was changed", name)
			}
		}
	}
}
