package pipeline

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/spool"
)

// signalled is a way in which a reset reaches us.
type signalled struct {
	name string
	is   func(p profile) bool
	do   func(w *world)
}

func resets() []signalled {
	any := func(profile) bool { return true }
	return []signalled{
		{"button", any, func(w *world) { w.cti.pressReset() }},
		{"connector deleted", any, func(w *world) { w.cti.deleteConnector() }},
	}
}

// TestResetInEachPhase presses the button while the spool is in each phase.
// The spool is emptied once, the old works go, and a new import is delivered
// with nothing of the old one mixed in.
func TestResetInEachPhase(t *testing.T) {
	phases := []struct {
		name string
		set  func(w *world)
	}{
		{"idle", func(w *world) {}},
		{"fetching", func(w *world) {
			_, err := w.sp.StartRun(w.epoch(), time.Now(), spool.RunSpec{Reason: spool.ReasonSchedule,
				Datasets: map[spool.Dataset]time.Time{spool.Alerts: time.Now()},
				Tasks:    []spool.NewTask{{TaskKey: spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskList}}}})
			w.must(err)
		}},
		{"waiting", func(w *world) { w.openRun(spool.ReasonSchedule, 9) }},
		{"delivering", func(w *world) {
			w.happens(append(make([]sendEvent, 20), nacks(500)...)...)
			w.run(spool.ReasonSchedule, 30, 30)
		}},
	}
	for _, p := range profiles() {
		for _, how := range resets() {
			for _, phase := range phases {
				t.Run(p.name+"/"+how.name+"/"+phase.name, func(t *testing.T) {
					inWorld(t, p, func(w *world) {
						w.delivered()
						w.mq.workOff(2) // the purge takes the rest
						phase.set(w)
						w.live.wakes.Deliver.Signal()
						time.Sleep(5 * time.Second)
						old := w.ids
						how.do(w)
						time.Sleep(2 * time.Minute)
						if w.epoch() != 2 {
							t.Fatalf("epoch %d\n%s", w.epoch(), w.logs.tail(30))
						}
						stats, err := w.sp.Stats()
						w.must(err)
						if stats.Bundles+stats.IDs+stats.Tasks+stats.Records+stats.Waiting != 0 {
							t.Errorf("left: %+v", stats)
						}
						if w.state() != "null" {
							t.Errorf("state %s", w.state())
						}
						for _, k := range w.works() {
							if !k.deleted && !k.Complete {
								t.Errorf("work %q is left: %+v", k.Name, k.Work)
							}
						}
						w.happens()
						before := len(w.order())
						r := w.run(spool.ReasonReset, 7)
						w.live.wakes.Deliver.Signal()
						w.settle()
						time.Sleep(10 * time.Minute)
						for _, id := range w.order()[before:] {
							if id <= fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", old) {
								t.Errorf("%s of the old epoch went out", id)
							}
						}
						if n := len(w.order()) - before; n != 7 || w.epoch() != 2 {
							t.Errorf("%d messages, epoch %d", n, w.epoch())
						}
						w.mq.workOff(100)
						w.checkWorks()
						if got, _ := parseState(w.state()); !got.LastRun.Equal(r.Start.Truncate(time.Second)) {
							t.Errorf("state %s", w.state())
						}
					})
				})
			}
		}
	}
}

func nacks(n int) []sendEvent {
	out := make([]sendEvent, n)
	for i := range out {
		out[i] = sendEvent{kind: delivery.Nacked, trouble: true}
	}
	return out
}

// TestResetInFirstImport: nothing was ever confirmed, so no state was echoed.
// Platforms that tell no time of a reset cannot show the button then.
func TestResetInFirstImport(t *testing.T) {
	for _, p := range profiles() {
		for _, how := range resets() {
			t.Run(p.name+"/"+how.name, func(t *testing.T) {
				inWorld(t, p, func(w *world) {
					w.happens(append(make([]sendEvent, 5), nacks(500)...)...)
					w.start()
					w.soon()
					w.run(spool.ReasonSchedule, 30)
					w.live.wakes.Deliver.Signal()
					time.Sleep(5 * time.Second)
					how.do(w)
					time.Sleep(2 * time.Minute)
					want := uint64(2)
					if !p.stamp && how.name == "button" {
						want = 1
					}
					if w.epoch() != want {
						t.Fatalf("epoch %d\n%s", w.epoch(), w.logs.tail(30))
					}
				})
			})
		}
	}
}

