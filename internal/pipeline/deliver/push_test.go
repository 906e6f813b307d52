package deliver_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline/deliver"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// inPushWorld has no broker that the connector can reach, and two workers.
func inPushWorld(t *testing.T, p pipelinetest.Profile, test func(w *pipelinetest.World)) {
	t.Helper()
	pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
		w.Deliver.Way, w.Deliver.Window = deliver.ToAPI, 4
		w.Broker.Workers = 2
		w.OpenCTI.QueueNow = w.Broker.Waiting
		test(w)
	})
}

func TestPushRun(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			inPushWorld(t, p, func(w *pipelinetest.World) {
				w.Run(spool.ReasonSchedule, 10, 5) // 4, 4, 2; 4 and one alone
				w.Run(spool.ReasonTrigger, 3)
				w.Start()
				w.Drive()
				w.CheckAll()
				var sizes []int
				for _, ids := range w.OpenCTI.API.Pushes {
					sizes = append(sizes, len(ids))
				}
				if want := []int{4, 4, 2, 4, 1, 3}; !slices.Equal(sizes, want) {
					t.Errorf("got chunks of %v, want %v", sizes, want)
				}
				for _, k := range w.Works() {
					if !k.Closed || k.InError {
						t.Errorf("work %+v: want it told that all was sent", k)
					}
				}
				told := 1 // for the object alone, which newer platforms tell of themselves
				if p.Name == "newest" {
					told = 0
				}
				if n := w.OpenCTI.Count("expect"); n != told {
					t.Errorf("expectations told %d times, want %d", n, told)
				}
				if w.Works()[0].Message != "15 objects sent" {
					t.Errorf("message %q", w.Works()[0].Message)
				}
			})
		})
	}
}

// TestPushInOrder: where workers split, the next chunk is pushed when the previous
// one is imported, so that two workers never import an object before what it refers
// to.
func TestPushInOrder(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			inPushWorld(t, p, func(w *pipelinetest.World) {
				w.Broker.Workers = 1
				w.Run(spool.ReasonSchedule, 10)
				w.Start()
				want := []int{1, 1, 1, 2, 2, 3} // after nothing, the split, 3 of 4 messages, the last; the second chunk whole
				if p.Name == "newest" {
					want = []int{3, 3, 3, 3, 3, 3}
				}
				for i, work := range []int{0, 1, 3, 1, 4, 1} {
					w.Broker.WorkOff(work)
					w.Wait(3 * time.Minute)
					if got := len(w.OpenCTI.API.Pushes); got != want[i] {
						t.Errorf("%d chunks were pushed after %d messages more were worked off, want %d", got, work, want[i])
					}
				}
				for range 30 {
					w.Wait(time.Minute)
					w.Broker.WorkOff(1 << 20)
				}
				w.CheckAll()
			})
		})
	}
}

// TestPushAfterAPurge: if part of a chunk never arrives, the next chunk waits for a
// while, and those after it do not.
func TestPushAfterAPurge(t *testing.T) {
	for _, split := range []int{0, 1} { // the purge takes the chunk, or its messages
		t.Run(fmt.Sprint(split), func(t *testing.T) {
			inPushWorld(t, pipelinetest.Profiles()[2], func(w *pipelinetest.World) {
				w.Broker.Workers = 1
				w.Run(spool.ReasonSchedule, 12)
				w.Start()
				w.Wait(time.Minute)
				w.Broker.WorkOff(split)
				w.Broker.Purge()
				w.Wait(5 * time.Minute)
				if got := len(w.OpenCTI.API.Pushes); got != 2 {
					t.Errorf("%d chunks were pushed some time after the purge, want 2", got)
				}
				w.Broker.WorkOff(5)
				w.Wait(20 * time.Second)
				if got := len(w.OpenCTI.API.Pushes); got != 3 {
					t.Errorf("%d chunks were pushed when the second was imported, want 3", got)
				}
			})
		})
	}
}

// TestPushedWorkIsHeldOpen: as long as chunks wait to be split, a work is not
// closed, even if everything OpenCTI expects is processed.
func TestPushedWorkIsHeldOpen(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			inPushWorld(t, p, func(w *pipelinetest.World) {
				w.Broker.Workers = 1
				w.Run(spool.ReasonSchedule, 8)
				w.Start()
				w.Wait(31 * time.Second)
				for _, n := range []int{1, 1, 4} { // one chunk split, the other, its messages
					if got := w.OpenCTI.Count("processed"); got != 0 {
						t.Errorf("told its end with %d messages waiting", w.Broker.Waiting().Messages)
					}
					w.Broker.WorkOff(n)
					w.Wait(5 * time.Minute)
				}
				w.Drive()
				w.CheckAll()
				if got := w.OpenCTI.Count("processed"); got != 1 {
					t.Errorf("told its end %d times, want once", got)
				}
			})
		})
	}
}

