package pipeline

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
	"threatmatch-connector/spool"
)

// enqueued returns the sequence numbers in the queue, in order.
func (w *world) enqueued() []int {
	w.mq.mu.Lock()
	defer w.mq.mu.Unlock()
	var out []int
	for _, e := range w.mq.queue {
		out = append(out, e.Sequence)
	}
	return out
}

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
			inWorld(t, newest(), func(w *world) {
				w.mq.events = append(make([]sendEvent, 4), // four are taken, the fifth not, two behind it are; then it is refused again
					sendEvent{kind: kind, trouble: true, behind: 2}, sendEvent{kind: kind, trouble: true}, sendEvent{kind: kind, trouble: true})
				w.run(spool.ReasonSchedule, 10)
				w.start()
				w.settle()
				want := append(upTo(4), 6, 7)
				want = append(want, 5, 6, 7, 8, 9, 10)
				if got := w.enqueued(); !slices.Equal(got, want) {
					t.Errorf("order %v, want %v", got, want)
				}
				if w.batches() != 5 { // the whole, three alone, the rest
					t.Errorf("%d batches", w.batches())
				}
				k := w.lastWork()
				if k.Expected != 12 {
					t.Errorf("expected %d, two messages came twice for sure", k.Expected)
				}
				if kind == delivery.Returned && (w.cti.count("register") < 3 || w.cti.count("ping") < 4) {
					t.Errorf("OpenCTI was not asked for its topology: %d registrations, %d pings", w.cti.count("register"), w.cti.count("ping"))
				}
				w.checkAll()
				r, err := w.sp.Run(1)
				w.must(err)
				if r.Work.Repeats != 2 || r.Work.Sent != 12 || r.Work.Unsure {
					t.Errorf("work %+v", r.Work)
				}
			})
		})
	}
}

func TestDeliverReportsBuffering(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.happens(append(make([]sendEvent, 4), nacks(20)...)...)
		w.run(spool.ReasonSchedule, 10)
		w.start()
		time.Sleep(90 * time.Second)
		if !w.info().Buffering {
			t.Error("not buffering while messages are refused")
		}
		if s := w.live.status.Snapshot()[stageDeliver]; s.State != "paused" || s.NotReady != "" {
			t.Errorf("status %+v", s)
		}
		w.settle()
		time.Sleep(time.Minute)
		if w.info().Buffering {
			t.Error("buffering though the queue takes messages again")
		}
		if n := w.logs.count("queue is full"); n != 1 {
			t.Errorf("%d lines about a full queue", n)
		}
	})
}

func TestDeliverTooLarge(t *testing.T) {
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				var told []int64
				w.onLimit = func(n int64) { told = append(told, n) }
				r := w.openRun(spool.ReasonSchedule, 5)
				w.addBundle(r.ID, 1, 5000)
				w.addBundle(r.ID, 4, 200)
				mixed := spool.MapCommit{Run: r.ID, Bundles: []spool.NewBundle{{}}}
				for i := range 6 {
					w.ids++
					id := fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", w.ids)
					text := fmt.Sprintf(`{"type":"malware","id":%q,"x":%q}`, id, strings.Repeat("x", 100+5000*(i%2)))
					mixed.Bundles[0].Objects = append(mixed.Bundles[0].Objects, spool.BundleObject{STIX: id, JSON: []byte(text), Source: "s"})
					mixed.IDs = append(mixed.IDs, spool.IDPut{STIX: id, ID: spool.ID{Run: r.ID, At: time.Now()}})
				}
				w.must(w.sp.CommitMap(w.epoch(), time.Now(), mixed))
				w.must(w.sp.FinishMap(w.epoch(), r.ID, time.Now()))
				w.mq.limit = 2000
				w.reportsOK = true
				w.start()
				w.drive()
				w.checkAll()
				dead, err := w.sp.DeadLetters(0, 10)
				w.must(err)
				if len(dead) != 4 || dead[0].Class != "too_large" || dead[0].Stage != spool.StageDeliver || len(dead[0].Payload) < 5000 ||
					!strings.Contains(dead[0].Error, "2000") {
					t.Errorf("%d dead letters: %+v", len(dead), dead)
				}
				known, err := w.sp.LookupIDs([]string{dead[0].STIX, dead[3].STIX})
				if err != nil || len(known) != 0 {
					t.Errorf("ids still know %v, %v", known, err)
				}
				if !slices.Equal(told, []int64{2000}) {
					t.Errorf("map was told %v", told)
				}
				if w.mq.tooLarge != 1 {
					t.Errorf("%d messages over the limit were tried", w.mq.tooLarge)
				}
				k := w.lastWork()
				if len(k.reports) != 4 || k.Expected != 16 {
					t.Errorf("expected %d, reports %v", k.Expected, k.reports)
				}
				if k.Closed && (!k.inError || !strings.Contains(k.message, "4 dead letters")) {
					t.Errorf("work %q %v", k.message, k.inError)
				}
			})
		})
	}
}

