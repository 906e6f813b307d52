package mapstage

import (
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// TestMakesRoomBehindALaterRun is the same for waiting objects.
func TestMakesRoomBehindALaterRun(t *testing.T) {
	w := newTestWorld(t, Options{})
	ts := w.troubled()
	run := w.startRun(spool.ReasonSchedule)
	later := w.startRun(spool.ReasonRepull)
	w.record(later, sobj(ident(1)))
	w.clock = w.clock.Add(time.Minute)
	w.work()
	w.record(run, sobj(note(1), srefs("object_refs", ident(9))))
	w.clock = w.clock.Add(time.Minute)
	w.work()
	if s, err := w.sp.Stats(); err != nil || s.Waiting != 1 || s.Bundles != 1 {
		t.Fatalf("got %+v and error %v, want one waiting object and one bundle", s, err)
	}
	ts.room = &spool.Room{Live: 101, Max: 100, Cap: 200}
	w.work()
	if s, err := w.sp.Stats(); err != nil || s.Waiting != 0 {
		t.Errorf("%d objects wait, error %v", s.Waiting, err)
	}
}
