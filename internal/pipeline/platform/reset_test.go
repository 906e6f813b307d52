package platform_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// signalled is a way in which a reset is reported to us.
type signalled struct {
	name string
	is   func(p pipelinetest.Profile) bool
	do   func(w *pipelinetest.World)
}

func resets() []signalled {
	any := func(pipelinetest.Profile) bool { return true }
	return []signalled{
		{"button", any, func(w *pipelinetest.World) { w.OpenCTI.PressReset() }},
		{"connector deleted", any, func(w *pipelinetest.World) { w.OpenCTI.DeleteConnector() }},
	}
}

// TestResetInEachPhase presses the button while the spool is in each phase. The
// spool is emptied once, the old works are deleted, and a new import is delivered
// with nothing of the old one mixed in.
func TestResetInEachPhase(t *testing.T) {
	phases := []struct {
		name string
		set  func(w *pipelinetest.World)
	}{
		{"idle", func(w *pipelinetest.World) {}},
		{"fetching", func(w *pipelinetest.World) {
			_, err := w.Spool.StartRun(w.Epoch(), time.Now(), spool.RunSpec{Reason: spool.ReasonSchedule,
				Datasets: map[spool.Dataset]time.Time{spool.Alerts: time.Now()},
				Tasks:    []spool.NewTask{{TaskKey: spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskList}}}})
			w.Must(err)
		}},
		{"waiting", func(w *pipelinetest.World) { w.OpenRun(spool.ReasonSchedule, 9) }},
		{"delivering", func(w *pipelinetest.World) {
			w.Happens(append(make([]pipelinetest.SendEvent, 20), pipelinetest.Nacks(500)...)...)
			w.Run(spool.ReasonSchedule, 30, 30)
		}},
	}
	for _, p := range pipelinetest.Profiles() {
		for _, how := range resets() {
			for _, phase := range phases {
				t.Run(p.Name+"/"+how.name+"/"+phase.name, func(t *testing.T) {
					pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
						w.Delivered()
						w.Broker.WorkOff(2) // the purge takes the rest
						phase.set(w)
						w.Live.Wakes.Deliver.Signal()
						w.Wait(5 * time.Second)
						old := w.Ids
						how.do(w)
						w.Wait(2 * time.Minute)
						if w.Epoch() != 2 {
							t.Fatalf("epoch %d\n%s", w.Epoch(), w.Logs.Tail(30))
						}
						stats, err := w.Spool.Stats()
						w.Must(err)
						if stats.Bundles+stats.IDs+stats.Tasks+stats.Records+stats.Waiting != 0 {
							t.Errorf("left: %+v", stats)
						}
						if w.State() != "null" {
							t.Errorf("state %s", w.State())
						}
						for _, k := range w.Works() {
							if !k.Deleted && !k.Complete {
								t.Errorf("work %q is left: %+v", k.Name, k.Work)
							}
						}
						w.Happens()
						before := len(w.Order())
						r := w.Run(spool.ReasonReset, 7)
						w.Live.Wakes.Deliver.Signal()
						w.Settle()
						w.Wait(10 * time.Minute)
						for _, id := range w.Order()[before:] {
							if id <= fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", old) {
								t.Errorf("%s of the old epoch went out", id)
							}
						}
						if n := len(w.Order()) - before; n != 7 || w.Epoch() != 2 {
							t.Errorf("%d messages, epoch %d", n, w.Epoch())
						}
						w.Broker.WorkOff(100)
						w.CheckWorks()
						if got := w.LastRun(); !got.Equal(r.Start.Truncate(time.Second)) {
							t.Errorf("state %s", w.State())
						}
					})
				})
			}
		}
	}
}

// TestResetInFirstImport: nothing was ever confirmed, so no state was echoed.
// Platforms that do not report the time of a reset cannot show the button press
// then.
func TestResetInFirstImport(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		for _, how := range resets() {
			t.Run(p.Name+"/"+how.name, func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
					w.Happens(append(make([]pipelinetest.SendEvent, 5), pipelinetest.Nacks(500)...)...)
					w.Start()
					w.Soon()
					w.Run(spool.ReasonSchedule, 30)
					w.Live.Wakes.Deliver.Signal()
					w.Wait(5 * time.Second)
					how.do(w)
					w.Wait(2 * time.Minute)
					want := uint64(2)
					if !p.Stamp && how.name == "button" {
						want = 1
					}
					if w.Epoch() != want {
						t.Fatalf("epoch %d\n%s", w.Epoch(), w.Logs.Tail(30))
					}
				})
			})
		}
	}
}

// TestResetAfterAdoption: the process dies before its first ping is answered, and the state that it took over is
// reset while it is down.
func TestResetAfterAdoption(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.Hold(pythonState)
				w.Refuse("ping", errors.New("down"))
				w.Start()
				w.Soon()
				_ = w.Halt()
				w.OpenCTI.PressReset()
				w.Refuse("ping", nil)
				w.Start()
				w.Wait(time.Minute)
				if w.Epoch() != 2 || w.State() != "null" {
					t.Errorf("the epoch is %d and the state %s, want 2 and none", w.Epoch(), w.State())
				}
			})
		})
	}
}