// TestDeliverTooLargeOfUnknownIndex: the broker does not say which it was.
func TestDeliverTooLargeOfUnknownIndex(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.reportsOK = true
		w.mq.blind = true
		w.mq.limit = 2000
		r := w.openRun(spool.ReasonSchedule, 3)
		w.addBundle(r.ID, 1, 5000)
		w.must(w.sp.FinishMap(w.epoch(), r.ID, time.Now()))
		w.start()
		w.drive()
		w.checkAll()
	})
}

func TestDeliverUnreadableObjects(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.reportsOK = true
		w.unreadable = func(run, seq uint64, i int) bool { return i >= 3 && i < 5 }
		w.run(spool.ReasonSchedule, 9)
		w.start()
		w.drive()
		dead, err := w.sp.DeadLetters(0, 10)
		w.must(err)
		if len(dead) != 2 || dead[0].Class != "corrupt" {
			t.Errorf("dead letters %+v", dead)
		}
		if len(w.order()) != 7 {
			t.Errorf("%d messages", len(w.order()))
		}
		w.checkWorks()
		if s, _ := w.sp.Stats(); s.IDs != 0 {
			t.Errorf("%d ids are still known, though two cannot be named", s.IDs)
		}
	})
}

func TestDeliverLostGoesOnFromCursor(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.mq.events = append(make([]sendEvent, 14), sendEvent{kind: delivery.ConnectionLost, trouble: true, open: 3})
		w.run(spool.ReasonSchedule, 20)
		w.start()
		w.settle()
		w.checkAll()
		most := 0
		for _, n := range w.mq.all {
			most = max(most, n)
		}
		repeats := len(w.enqueued()) - 20
		if most > 2 || repeats > 4 {
			t.Errorf("%d repeats", repeats)
		}
		if r, _ := w.sp.Run(1); !r.Work.Unsure || r.Work.Repeats != 0 || r.Work.Told != 20 {
			t.Errorf("work %+v", r.Work)
		}
	})
}

func TestDeliverHasEndlessPatience(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		down := sendEvent{kind: delivery.ConnectionLost, trouble: true, err: errors.New("connection refused")}
		for range 2000 {
			w.mq.events = append(w.mq.events, down)
		}
		w.run(spool.ReasonSchedule, 3)
		w.start()
		time.Sleep(8 * time.Hour)
		if n := w.batches(); n < 900 || n > 3000 { // about twice a minute
			t.Errorf("%d tries in eight hours", n)
		}
		if n := w.logs.count("connection refused"); n > 3 {
			t.Errorf("%d lines about one outage", n)
		}
		w.happens()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.settle()
		w.checkAll()
		if w.logs.count("delivery goes on") != 1 {
			t.Error("no line about the end of the outage")
		}
	})
}

func TestDeliverRefusedCredentials(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		refused := fault.Hint(fault.Mark(fault.Systemic, errors.New("ACCESS_REFUSED")), "check MQ_USER")
		for range 10 {
			w.mq.events = append(w.mq.events, sendEvent{kind: delivery.AccessRefused, trouble: true, err: refused})
		}
		w.run(spool.ReasonSchedule, 3)
		w.start()
		time.Sleep(5 * time.Second)
		if got := w.notReady(stageDeliver); !strings.Contains(got, "ACCESS_REFUSED") || !strings.Contains(got, "check MQ_USER") {
			t.Errorf("not ready: %q", got)
		}
		w.settle()
		if n := w.cti.count("register"); n < 10 {
			t.Errorf("%d registrations", n)
		}
		if w.notReady(stageDeliver) != "" {
			t.Error("not ready at the end")
		}
		w.checkAll()
	})
}

func TestDeliverStopsWhenTheCursorCannotBeStored(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		var room atomic.Bool
		w.full = func(op string) error {
			if !room.Load() && op == "cursor" {
				return spool.ErrFull
			}
			return nil
		}
		w.run(spool.ReasonSchedule, 100)
		w.start()
		time.Sleep(time.Hour)
		if n := len(w.enqueued()); n != 8 {
			t.Errorf("%d messages went out over a window of 8", n)
		}
		if w.batches() != 1 {
			t.Errorf("%d batches", w.batches())
		}
		if !strings.Contains(w.notReady(stageDeliver), spool.ErrFull.Error()) {
			t.Errorf("not ready: %q", w.notReady(stageDeliver))
		}
		room.Store(true)
		w.settle()
		w.checkAll()
		if n := len(w.enqueued()) + 0; w.mq.all["malware--00000000-0000-4000-8000-000000000001"] != 1 {
			t.Errorf("repeats: %d in the queue", n)
		}
	})
}