// TestResetWhileDown: the button was pressed while no process ran.
func TestResetWhileDown(t *testing.T) {
	for _, p := range profiles() {
		for _, how := range resets() {
			t.Run(p.name+"/"+how.name, func(t *testing.T) {
				inWorld(t, p, func(w *world) {
					w.delivered()
					_ = w.halt()
					how.do(w)
					time.Sleep(time.Hour)
					w.start()
					time.Sleep(5 * time.Minute)
					if w.epoch() != 2 || w.state() != "null" {
						t.Errorf("epoch %d, state %s\n%s", w.epoch(), w.state(), w.logs.tail(20))
					}
				})
			})
		}
	}
}

// TestResetCrashAnywhere kills the process at each step of a reset that comes
// in mid-delivery. It takes place once, and leaves no work in progress.
func TestResetCrashAnywhere(t *testing.T) {
	for _, p := range []profile{profiles()[0], newest()} {
		for _, how := range resets() {
			t.Run(p.name+"/"+how.name, func(t *testing.T) {
				for at := 1; ; at++ {
					ended := false
					t.Run(fmt.Sprint(at), func(t *testing.T) {
						inWorld(t, p, func(w *world) { ended = resetCrash(w, how, at) })
					})
					if ended || t.Failed() {
						break
					}
				}
			})
		}
	}
}

// resetCrash kills at a step after the button was pressed; it reports true
// when everything was over before that step.
func resetCrash(w *world, how signalled, at int) bool {
	w.delivered()
	w.mq.workOff(100)
	w.happens(append(make([]sendEvent, 5), nacks(500)...)...)
	w.run(spool.ReasonSchedule, 10)
	w.live.wakes.Deliver.Signal()
	time.Sleep(39 * time.Second)
	how.do(w)
	w.kill.mu.Lock()
	w.kill.at = w.kill.steps + at
	w.kill.mu.Unlock()
	over := false
	select {
	case <-w.live.ended:
	case <-time.After(2 * time.Minute):
		over = true
	}
	w.reborn()
	w.happens()
	if w.epoch() == 2 { // a new import begins before the next process says so
		w.run(spool.ReasonReset, 3)
	}
	w.start()
	time.Sleep(7 * time.Minute)
	if w.epoch() != 2 {
		w.fail("epoch %d\n%s", w.epoch(), w.logs.tail(40))
		return true
	}
	w.run(spool.ReasonReset, 4)
	w.live.wakes.Deliver.Signal()
	w.drive()
	time.Sleep(10 * time.Minute)
	w.mq.workOff(1000)
	w.checkWorks()
	if w.epoch() != 2 {
		w.fail("reset again: epoch %d\n%s", w.epoch(), w.logs.tail(40))
	}
	return over
}

// TestResetCannotBeStored: while the reset cannot be committed nothing is
// pinged, and it is carried out once there is room.
func TestResetCannotBeStored(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		var room atomic.Bool
		w.full = func(op string) error {
			if !room.Load() && op == "reset" {
				return spool.ErrFull
			}
			return nil
		}
		w.delivered()
		w.cti.pressReset()
		time.Sleep(5 * time.Minute)
		before := w.cti.count("ping")
		time.Sleep(5 * time.Minute)
		if w.cti.count("ping") != before || w.epoch() != 1 {
			t.Errorf("pinged, epoch %d", w.epoch())
		}
		room.Store(true)
		time.Sleep(time.Minute)
		if w.epoch() != 2 {
			t.Errorf("epoch %d", w.epoch())
		}
	})
}

// TestResetDuringFlush is found by the last ping of a process.
func TestResetDuringFlush(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.delivered()
		w.cti.pressReset()
		w.must(w.live.platform.Flush(context.Background()))
		if w.epoch() != 2 {
			t.Errorf("epoch %d", w.epoch())
		}
	})
}

// TestResetWhileOpening: a work that is being opened while the spool is reset
// does not stay.
func TestResetWhileOpening(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.delivered()
		w.cti.late["add"] = 30 * time.Second // carried out long after its answer was given up
		w.run(spool.ReasonSchedule, 5)
		w.live.wakes.Deliver.Signal()
		time.Sleep(time.Second)
		w.cti.pressReset()
		w.live.wakes.Platform.Signal()
		time.Sleep(time.Second)
		if w.epoch() != 2 {
			t.Fatalf("epoch %d", w.epoch())
		}
		time.Sleep(10 * time.Minute)
		for _, k := range w.works()[1:] {
			if !k.deleted {
				t.Errorf("work %q is left", k.Name)
			}
		}
		if len(w.works()) < 2 {
			t.Error("no work was opened late")
		}
	})
}
