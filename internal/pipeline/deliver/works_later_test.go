package deliver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestWorkOfALaterRunWaits: while an older run may still bring bundles, no work of
// a later run is created: the older run's work would then be the newer one, and on
// affected platforms workers drop what is left of the other.
func TestWorkOfALaterRunWaits(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				older := w.OpenRun(spool.ReasonSchedule) // its objects wait for the platform's answer
				later := w.OpenRun(spool.ReasonSchedule, 5)
				w.Start()
				w.Wait(time.Minute)
				w.AddBundle(older.ID, 3, 100)
				w.Must(w.Spool.FinishMap(w.Epoch(), older.ID, time.Now()))
				w.AddBundle(later.ID, 4, 100)
				w.Must(w.Spool.FinishMap(w.Epoch(), later.ID, time.Now()))
				for range 10 {
					w.Live.Wakes.Deliver.Signal()
					w.Wait(time.Minute)
					if dropped := w.Broker.WorkOff(1 << 20); dropped > 0 {
						t.Errorf("workers dropped %d messages", dropped)
					}
				}
				w.Settle()
				w.CheckAll()
			})
		})
	}
}

// TestWorkDeletedBehindADeadLetter: the new work of a half-sent bundle is told
// about what is sent under it, and not about a dead letter that the deleted work
// expected.
func TestWorkDeletedBehindADeadLetter(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		const objects = 40
		r := w.OpenRun(spool.ReasonSchedule)
		mixed := spool.MapCommit{Run: r.ID, Bundles: []spool.NewBundle{{}}}
		for i := range objects {
			w.Ids++
			id, size := fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", w.Ids), 100
			if i == 1 {
				size = 5000
			}
			text := fmt.Sprintf(`{"type":"malware","id":%q,"x":%q}`, id, strings.Repeat("x", size))
			mixed.Bundles[0].Objects = append(mixed.Bundles[0].Objects, spool.BundleObject{STIX: id, JSON: []byte(text), Source: "s"})
			mixed.IDs = append(mixed.IDs, spool.IDPut{STIX: id, ID: spool.ID{Run: r.ID, At: time.Now()}})
		}
		w.Must(w.Spool.CommitMap(w.Epoch(), time.Now(), mixed))
		w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
		w.Broker.Limit, w.Broker.Slow, w.ReportsOK = 2000, time.Second, true
		w.Happens(append(make([]pipelinetest.SendEvent, 20), pipelinetest.SendEvent{Trouble: true, Kind: delivery.ConnectionLost})...)
		w.Start()
		w.Wait(7 * time.Second)
		w.OpenCTI.DeleteWorks()
		w.Settle()
		w.Broker.WorkOff(1000)
		k := w.LastWork()
		if !strings.HasSuffix(k.Name, ", part 2, run 1") || k.Expected == 0 || k.Expected >= objects-1 {
			t.Errorf("work %q expects %d messages, want a second part with fewer than %d", k.Name, k.Expected, objects-1)
		}
		if len(k.Reports) != 0 {
			t.Errorf("the new work is told of %v, want nothing of before it", k.Reports)
		}
		if want := fmt.Sprintf("%d objects sent;", k.Expected); !strings.HasPrefix(k.Message, want) {
			t.Errorf("the new work is told %q, want %q", k.Message, want)
		}
	})
}

// TestRetryGoesBeforeARunThatIsHeld: a fully mapped retry goes before an older run
// that has nothing to deliver yet, and ends; what the older run brings meanwhile
// waits for it. Works still follow one another, so no worker drops anything.
func TestRetryGoesBeforeARunThatIsHeld(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		for _, meanwhile := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/older one brings more %v", p.Name, meanwhile), func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
					older := w.OpenRun(spool.ReasonSchedule) // ThreatMatch does not answer it
					w.Broker.Slow = time.Second
					retried := w.Run(spool.ReasonRetry, 7, 5)
					w.Start()
					w.Wait(3*time.Second + 17*time.Millisecond)
					if meanwhile {
						w.AddBundle(older.ID, 2, 100)
						w.Live.Wakes.Deliver.Signal()
					}
					w.Wait(2 * time.Minute)
					if r, _ := w.Spool.Run(retried.ID); r.DoneAt.IsZero() || r.Work.Sent != 12 {
						t.Fatalf("the retried run is done at %v with %d messages, want it done with 12", r.DoneAt, r.Work.Sent)
					}
					w.AddBundle(older.ID, 3, 100)
					w.Must(w.Spool.FinishMap(w.Epoch(), older.ID, time.Now()))
					w.Run(spool.ReasonSchedule, 4)
					for range 10 {
						w.Live.Wakes.Deliver.Signal()
						w.Wait(time.Minute)
						if dropped := w.Broker.WorkOff(3); dropped > 0 {
							t.Errorf("workers dropped %d messages", dropped)
						}
					}
					w.Broker.WorkOff(1 << 20)
					w.Settle()
					w.CheckAll()
				})
			})
		}
	}
}

