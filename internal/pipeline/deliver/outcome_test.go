package deliver_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

func upTo(n int) []int {
	var out []int
	for i := 1; i <= n; i++ {
		out = append(out, i)
	}
	return out
}

func TestDeliverNackGoesBackInOrder(t *testing.T) {
	for _, kind := range []delivery.Kind{delivery.Nacked, delivery.Returned} {
		t.Run(kind.String(), func(t *testing.T) {
			pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
				w.Broker.Events = append(make([]pipelinetest.SendEvent, 4), // four are taken, the fifth not, two behind it are; then it is refused again
					pipelinetest.SendEvent{Kind: kind, Trouble: true, Behind: 2}, pipelinetest.SendEvent{Kind: kind, Trouble: true}, pipelinetest.SendEvent{Kind: kind, Trouble: true})
				w.Run(spool.ReasonSchedule, 10)
				w.Start()
				w.Settle()
				want := append(upTo(4), 6, 7)
				want = append(want, 5, 6, 7, 8, 9, 10)
				if got := w.Enqueued(); !slices.Equal(got, want) {
					t.Errorf("order %v, want %v", got, want)
				}
				if w.Batches() != 5 { // the whole, three alone, the rest
					t.Errorf("%d batches", w.Batches())
				}
				k := w.LastWork()
				if k.Expected != 12 {
					t.Errorf("expected %d, two messages came twice for sure", k.Expected)
				}
				if kind == delivery.Returned && (w.OpenCTI.Count("register") < 3 || w.OpenCTI.Count("ping") < 4) {
					t.Errorf("OpenCTI was not asked for its topology: %d registrations, %d pings", w.OpenCTI.Count("register"), w.OpenCTI.Count("ping"))
				}
				w.CheckAll()
				r, err := w.Spool.Run(1)
				w.Must(err)
				if r.Work.Repeats != 2 || r.Work.Sent != 12 || r.Work.Unsure {
					t.Errorf("work %+v", r.Work)
				}
			})
		})
	}
}

func TestDeliverReportsBuffering(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Happens(append(make([]pipelinetest.SendEvent, 4), pipelinetest.Nacks(20)...)...)
		w.Run(spool.ReasonSchedule, 10)
		w.Start()
		w.Wait(90 * time.Second)
		if !w.Info().Buffering {
			t.Error("not buffering while messages are refused")
		}
		if s := w.Live.Status.Snapshot()["deliver"]; s.State != "paused" || s.NotReady != "" {
			t.Errorf("status %+v", s)
		}
		w.Settle()
		w.Wait(time.Minute)
		if w.Info().Buffering {
			t.Error("buffering though the queue takes messages again")
		}
		if n := w.Logs.Count("queue is full"); n != 1 {
			t.Errorf("%d lines about a full queue", n)
		}
	})
}

// TestBlockedEndsWithTheBatch: a broker in alarm that goes away keeps nothing back any more.
func TestBlockedEndsWithTheBatch(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Happens(pipelinetest.SendEvent{Kind: delivery.ConnectionLost, Trouble: true, Blocked: true})
		w.Run(spool.ReasonSchedule, 3)
		w.Start()
		w.Settle()
		w.Wait(time.Minute)
		if w.Info().Buffering {
			t.Error("buffering though all is delivered")
		}
	})
}