// TestPushKilledAnywhere kills the process before and after each commit and call of
// two runs: nothing is lost, and a kill repeats one chunk.
func TestPushKilledAnywhere(t *testing.T) {
	scenario := func(w *pipelinetest.World) {
		w.OpenCTI.API.Untold = true
		w.Run(spool.ReasonSchedule, 9, 3)
		w.Run(spool.ReasonTrigger, 5)
	}
	for _, p := range pipelinetest.Profiles()[2:] {
		t.Run(p.Name, func(t *testing.T) {
			steps := 0
			inPushWorld(t, p, func(w *pipelinetest.World) {
				scenario(w)
				w.Start()
				w.Drive()
				w.Kill.Mu.Lock()
				steps = w.Kill.Steps
				w.Kill.Mu.Unlock()
			})
			for at := 1; at <= steps && !t.Failed(); at += pipelinetest.Stride() {
				t.Run(fmt.Sprint(at), func(t *testing.T) {
					inPushWorld(t, p, func(w *pipelinetest.World) { killedPush(t, w, at, scenario) })
				})
			}
		})
	}
}

// killedPush kills at one step and lets another process continue.
func killedPush(t *testing.T, w *pipelinetest.World, at int, scenario func(w *pipelinetest.World)) {
	w.Kill.At = at
	scenario(w)
	w.Start()
	stop := w.WorkersRun()
	select {
	case <-w.Live.Ended:
	case <-time.After(10 * time.Minute): // pings and the like of this process were fewer
	}
	stop()
	w.Restart()
	w.Wait(time.Minute)
	w.Start()
	w.Drive()
	w.CheckPushed()
	if n := len(w.Order()); n != 17 {
		t.Errorf("got %d objects, want 17", n)
	}
	copies := 0
	for _, ids := range w.OpenCTI.API.Pushes {
		copies += len(ids)
	}
	if copies > 17+w.Deliver.Window {
		t.Errorf("%d objects went out, a kill may repeat %d of 17", copies, w.Deliver.Window)
	}
}

// TestPushAnswerLost: OpenCTI accepts a bundle and its answer is lost. The chunk is
// sent again, byte for byte identical, and the work ends.
func TestPushAnswerLost(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			inPushWorld(t, p, func(w *pipelinetest.World) {
				w.OpenCTI.Lost["push"] = 1
				w.Run(spool.ReasonSchedule, 9)
				w.Start()
				w.Drive()
				w.CheckAll()
				pushes := w.OpenCTI.API.Pushes
				if len(pushes) != 4 || !slices.Equal(pushes[0], pushes[1]) {
					t.Errorf("got chunks %v, want the first twice", pushes)
				}
			})
		})
	}
}

// TestPushTakenInPart: a platform that splits announces a bundle and queues part of
// it before its broker fails. The chunk is sent again, and the work still ends:
// what was announced twice and arrived once is settled.
func TestPushTakenInPart(t *testing.T) {
	inPushWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.ReportsOK = true
		w.OpenCTI.API.Part = []int{0, 1} // of 4, then of 2
		w.Run(spool.ReasonSchedule, 9)
		w.Start()
		w.Drive()
		w.CheckPushed()
		k := w.LastWork()
		if !k.Closed || k.Expected != 15 || len(k.Reports) != 5 {
			t.Errorf("work %+v: want 15 expected, 5 of them settled, and the end told", k)
		}
	})
}

// TestPushChaos loses answers, refuses for a while, kills and stops at random.
func TestPushChaos(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		for seed := range uint64(10 / pipelinetest.Stride()) {
			t.Run(fmt.Sprintf("%s/%d", p.Name, seed), func(t *testing.T) {
				inPushWorld(t, p, func(w *pipelinetest.World) {
					w.OpenCTI.API.Untold = true
					r := rand.New(rand.NewPCG(seed, 5))
					w.Broker.Rand = rand.New(rand.NewPCG(seed, 6))
					w.Run(spool.ReasonSchedule, 1+r.IntN(20), 1+r.IntN(20))
					w.Run(spool.ReasonSchedule)
					w.Run(spool.ReasonTrigger, 1+r.IntN(20))
					for _, call := range []string{"register", "ping", "add", "push", "expect", "processed", "alive", "work", "search", "queue"} {
						w.OpenCTI.Lost[call] = r.IntN(3)
					}
					for range r.IntN(4) {
						w.Kill.At = 1 + r.IntN(60)
						w.Start()
						stop := w.WorkersRun()
						select {
						case <-w.Live.Ended:
						case <-time.After(time.Duration(r.IntN(60)) * time.Second):
						}
						stop()
						w.Restart()
					}
					w.Start()
					w.Drive()
					w.CheckPushed()
				})
			})
		}
	}
}

