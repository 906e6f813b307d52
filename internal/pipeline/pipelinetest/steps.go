package pipelinetest

import (
	"crypto/md5"
	"encoding/json"
	"strings"
	"testing/synctest"
	"threatmatch-connector/spool"
	"time"
)

// Drive settles while workers process the queue now and then.
func (w *World) Drive() {
	w.t.Helper()
	w.OpenCTI.do(func() {
		w.OpenCTI.delay = func() { time.Sleep(time.Duration(w.Broker.some(200)) * time.Millisecond) }
	})
	stop := w.WorkersRun()
	w.Settle()
	stop()
	synctest.Wait()
}

// WorkersRun lets workers process the queue now and then until the returned
// function is called.
func (w *World) WorkersRun() (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(200 * time.Millisecond):
				if w.Broker.WorkOff(w.Broker.some(5)) > 0 {
					w.Fail("workers dropped messages")
				}
			}
		}
	}()
	return func() { close(end); <-done }
}

// BundleOf adds a run with one bundle of the objects.
func (w *World) BundleOf(objects ...spool.BundleObject) {
	w.t.Helper()
	r := w.OpenRun(spool.ReasonSchedule)
	c := spool.MapCommit{Run: r.ID, Bundles: []spool.NewBundle{{Objects: objects}}}
	for _, o := range objects {
		known, err := w.Spool.LookupIDs([]string{o.STIX})
		w.Must(err)
		entry := spool.ID{Hash: md5.Sum(o.JSON), Run: r.ID, At: time.Now()}
		if was, ok := known[o.STIX]; ok {
			entry.Earlier = append([][16]byte{was.Hash}, was.Earlier...)
		}
		c.IDs = append(c.IDs, spool.IDPut{STIX: o.STIX, ID: entry})
	}
	w.Must(w.Spool.CommitMap(w.Epoch(), time.Now(), c))
	w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
}

// DeadOf returns deliver's dead letters as class and object, oldest first.
func (w *World) DeadOf() []string {
	w.t.Helper()
	letters, err := w.Spool.DeadLetters(0, 100)
	w.Must(err)
	var out []string
	for _, d := range letters {
		out = append(out, d.Class+" "+d.STIX)
		if d.Class == "dependency" && !strings.Contains(d.Error, "which is a dead letter") {
			w.t.Errorf("reason %q", d.Error)
		}
	}
	return out
}

// Enqueued returns the sequence numbers in the queue, in order.
func (w *World) Enqueued() []int {
	w.Broker.Mu.Lock()
	defer w.Broker.Mu.Unlock()
	var out []int
	for _, e := range w.Broker.Queue {
		out = append(out, e.Sequence)
	}
	return out
}

// Wait lets time pass and then lets the loops finish whatever is due at that very
// instant, so that the test does not see half a step.
func (w *World) Wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Soon lets the loops do what they do immediately.
func (w *World) Soon() { w.Wait(100 * time.Millisecond) }

func (w *World) State() string {
	w.OpenCTI.Mu.Lock()
	defer w.OpenCTI.Mu.Unlock()
	return w.OpenCTI.State
}

// Hold makes the platform hold an earlier state.
func (w *World) Hold(state string) {
	w.OpenCTI.known, w.OpenCTI.State, w.OpenCTI.resetAt = true, state, time.Now().Add(-time.Hour)
}

func (w *World) NotReady(stage string) string { return w.Live.Status.Snapshot()[stage].NotReady }

func (w *World) ErrOf(_ bool, err error) error { return err }

// Delivered completes one run and lets the platform echo its state.
func (w *World) Delivered() {
	w.t.Helper()
	w.Start()
	w.Soon()
	w.Run(spool.ReasonSchedule, 5)
	w.Live.Wakes.Deliver.Signal()
	w.Settle()
	if w.State() == "null" {
		w.t.Fatal("no state after a run")
	}
}

// LastRun returns the last_run of the state that the platform holds, zero if there
// is none.
func (w *World) LastRun() time.Time {
	var s struct {
		LastRun time.Time `json:"last_run"`
	}
	if json.Unmarshal([]byte(w.State()), &s) != nil {
		return time.Time{}
	}
	return s.LastRun
}