func TestDeliverTooLarge(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				r := w.OpenRun(spool.ReasonSchedule, 5)
				w.AddBundle(r.ID, 1, 5000)
				w.AddBundle(r.ID, 4, 200)
				mixed := spool.MapCommit{Run: r.ID, Bundles: []spool.NewBundle{{}}}
				for i := range 6 {
					w.Ids++
					id := fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", w.Ids)
					text := fmt.Sprintf(`{"type":"malware","id":%q,"x":%q}`, id, strings.Repeat("x", 100+5000*(i%2)))
					mixed.Bundles[0].Objects = append(mixed.Bundles[0].Objects, spool.BundleObject{STIX: id, JSON: []byte(text), Source: "s"})
					mixed.IDs = append(mixed.IDs, spool.IDPut{STIX: id, ID: spool.ID{Run: r.ID, At: time.Now()}})
				}
				w.Must(w.Spool.CommitMap(w.Epoch(), time.Now(), mixed))
				w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
				w.Broker.Limit = 2000
				w.ReportsOK = true
				w.Start()
				w.Drive()
				w.CheckAll()
				dead, err := w.Spool.DeadLetters(0, 10)
				w.Must(err)
				if len(dead) != 4 || dead[0].Class != "too_large" || dead[0].Stage != spool.StageDeliver || len(dead[0].Payload) < 5000 ||
					!strings.Contains(dead[0].Error, "2000") {
					t.Errorf("%d dead letters: %+v", len(dead), dead)
				}
				known, err := w.Spool.LookupIDs([]string{dead[0].STIX, dead[3].STIX})
				if err != nil || len(known) != 0 {
					t.Errorf("ids still know %v, %v", known, err)
				}
				if m, err := w.Spool.Meta(); err != nil || m.Limit.Bytes != 2000 {
					t.Errorf("the limit %+v is stored, %v; want 2000 bytes", m.Limit, err)
				}
				if w.Broker.TooLarge != 1 {
					t.Errorf("%d messages over the limit were tried", w.Broker.TooLarge)
				}
				k := w.LastWork()
				if len(k.Reports) != 4 || k.Expected != 16 {
					t.Errorf("expected %d, reports %v", k.Expected, k.Reports)
				}
				if k.Closed && (!k.InError || !strings.Contains(k.Message, "4 dead letters")) {
					t.Errorf("work %q %v", k.Message, k.InError)
				}
			})
		})
	}
}

func TestDeliverUnreadableObjects(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.ReportsOK = true
		w.Unreadable = func(run, seq uint64, i int) bool { return i >= 3 && i < 5 }
		w.Run(spool.ReasonSchedule, 9)
		w.Start()
		w.Drive()
		dead, err := w.Spool.DeadLetters(0, 10)
		w.Must(err)
		if len(dead) != 2 || dead[0].Class != "corrupt" {
			t.Errorf("dead letters %+v", dead)
		}
		if len(w.Order()) != 7 {
			t.Errorf("%d messages", len(w.Order()))
		}
		w.CheckWorks()
		if n := knownIDs(t, w.Spool); n != 0 {
			t.Errorf("%d ids are still known, though two cannot be named", n)
		}
	})
}

func TestDeliverLostGoesOnFromCursor(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Broker.Events = append(make([]pipelinetest.SendEvent, 14), pipelinetest.SendEvent{Kind: delivery.ConnectionLost, Trouble: true, Open: 3})
		w.Run(spool.ReasonSchedule, 20)
		w.Start()
		w.Settle()
		w.CheckAll()
		most := 0
		for _, n := range w.Broker.All {
			most = max(most, n)
		}
		repeats := len(w.Enqueued()) - 20
		if most > 2 || repeats > 4 {
			t.Errorf("%d repeats", repeats)
		}
		if r, _ := w.Spool.Run(1); !r.Work.Unsure || r.Work.Repeats != 0 || r.Work.Told != 20 {
			t.Errorf("work %+v", r.Work)
		}
	})
}

func TestDeliverHasEndlessPatience(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		down := pipelinetest.SendEvent{Kind: delivery.ConnectionLost, Trouble: true, Err: errors.New("connection refused")}
		for range 2000 {
			w.Broker.Events = append(w.Broker.Events, down)
		}
		w.Run(spool.ReasonSchedule, 3)
		w.Start()
		w.Wait(8 * time.Hour)
		if n := w.Batches(); n < 900 || n > 3000 { // about twice a minute
			t.Errorf("%d tries in eight hours", n)
		}
		if n := w.Logs.Count("connection refused"); n > 3 {
			t.Errorf("%d lines about one outage", n)
		}
		w.Happens()
		w.Wait(time.Minute)
		synctest.Wait()
		w.Settle()
		w.CheckAll()
		if w.Logs.Count("delivery goes on") != 1 {
			t.Error("no line about the end of the outage")
		}
	})
}