// TestPushTooLarge: a chunk that is larger than OpenCTI accepts is halved, by
// bytes; a single object that is too large becomes a dead letter, and is settled if
// it was announced.
func TestPushTooLarge(t *testing.T) {
	for _, p := range []pipelinetest.Profile{pipelinetest.Profiles()[1], pipelinetest.Newest()} {
		t.Run(p.Name, func(t *testing.T) { inPushWorld(t, p, func(w *pipelinetest.World) { tooLargeToPush(t, w, p) }) })
	}
}

func tooLargeToPush(t *testing.T, w *pipelinetest.World, p pipelinetest.Profile) {
	w.ReportsOK = true
	w.Deliver.Window, w.OpenCTI.API.Limit = 8, 1200 // three of 290 bytes
	r := w.OpenRun(spool.ReasonSchedule)
	w.AddBundle(r.ID, 6, 200)
	w.AddBundle(r.ID, 1, 3000)
	w.AddBundle(r.ID, 6, 200)
	w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
	w.Start()
	w.Drive()
	w.CheckAll()
	if got, want := w.DeadOf(), []string{"too_large malware--00000000-0000-4000-8000-000000000007"}; !slices.Equal(got, want) {
		t.Errorf("dead letters %v, want %v", got, want)
	}
	if n := w.OpenCTI.Count("push"); n > 9 { // the size is learnt once
		t.Errorf("%d pushes", n)
	}
	settled := 1 // which was told of, as nobody else would have
	if p == pipelinetest.Newest() {
		settled = 0
	}
	if k := w.LastWork(); !k.Closed || len(k.Reports) != settled {
		t.Errorf("work %+v: want %d dead letters settled, and the end told", k, settled)
	}
}

// TestPushBeyondTheOperatorsLimit: mq.max_message_size applies to what a worker
// makes of a chunk, and to the chunk's own message.
func TestPushBeyondTheOperatorsLimit(t *testing.T) {
	inPushWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Deliver.MaxMessageSize = 2400
		r := w.OpenRun(spool.ReasonSchedule)
		w.AddBundle(r.ID, 5, 200)
		w.AddBundle(r.ID, 1, 3000)
		w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
		w.Start()
		w.Drive()
		w.CheckAll()
		if got, want := w.DeadOf(), []string{"too_large malware--00000000-0000-4000-8000-000000000006"}; !slices.Equal(got, want) {
			t.Errorf("dead letters %v, want %v", got, want)
		}
		for _, ids := range w.OpenCTI.API.Pushes {
			if len(ids) > 3 {
				t.Errorf("a chunk of %d objects is beyond the limit", len(ids))
			}
		}
	})
}

// TestPushOfPoison: OpenCTI gives no reason. An object that is not queued even
// alone, while everything else is fine, becomes a dead letter, and no other object
// does.
func TestPushOfPoison(t *testing.T) {
	inPushWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.ReportsOK = true
		bad := "malware--00000000-0000-4000-8000-000000000007"
		w.OpenCTI.API.Poison = map[string]bool{bad: true}
		w.Run(spool.ReasonSchedule, 12)
		w.Start()
		w.Drive()
		w.CheckAll()
		if got, want := w.DeadOf(), []string{"refused " + bad}; !slices.Equal(got, want) {
			t.Errorf("dead letters %v, want %v", got, want)
		}
	})
}

// TestPushWhileQueueIsFull: the same refusal, but because OpenCTI's queue is full
// or its broker is away. Deliver waits, however long.
func TestPushWhileQueueIsFull(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprint(away), func(t *testing.T) {
			inPushWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
				w.OpenCTI.API.Full = true
				w.OpenCTI.QueueNow = func() opencti.QueueSize { return opencti.QueueSize{Messages: 100_000} }
				if away {
					w.OpenCTI.QueueNow = func() opencti.QueueSize { return opencti.QueueSize{} }
					w.Refuse("register", fault.Mark(fault.Transient, errors.New("Channel cannot be opened")))
				}
				w.Start()
				w.Soon()
				w.Run(spool.ReasonSchedule, 9)
				w.Live.Wakes.Deliver.Signal()
				w.Wait(3 * time.Hour)
				if dead := w.DeadOf(); len(dead) > 0 {
					t.Errorf("dead letters %v, want none: it is not theirs to answer for", dead)
				}
				w.Refuse("register", nil)
				w.OpenCTI.API.Full, w.OpenCTI.QueueNow = false, w.Broker.Waiting
				w.Drive()
				w.CheckAll()
			})
		})
	}
}