// TestOneWorkAtATime: a retry waits for the work of an older run, and a run that a repair has opened again for that
// of a newer one.
func TestOneWorkAtATime(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/opened again %v", p.Name, again), func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
					first, reason := w.OpenRun(spool.ReasonSchedule), spool.ReasonRetry
					if again {
						reason = spool.ReasonSchedule
					}
					second := w.OpenRun(reason)
					if again {
						first, second = second, first
						w.Must(w.Spool.SaveWork(w.Epoch(), first.ID, spool.Work{Name: "run 2", Status: spool.WorkIntended}))
					}
					w.AddBundle(first.ID, 3, 100)
					w.Start()
					w.Wait(time.Minute)
					w.AddBundle(second.ID, 2, 100)
					w.Must(w.Spool.FinishMap(w.Epoch(), second.ID, time.Now()))
					w.Live.Wakes.Deliver.Signal()
					w.Wait(time.Minute)
					if works, sent := len(w.Works()), len(w.Order()); works != 1 || sent != 3 {
						t.Errorf("%d works and %d messages, want only those of run %d", works, sent, first.ID)
					}
					w.Must(w.Spool.FinishMap(w.Epoch(), first.ID, time.Now()))
					w.Live.Wakes.Deliver.Signal()
					w.Wait(time.Minute)
					w.Broker.WorkOff(1 << 20)
					w.Settle()
					w.CheckAll()
				})
			})
		}
	}
}

// TestRetryWithoutMessagesEnds: a retry with nothing left to send ends too.
func TestRetryWithoutMessagesEnds(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		held := w.OpenRun(spool.ReasonSchedule, 3)
		retried := w.Run(spool.ReasonRetry)
		w.Broker.Hang = true
		w.Start()
		w.Wait(time.Minute)
		if r, _ := w.Spool.Run(retried.ID); r.DoneAt.IsZero() {
			t.Errorf("run %d is not done, want it not to wait for run %d", retried.ID, held.ID)
		}
	})
}

// TestWorkDeletedMeanwhile: if a work is deleted while a bundle is being sent, or one
// of several that were announced together, that is noticed within 15 seconds, and the rest is sent under a new work.
func TestWorkDeletedMeanwhile(t *testing.T) {
	const objects = 100
	for _, p := range pipelinetest.Profiles()[2:] {
		for i, after := range []time.Duration{time.Second, 13 * time.Second, 44 * time.Second, 44 * time.Second} {
			bundles := []int{objects}
			if i == 3 {
				bundles = []int{40, 30, objects - 70}
			}
			t.Run(fmt.Sprintf("%s/%v %v", p.Name, after, bundles), func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
					const slow = time.Second
					w.Broker.Slow = slow
					r := w.Run(spool.ReasonSchedule, bundles...)
					w.Start()
					w.Wait(after + 177*time.Millisecond)
					w.OpenCTI.DeleteWorks()
					w.Settle()
					w.Broker.WorkOff(objects)
					k, least := w.LastWork(), int64(objects-(after+checkWithin)/slow)
					if !strings.HasSuffix(k.Name, ", part 2, run 1") || k.Expected < least || k.Expected > objects-int64(after/slow) || !k.Complete {
						t.Errorf("work %q of %d messages, complete %v; want a second part, complete, of %d at least", k.Name, k.Expected, k.Complete, least)
					}
					if n := w.Logs.Count("the run's work was deleted on OpenCTI"); n != 1 {
						t.Errorf("%d lines tell of it, want one", n)
					}
					if run, _ := w.Spool.Run(r.ID); run.Work.Sent != k.Expected {
						t.Errorf("%d messages count as sent under it, want %d", run.Work.Sent, k.Expected)
					}
				})
			})
		}
	}
}

const checkWithin = 15*time.Second + 8*time.Second // and the window

// TestAliveIsAskedOnATimer: not for each bundle, but in time, and before the end.
func TestAliveIsAskedOnATimer(t *testing.T) {
	for _, c := range []struct {
		slow time.Duration // for each of 120 messages
		want int
	}{{0, 1}, {125 * time.Millisecond, 1 + 1}, {time.Second, 120/15 + 1}} {
		pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
			bundles := make([]int, 30)
			for i := range bundles {
				bundles[i] = 4
			}
			w.Broker.Slow = c.slow
			w.Run(spool.ReasonSchedule, bundles...)
			w.Start()
			w.Settle()
			if got := w.OpenCTI.Count("alive"); got > c.want || got < c.want-1 {
				t.Errorf("with %v a message: asked %d times whether the work lives, want %d", c.slow, got, c.want)
			}
			if got := w.OpenCTI.Count("work"); got > 2 { // to announce, and at the end
				t.Errorf("with %v a message: read the work %d times, want twice", c.slow, got)
			}
		})
	}
}

// TestOlderRunIsMappedWhileARetryIsSent: what an older run brings meanwhile, up to
// its end, waits for the retry and keeps nothing from being sent.
func TestOlderRunIsMappedWhileARetryIsSent(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				older := w.OpenRun(spool.ReasonSchedule)
				w.Broker.Slow = time.Second
				retried := w.Run(spool.ReasonRetry, 7, 5)
				w.Start()
				w.Wait(3*time.Second + 17*time.Millisecond)
				w.AddBundle(older.ID, 2, 100)
				w.Must(w.Spool.FinishMap(w.Epoch(), older.ID, time.Now()))
				w.Live.Wakes.Deliver.Signal()
				w.Wait(5 * time.Minute)
				if r, _ := w.Spool.Run(retried.ID); r.DoneAt.IsZero() || r.Work.Sent != 12 {
					t.Errorf("the retried run is done at %v with %d messages, want it done with 12", r.DoneAt, r.Work.Sent)
				}
				w.Broker.WorkOff(1 << 20)
				w.Settle()
				w.CheckAll()
			})
		})
	}
}