func TestDeliverRefusedCredentials(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		refused := fault.Hint(fault.Mark(fault.Systemic, errors.New("ACCESS_REFUSED")), "check MQ_USER")
		for range 10 {
			w.Broker.Events = append(w.Broker.Events, pipelinetest.SendEvent{Kind: delivery.AccessRefused, Trouble: true, Err: refused})
		}
		w.Run(spool.ReasonSchedule, 3)
		w.Start()
		w.Wait(5 * time.Second)
		if got := w.NotReady("deliver"); !strings.Contains(got, "ACCESS_REFUSED") || !strings.Contains(got, "check MQ_USER") {
			t.Errorf("not ready: %q", got)
		}
		w.Settle()
		if n := w.OpenCTI.Count("register"); n < 10 {
			t.Errorf("%d registrations", n)
		}
		if w.NotReady("deliver") != "" {
			t.Error("not ready at the end")
		}
		w.CheckAll()
	})
}

func TestDeliverStopsWhenTheCursorCannotBeStored(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		var room atomic.Bool
		w.Full = func(op string) error {
			if !room.Load() && op == "cursor" {
				return spool.ErrFull
			}
			return nil
		}
		w.Run(spool.ReasonSchedule, 100)
		w.Start()
		w.Wait(time.Hour)
		if n := len(w.Enqueued()); n != 8 {
			t.Errorf("%d messages went out over a window of 8", n)
		}
		if w.Batches() != 1 {
			t.Errorf("%d batches", w.Batches())
		}
		if !strings.Contains(w.NotReady("deliver"), spool.ErrFull.Error()) {
			t.Errorf("not ready: %q", w.NotReady("deliver"))
		}
		room.Store(true)
		w.Settle()
		w.CheckAll()
		if n := len(w.Enqueued()) + 0; w.Broker.All["malware--00000000-0000-4000-8000-000000000001"] != 1 {
			t.Errorf("repeats: %d in the queue", n)
		}
	})
}

func TestDeliverQueueThreshold(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Deliver.QueueThreshold = 500
		size := int64(0)
		w.OpenCTI.QueueNow = func() opencti.QueueSize { return opencti.QueueSize{Bytes: size} }
		w.Broker.Slow = time.Second // a message each
		w.Run(spool.ReasonSchedule, 60)
		w.Start()
		w.Wait(15 * time.Second)
		w.OpenCTI.Mu.Lock()
		size = 500_000_000
		w.OpenCTI.Mu.Unlock()
		w.Wait(2 * time.Minute)
		n := len(w.Enqueued())
		if n < 10 || n > 30 {
			t.Errorf("%d messages: no pause in mid-run", n)
		}
		if !w.Info().Buffering {
			t.Error("not buffering")
		}
		if s := w.Live.Status.Snapshot()["deliver"]; s.State != "paused" || !strings.Contains(s.Detail, "500 MB") {
			t.Errorf("status %+v", s)
		}
		w.Wait(time.Hour)
		if len(w.Enqueued()) != n {
			t.Error("goes on over the threshold")
		}
		w.OpenCTI.Mu.Lock()
		size = 499_000_000
		w.OpenCTI.Mu.Unlock()
		w.Settle()
		w.CheckAll()
		if r, _ := w.Spool.Run(1); r.Work.Unsure || r.Work.Repeats > 0 {
			t.Errorf("work %+v", r.Work)
		}
	})
}

// TestTroubleIsLoggedOnce: neither the port of each new connection nor the size of a queue that grows makes it another
// trouble.
func TestTroubleIsLoggedOnce(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		var cuts []pipelinetest.SendEvent
		for port := range 10 {
			cut := fault.Say(fmt.Errorf("read tcp 10.0.0.1:%d->10.0.0.2:5672: connection reset by peer", 40_000+port), "RabbitMQ: the connection was cut")
			cuts = append(cuts, pipelinetest.SendEvent{Kind: delivery.ConnectionLost, Trouble: true, Err: cut})
		}
		w.Happens(cuts...)
		w.Run(spool.ReasonSchedule, 3)
		w.Start()
		w.Settle()
		w.CheckAll()
		if n := w.Logs.Count("delivery is held up"); n != 1 {
			t.Errorf("a broker that cuts connections is told %d times", n)
		}
	})
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Deliver.QueueThreshold = 500
		size := int64(500_000_000)
		w.OpenCTI.QueueNow = func() opencti.QueueSize { size += 1_000_000; return opencti.QueueSize{Bytes: size} }
		w.Run(spool.ReasonSchedule, 3)
		w.Start()
		w.Wait(5 * time.Minute)
		if n := w.Logs.Count("delivery pauses"); n != 1 {
			t.Errorf("a queue that grows is told %d times", n)
		}
	})
}