// TestPushWithoutRight: nothing is lost, it is logged once, and pushing resumes.
func TestPushWithoutRight(t *testing.T) {
	inPushWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Refuse("push", fault.Hint(fault.Mark(fault.Systemic, &opencti.Error{Status: 200, Code: "FORBIDDEN_ACCESS"}), "give the user CONNECTORAPI"))
		w.Run(spool.ReasonSchedule, 9)
		w.Start()
		w.Wait(time.Hour)
		if w.NotReady("deliver") == "" || w.Logs.Count("delivery is refused") != 1 || len(w.DeadOf()) > 0 {
			t.Errorf("not ready %q, told %d times, dead %v", w.NotReady("deliver"), w.Logs.Count("delivery is refused"), w.DeadOf())
		}
		w.Refuse("push", nil)
		w.Drive()
		w.CheckAll()
		if n := len(w.OpenCTI.API.Pushes); n != 3 {
			t.Errorf("%d chunks, want 3", n)
		}
	})
}

// TestPushWithoutModules: missing rights to read hold no run up, and no work that
// could be in the middle is closed.
func TestPushWithoutModules(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			inPushWorld(t, p, func(w *pipelinetest.World) {
				w.OpenCTI.NoModules = true
				w.Run(spool.ReasonSchedule, 6)
				w.Run(spool.ReasonTrigger, 6)
				w.Start()
				w.Drive()
				w.CheckAll()
			})
		})
	}
}

// TestPushStopsInOrder: a push under way at a stop is completed and not repeated.
func TestPushStopsInOrder(t *testing.T) {
	inPushWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Deliver.Drain = 8 * time.Second
		w.OpenCTI.Slow["push"] = 5 * time.Second
		w.Run(spool.ReasonSchedule, 9)
		w.Start()
		w.Wait(7 * time.Second) // in the second
		w.Must(w.Halt())
		w.Start()
		w.Drive()
		w.CheckAll()
		if n := len(w.OpenCTI.API.Pushes); n != 3 {
			t.Errorf("%d chunks, want 3, none of them twice", n)
		}
	})
}

// TestPushOnceHasAnEnd: absent workers do not keep a single run forever.
func TestPushOnceHasAnEnd(t *testing.T) {
	for _, p := range pipelinetest.Profiles()[2:] {
		t.Run(p.Name, func(t *testing.T) {
			inPushWorld(t, p, func(w *pipelinetest.World) {
				w.Deliver.Once = true
				w.Run(spool.ReasonSchedule, 6)
				w.Start()
				w.Wait(12 * time.Minute)
				if runs, err := w.Spool.OpenRuns(); err != nil || len(runs) > 0 {
					t.Fatalf("open runs %v %v, want none: all is queued", runs, err)
				}
				if dropped := w.Broker.WorkOff(100); dropped > 0 {
					t.Errorf("workers dropped %d messages", dropped)
				}
				w.CheckWorks()
			})
		})
	}
}

// TestPushOnceInOrder: a single run waits for the chunk before, however long those before that took.
func TestPushOnceInOrder(t *testing.T) {
	inPushWorld(t, pipelinetest.Profiles()[2], func(w *pipelinetest.World) {
		w.Deliver.Once = true
		w.Broker.Workers = 1
		w.Run(spool.ReasonSchedule, 16)
		w.Start()
		for want := 1; want <= 4; want++ {
			w.Wait(6 * time.Minute)
			if got := len(w.OpenCTI.API.Pushes); got != want {
				t.Errorf("%d chunks were pushed after %d were imported, want %d", got, want-1, want)
			}
			w.Broker.WorkOff(5)
		}
		w.Drive()
		w.CheckAll()
	})
}

// TestPushedWorkDeleted: the rest is sent under another work.
func TestPushedWorkDeleted(t *testing.T) {
	inPushWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.OpenCTI.Slow["push"] = 5 * time.Second
		w.Run(spool.ReasonSchedule, 8, 4)
		w.Start()
		w.Wait(7 * time.Second)
		w.Refuse("push", errors.New("connection refused"))
		w.Wait(time.Minute)
		w.OpenCTI.DeleteWorks()
		w.Broker.Purge()
		w.Wait(time.Minute) // it finds out, and opens another
		w.Refuse("push", nil)
		w.Drive()
		w.CheckWorks()
		if k := w.LastWork(); !k.Closed || w.Logs.Count("repull --from") != 1 {
			t.Errorf("work %+v, want a new one, and the repull named once", k)
		}
	})
}