func TestDeliverQueueThreshold(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.opt.QueueThreshold = 500
		size := int64(0)
		w.cti.queue = func() opencti.QueueSize { return opencti.QueueSize{Bytes: size} }
		w.mq.slow = time.Second // a message each
		w.run(spool.ReasonSchedule, 60)
		w.start()
		time.Sleep(15 * time.Second)
		w.cti.mu.Lock()
		size = 500_000_000
		w.cti.mu.Unlock()
		time.Sleep(2 * time.Minute)
		n := len(w.enqueued())
		if n < 10 || n > 30 {
			t.Errorf("%d messages: no pause in mid-run", n)
		}
		if !w.info().Buffering {
			t.Error("not buffering")
		}
		if s := w.live.status.Snapshot()[stageDeliver]; s.State != "paused" || !strings.Contains(s.Detail, "500 MB") {
			t.Errorf("status %+v", s)
		}
		time.Sleep(time.Hour)
		if len(w.enqueued()) != n {
			t.Error("goes on over the threshold")
		}
		w.cti.mu.Lock()
		size = 499_000_000
		w.cti.mu.Unlock()
		w.settle()
		w.checkAll()
		if r, _ := w.sp.Run(1); r.Work.Unsure || r.Work.Repeats > 0 {
			t.Errorf("work %+v", r.Work)
		}
	})
}

func TestDeliverStopsInOrder(t *testing.T) {
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				w.mq.slow = time.Second
				w.run(spool.ReasonSchedule, 60)
				w.start()
				time.Sleep(20 * time.Second)
				if err := w.halt(); err != nil {
					t.Fatalf("error of an ordered stop: %v", err)
				}
				if r, _ := w.sp.Run(1); !r.Work.Quiet {
					t.Errorf("work %+v", r.Work)
				}
				w.reborn()
				w.mq.slow = 0
				w.start()
				w.drive()
				w.checkAll()
				for id, n := range w.mq.all {
					if n != 1 {
						t.Errorf("%s went out %d times over an ordered stop", id, n)
					}
				}
				if r, _ := w.sp.Run(1); r.Work.Unsure || r.Work.Quiet || r.Work.Sent != 60 {
					t.Errorf("work %+v", r.Work)
				}
				if !w.lastWork().Closed {
					t.Error("the work was not told its end")
				}
			})
		})
	}
}

// TestDeliverStopsWithinTheDrain: the broker answers nothing any more.
func TestDeliverStopsWithinTheDrain(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.run(spool.ReasonSchedule, 6)
		w.mq.hang = true
		w.start()
		time.Sleep(time.Minute)
		if err := w.halt(); err != nil {
			t.Fatalf("error of an ordered stop: %v", err)
		}
		w.reborn()
		w.mq.hang = false
		w.start()
		w.drive()
		w.checkAll()
	})
}

// One lost connection is no trouble; a broker that stays away makes the stage
// not ready until something is confirmed, also while it tries.
func TestDeliverIsNotReadyWithoutABroker(t *testing.T) {
	for _, c := range []struct {
		losses int
		want   string
	}{{1, ""}, {200, "lost"}} {
		inWorld(t, newest(), func(w *world) {
			w.happens(slices.Repeat([]sendEvent{{trouble: true, kind: delivery.ConnectionLost}}, c.losses)...)
			w.run(spool.ReasonSchedule, 10)
			w.start()
			seen := ""
			for range 60 {
				time.Sleep(time.Second)
				if s := w.live.status.Snapshot()[stageDeliver]; s.NotReady != "" {
					seen = s.NotReady
				} else if seen != "" {
					t.Error("ready again, though nothing is confirmed")
				}
			}
			if (seen == "") != (c.want == "") || !strings.Contains(seen, c.want) {
				t.Errorf("%d losses: not ready: %q", c.losses, seen)
			}
			w.happens()
			w.settle()
			time.Sleep(time.Minute)
			if s := w.live.status.Snapshot()[stageDeliver]; s.NotReady != "" {
				t.Errorf("all is delivered, but not ready: %q", s.NotReady)
			}
		})
	}
}