// TestDeliverWithoutTheQueuesSize: a queue whose size OpenCTI no longer tells does not count as full, and OpenCTI is
// not shown that messages are kept back while they are sent.
func TestDeliverWithoutTheQueuesSize(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Deliver.QueueThreshold = 500
		w.OpenCTI.QueueNow = func() opencti.QueueSize { return opencti.QueueSize{Bytes: 500_000_000} }
		w.Broker.Slow = time.Second // a message each
		w.Run(spool.ReasonSchedule, 300)
		w.Start()
		w.Wait(2 * time.Minute)
		if len(w.Enqueued()) > 0 || !w.Info().Buffering {
			t.Fatalf("%d messages, buffering %v, want none over the threshold", len(w.Enqueued()), w.Info().Buffering)
		}
		w.Refuse("queue", fault.Mark(fault.Systemic, errors.New("FORBIDDEN_ACCESS")))
		w.Wait(2 * time.Minute)
		if n := len(w.Enqueued()); n < 60 || n == 300 || w.Info().Buffering {
			t.Errorf("%d messages, buffering %v, want some and not buffering", n, w.Info().Buffering)
		}
		w.Settle()
		w.CheckAll()
	})
}

func TestDeliverStopsInOrder(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.Broker.Slow = time.Second
				w.Run(spool.ReasonSchedule, 15, 25, 20)
				w.Start()
				w.Wait(20 * time.Second)
				if err := w.Halt(); err != nil {
					t.Fatalf("error of an ordered stop: %v", err)
				}
				if r, _ := w.Spool.Run(1); !r.Work.Quiet {
					t.Errorf("work %+v", r.Work)
				}
				w.Restart()
				w.Broker.Slow = 0
				w.Start()
				w.Drive()
				w.CheckAll()
				for id, n := range w.Broker.All {
					if n != 1 {
						t.Errorf("%s went out %d times over an ordered stop", id, n)
					}
				}
				if r, _ := w.Spool.Run(1); r.Work.Unsure || r.Work.Quiet || r.Work.Sent != 60 {
					t.Errorf("work %+v", r.Work)
				}
				if !w.LastWork().Closed {
					t.Error("the work was not told its end")
				}
			})
		})
	}
}

// TestDeliverStopsWithinTheDrain: the broker answers nothing any more.
func TestDeliverStopsWithinTheDrain(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Run(spool.ReasonSchedule, 6)
		w.Broker.Hang = true
		w.Start()
		w.Wait(time.Minute)
		if err := w.Halt(); err != nil {
			t.Fatalf("error of an ordered stop: %v", err)
		}
		w.Restart()
		w.Broker.Hang = false
		w.Start()
		w.Drive()
		w.CheckAll()
	})
}

// One lost connection is no trouble; a broker that stays away makes the stage
// not ready until something is confirmed, also while it tries.
func TestDeliverIsNotReadyWithoutABroker(t *testing.T) {
	for _, c := range []struct {
		losses int
		want   string
	}{{1, ""}, {200, "lost"}} {
		pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
			w.Happens(slices.Repeat([]pipelinetest.SendEvent{{Trouble: true, Kind: delivery.ConnectionLost}}, c.losses)...)
			w.Run(spool.ReasonSchedule, 10)
			w.Start()
			seen := ""
			for range 60 {
				w.Wait(time.Second)
				if s := w.Live.Status.Snapshot()["deliver"]; s.NotReady != "" {
					seen = s.NotReady
				} else if seen != "" {
					t.Error("ready again, though nothing is confirmed")
				}
			}
			if (seen == "") != (c.want == "") || !strings.Contains(seen, c.want) {
				t.Errorf("%d losses: not ready: %q", c.losses, seen)
			}
			w.Happens()
			w.Settle()
			w.Wait(time.Minute)
			if s := w.Live.Status.Snapshot()["deliver"]; s.NotReady != "" {
				t.Errorf("all is delivered, but not ready: %q", s.NotReady)
			}
		})
	}
}
