package spool

import (
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The broker's limit outlives a restart and a reset, holds until it expires, is forgotten or the clock is set back, and
// never raises the operator's own.
func TestMessageLimit(t *testing.T) {
	o := Options{Dir: fastDir(t), ConnectorID: "c1", noReserve: true}
	s := must(Open(t.Context(), o))
	if got := must(s.Meta()).Limit; got != (MessageLimit{}) {
		t.Errorf("a new spool has the limit %+v", got)
	}
	ok(t, s.SaveMessageLimit(MessageLimit{Bytes: 2000, Until: t0.Add(time.Hour)}))
	_, _, err := s.Reset(t0)
	ok(t, err)
	ok(t, s.Close())
	s = must(Open(t.Context(), o))
	l := must(s.Meta()).Limit
	for _, c := range []struct {
		own  int64
		at   time.Duration
		want int64
	}{{0, 0, 2000}, {3000, 0, 2000}, {1000, 0, 1000}, {0, time.Hour, 0}, {3000, time.Hour, 3000},
		{0, -time.Second, 0}, {3000, -9000 * time.Hour, 3000}} { // the clock was set back
		if got := l.With(c.own, t0.Add(c.at)); got != c.want {
			t.Errorf("with %d of the operator's, after %v: %d, want %d", c.own, c.at, got, c.want)
		}
	}
	must(s.StartRun(2, t0, RunSpec{Reason: ReasonSchedule}))
	if got := must(s.Meta()).Limit; got != l {
		t.Errorf("after a run began the limit is %+v, want %+v", got, l)
	}
	must(s.StartRun(2, t0, RunSpec{Reason: ReasonRetry}))
	if got := must(s.Meta()).Limit; got != (MessageLimit{}) {
		t.Errorf("after a retry the limit is %+v, want none", got)
	}
	ok(t, s.SaveMessageLimit(l))
	ok(t, s.db.Update(func(tx *bolt.Tx) error {
		return faults()["a bit of its value"](tx.Bucket([]byte(bktMeta)), []byte(keyLimit))
	}))
	ok(t, s.Close())
	s = must(Open(t.Context(), o))
	defer closeVerified(t, s)
	if got := must(s.Meta()).Limit; got != (MessageLimit{}) {
		t.Errorf("damaged, but %+v", got)
	}
}