// TestResetWhileDown: the button was pressed while no process ran.
func TestResetWhileDown(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		for _, how := range resets() {
			t.Run(p.Name+"/"+how.name, func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
					w.Delivered()
					_ = w.Halt()
					how.do(w)
					w.Wait(time.Hour)
					w.Start()
					w.Wait(5 * time.Minute)
					if w.Epoch() != 2 || w.State() != "null" {
						t.Errorf("epoch %d, state %s\n%s", w.Epoch(), w.State(), w.Logs.Tail(20))
					}
				})
			})
		}
	}
}

// TestResetCrashAnywhere kills the process at each step of a reset during delivery.
// The reset happens once, and leaves no work in progress.
func TestResetCrashAnywhere(t *testing.T) {
	for _, p := range []pipelinetest.Profile{pipelinetest.Profiles()[0], pipelinetest.Newest()} {
		for _, how := range resets() {
			t.Run(p.Name+"/"+how.name, func(t *testing.T) {
				for at := 1; ; at += pipelinetest.Stride() {
					ended := false
					t.Run(fmt.Sprint(at), func(t *testing.T) {
						pipelinetest.InWorld(t, p, func(w *pipelinetest.World) { ended = resetCrash(w, how, at) })
					})
					if ended || t.Failed() {
						break
					}
				}
			})
		}
	}
}

// resetCrash kills at a step after the button was pressed. It returns true if
// everything was over before that step.
func resetCrash(w *pipelinetest.World, how signalled, at int) bool {
	w.Delivered()
	w.Broker.WorkOff(100)
	w.Happens(append(make([]pipelinetest.SendEvent, 5), pipelinetest.Nacks(500)...)...)
	w.Run(spool.ReasonSchedule, 10)
	w.Live.Wakes.Deliver.Signal()
	w.Wait(39 * time.Second)
	how.do(w)
	w.Kill.Mu.Lock()
	w.Kill.At = w.Kill.Steps + at
	w.Kill.Mu.Unlock()
	over := false
	select {
	case <-w.Live.Ended:
	case <-time.After(2 * time.Minute):
		over = true
	}
	w.Restart()
	w.Happens()
	if w.Epoch() == 2 { // a new import begins before the next process says so
		w.Run(spool.ReasonReset, 3)
	}
	w.Start()
	w.Wait(7 * time.Minute)
	if w.Epoch() != 2 {
		w.Fail("epoch %d\n%s", w.Epoch(), w.Logs.Tail(40))
		return true
	}
	w.Run(spool.ReasonReset, 4)
	w.Live.Wakes.Deliver.Signal()
	w.Drive()
	w.Wait(10 * time.Minute)
	w.Broker.WorkOff(1000)
	w.CheckWorks()
	if w.Epoch() != 2 {
		w.Fail("reset again: epoch %d\n%s", w.Epoch(), w.Logs.Tail(40))
	}
	return over
}

// TestResetCannotBeStored: while the reset cannot be committed there are no pings,
// and it is carried out once there is room.
func TestResetCannotBeStored(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		var room atomic.Bool
		w.Full = func(op string) error {
			if !room.Load() && op == "reset" {
				return spool.ErrFull
			}
			return nil
		}
		w.Delivered()
		w.OpenCTI.PressReset()
		w.Wait(5 * time.Minute)
		before := w.OpenCTI.Count("ping")
		w.Wait(5 * time.Minute)
		if w.OpenCTI.Count("ping") != before || w.Epoch() != 1 {
			t.Errorf("pinged, epoch %d", w.Epoch())
		}
		room.Store(true)
		w.Wait(time.Minute)
		if w.Epoch() != 2 {
			t.Errorf("epoch %d", w.Epoch())
		}
	})
}

// TestResetDuringFlush: the reset is found by the last ping of a process.
func TestResetDuringFlush(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Delivered()
		w.OpenCTI.PressReset()
		w.Must(w.Live.Platform.Flush(context.Background()))
		if w.Epoch() != 2 {
			t.Errorf("epoch %d", w.Epoch())
		}
	})
}

// TestResetWhileOpening: a work that is being created while the spool is reset does
// not stay.
func TestResetWhileOpening(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Delivered()
		w.OpenCTI.Late["add"] = 30 * time.Second // carried out long after its answer was given up
		w.Run(spool.ReasonSchedule, 5)
		w.Live.Wakes.Deliver.Signal()
		w.Wait(time.Second)
		w.OpenCTI.PressReset()
		w.Live.Wakes.Platform.Signal()
		w.Wait(time.Second)
		if w.Epoch() != 2 {
			t.Fatalf("epoch %d", w.Epoch())
		}
		w.Wait(10 * time.Minute)
		for _, k := range w.Works()[1:] {
			if !k.Deleted {
				t.Errorf("work %q is left", k.Name)
			}
		}
		if len(w.Works()) < 2 {
			t.Error("no work was opened late")
		}
	})
}
