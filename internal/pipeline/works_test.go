package pipeline

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/spool"
)

func TestWorkNameEndsInRun(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.run(spool.ReasonSchedule, 1)
		w.start()
		w.settle()
		if got := w.lastWork().Name; got != "ThreatMatch run @ 2000-01-01T00:00:00Z, run 1" {
			t.Errorf("name %q", got)
		}
	})
}

func TestWorkIsNotOpenedForNothing(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.run(spool.ReasonSchedule)
		w.start()
		w.settle()
		if len(w.works()) != 0 {
			t.Errorf("works %+v", w.works())
		}
		if got, _ := parseState(w.state()); got.LastRun.IsZero() {
			time.Sleep(time.Second)
			if got, _ = parseState(w.state()); got.LastRun.IsZero() {
				t.Errorf("state %s", w.state())
			}
		}
	})
}

func TestWorkAdoptedAfterLostAnswer(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.cti.lost["add"] = 1
		w.run(spool.ReasonSchedule, 5)
		w.start()
		w.drive()
		w.checkAll()
		if n := w.cti.count("add"); n != 1 {
			t.Errorf("opened %d times", n)
		}
	})
}

// TestWorkOpenedLate: the request takes effect after its work was opened again.
func TestWorkOpenedLate(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.cti.late["add"] = 20 * time.Second
		w.mq.slow = 10 * time.Second
		w.run(spool.ReasonSchedule, 5)
		w.start()
		w.drive()
		w.checkAll()
		if len(w.works()) != 2 {
			t.Errorf("%d works", len(w.works()))
		}
	})
}

func TestWorkToldAfterLostAnswer(t *testing.T) {
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				w.cti.lost["expect"] = 1
				w.run(spool.ReasonSchedule, 5, 6)
				w.start()
				w.drive()
				w.checkAll()
				if k := w.lastWork(); k.Expected != 11 || w.cti.count("expect") != 2 {
					t.Errorf("expected %d, told in %d calls", k.Expected, w.cti.count("expect"))
				}
			})
		})
	}
}

// TestWorkToldLate: a tell takes effect after it was told again. The surplus
// is settled, or the work would stay in progress for ever.
func TestWorkToldLate(t *testing.T) {
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				w.reportsOK = true
				w.cti.late["expect"] = 20 * time.Second
				w.mq.slow = 10 * time.Second
				w.run(spool.ReasonSchedule, 5)
				w.start()
				w.drive()
				w.checkAll()
				if k := w.lastWork(); k.Expected != 10 || len(k.reports) != 5 {
					t.Errorf("expected %d, reports %v", k.Expected, k.reports)
				}
			})
		})
	}
}

func TestWorkNeverReceivedTell(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.refuse("expect", errors.New("502"))
		w.run(spool.ReasonSchedule, 5)
		w.start()
		time.Sleep(time.Hour)
		if len(w.enqueued()) > 0 {
			t.Error("published before the expectation was told")
		}
		w.refuse("expect", nil)
		w.drive()
		w.checkAll()
		if k := w.lastWork(); k.Expected != 5 {
			t.Errorf("expected %d", k.Expected)
		}
	})
}

func TestWorkReplacedWhenDeleted(t *testing.T) {
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				w.mq.slow = time.Second
				r := w.run(spool.ReasonSchedule, 10, 10, 10)
				w.start()
				time.Sleep(5 * time.Second)
				if s, _ := w.sp.Stats(); s.IDs != 30 {
					t.Fatalf("%d ids", s.IDs)
				}
				w.cti.deleteWorks()
				w.settle()
				w.mq.workOff(1000)
				w.checkWorks()
				if len(w.order()) != 30 {
					t.Errorf("%d messages", len(w.order()))
				}
				k := w.lastWork()
				if k.Expected != 20 || !strings.HasSuffix(k.Name, ", part 2, run 1") {
					t.Errorf("work %q with %d messages", k.Name, k.Expected)
				}
				if s, _ := w.sp.Stats(); s.IDs != 0 {
					t.Errorf("%d ids still count as known", s.IDs)
				}
				from := r.Datasets[spool.Alerts].From.Format(time.RFC3339)
				if n := w.logs.count("repull --from " + from); n != 1 {
					t.Errorf("%d lines name the repull", n)
				}
			})
		})
	}
}

func TestWorkDeletedBeforeItsEnd(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		r := w.openRun(spool.ReasonSchedule, 10)
		w.start()
		time.Sleep(time.Minute)
		w.cti.deleteWorks()
		w.must(w.sp.FinishMap(w.epoch(), r.ID, time.Now()))
		w.settle()
		if len(w.works()) != 1 || w.logs.count("repull --from") != 1 || w.cti.count("processed") != 0 {
			t.Errorf("%d works, log:\n%s", len(w.works()), w.logs.tail(10))
		}
	})
}

// TestWorkDeletedBetweenCheckAndTell: the tell goes to nowhere, without an error.
func TestWorkDeletedDuringRetry(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.happens(append(make([]sendEvent, 4), nacks(6)...)...)
		w.run(spool.ReasonSchedule, 10)
		w.start()
		time.Sleep(3 * time.Second)
		w.cti.deleteWorks()
		w.settle()
		k := w.lastWork()
		if k.Expected != 6 || len(w.order()) != 10 {
			t.Errorf("the rest: %d of %d", k.Expected, len(w.order()))
		}
		w.mq.workOff(100)
		w.checkWorks()
	})
}

func TestWorkInError(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		r, err := w.sp.StartRun(w.epoch(), time.Now(), spool.RunSpec{Reason: spool.ReasonSchedule,
			Datasets: map[spool.Dataset]time.Time{spool.Alerts: time.Now(), spool.IOCs: time.Now()}})
		w.must(err)
		w.must(w.sp.FailDataset(w.epoch(), r.ID, spool.IOCs, spool.DatasetFailed, "HTTP 500"))
		w.must(w.sp.FinishFetch(w.epoch(), r.ID, time.Now()))
		w.addBundle(r.ID, 3, 10)
		w.must(w.sp.Count(w.epoch(), r.ID, map[string]int64{"fetch.parked": 2, "map.dead": 5, "map.dead_unresolved": 4}))
		w.must(w.sp.FinishMap(w.epoch(), r.ID, time.Now()))
		w.start()
		w.settle()
		k := w.lastWork()
		if !k.inError || k.message != "3 objects sent; iocs failed: HTTP 500; 2 items to be tried again in a later run; 1 dead letters" {
			t.Errorf("work %v %q", k.inError, k.message)
		}
	})
}

// TestWorkOneAtATime: a run whose map goes on keeps its work; the next run waits.
func TestWorkOneAtATime(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		one := w.openRun(spool.ReasonSchedule, 3)
		w.start()
		w.soon()
		two := w.run(spool.ReasonTrigger, 4)
		w.live.wakes.Deliver.Signal()
		time.Sleep(time.Hour)
		if len(w.enqueued()) != 3 {
			t.Errorf("%d messages", len(w.enqueued()))
		}
		if s := w.live.status.Snapshot()[stageDeliver]; s.State != "paused" || !strings.Contains(s.Detail, "run 2 waits") {
			t.Errorf("status %+v", s)
		}
		w.addBundle(one.ID, 5, 100)
		w.must(w.sp.FinishMap(w.epoch(), one.ID, time.Now()))
		w.settle()
		w.checkAll()
		if r, _ := w.sp.Run(two.ID); r.Work.Sent != 4 {
			t.Errorf("work %+v", r.Work)
		}
	})
}

// TestGate: affected platforms open a run's work when the one before it is
// complete, gone, or its queue was empty for two minutes.
func TestGate(t *testing.T) {
	for _, p := range profiles() {
		for _, how := range []string{"complete", "gone", "empty", "never"} {
			t.Run(p.name+"/"+how, func(t *testing.T) {
				inWorld(t, p, func(w *world) {
					w.run(spool.ReasonSchedule, 5)
					w.run(spool.ReasonSchedule)
					w.run(spool.ReasonTrigger, 4)
					w.start()
					time.Sleep(time.Hour)
					open := len(w.works())
					if !p.affected {
						if open != 2 {
							t.Errorf("%d works are open: no gate here", open)
						}
						return
					}
					if open != 1 {
						t.Fatalf("%d works are open", open)
					}
					switch how {
					case "complete":
						w.mq.workOff(100)
						time.Sleep(11 * time.Second)
					case "gone":
						w.cti.deleteWorks()
						time.Sleep(11 * time.Second)
					case "empty": // a worker lost messages: the work never completes
						w.mq.mu.Lock()
						w.mq.queue = nil
						w.mq.mu.Unlock()
						time.Sleep(100 * time.Second)
						if len(w.works()) != 1 {
							t.Error("opened before the queue was empty for two minutes")
						}
						w.cti.mu.Lock()
						w.cti.queue = func() opencti.QueueSize { return opencti.QueueSize{Messages: 1} } // one comes back from a worker
						w.cti.mu.Unlock()
						time.Sleep(100 * time.Second)
						w.cti.mu.Lock()
						w.cti.queue = func() opencti.QueueSize { return opencti.QueueSize{} }
						w.cti.mu.Unlock()
						time.Sleep(110 * time.Second)
						if len(w.works()) != 1 {
							t.Error("opened though the queue was not empty for two minutes on end")
						}
						time.Sleep(40 * time.Second)
					case "never":
						return
					}
					if len(w.works()) != 2 {
						t.Errorf("%d works", len(w.works()))
					}
				})
			})
		}
	}
}

func TestGateOfASingleRun(t *testing.T) {
	inWorld(t, profiles()[2], func(w *world) {
		w.opt.Once = true
		w.run(spool.ReasonSchedule, 5)
		w.run(spool.ReasonOnce, 4)
		w.start()
		time.Sleep(10*time.Minute - 5*time.Second)
		select {
		case <-w.live.ended:
			t.Fatal("gave up too early")
		default:
		}
		time.Sleep(20 * time.Second)
		w.live.stop()
		<-w.live.ended
		if err := w.live.err; !errors.Is(err, ErrUndelivered) {
			t.Errorf("error %v", err)
		}
		w.live = nil
		if runs, _ := w.sp.OpenRuns(); len(runs) != 1 {
			t.Errorf("%d open runs", len(runs))
		}
	})
}

func TestArchiveBesideTheQueue(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.dirs = &fakeArchive{}
		w.run(spool.ReasonSchedule, 3, 4)
		w.start()
		w.settle()
		w.checkAll()
		var sizes []int
		for _, objects := range w.dirs.files {
			sizes = append(sizes, len(objects))
		}
		slices.Sort(sizes)
		if !slices.Equal(sizes, []int{3, 4}) {
			t.Errorf("files with %v objects", sizes)
		}
		w.dirs.fail = errors.New("disk full")
		w.run(spool.ReasonTrigger, 5)
		w.live.wakes.Deliver.Signal()
		w.settle()
		w.checkAll()
		if n := w.logs.count("could not be archived"); n != 1 {
			t.Errorf("%d lines about the archive", n)
		}
	})
}

// TestArchiveAlone: without a queue a failing archive holds the bundle back.
func TestArchiveAlone(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.dirs = &fakeArchive{fail: errors.New("disk full")}
		w.offline = true
		w.run(spool.ReasonSchedule, 3, 4)
		w.start()
		time.Sleep(time.Hour)
		if s, _ := w.sp.Stats(); s.Bundles != 2 {
			t.Errorf("%d bundles", s.Bundles)
		}
		w.dirs.mu.Lock()
		w.dirs.fail = nil
		w.dirs.mu.Unlock()
		w.settle()
		if len(w.dirs.files) != 2 {
			t.Errorf("%d files", len(w.dirs.files))
		}
	})
}

// TestArchiveTimes: bundles of one commit do not overwrite each other.
func TestArchiveTimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC)
	seen := map[time.Time]bool{}
	for seq := range uint64(1000) {
		seen[archiveTime(at, seq)] = true
	}
	if len(seen) != 1000 || !archiveTime(at, 7).Equal(archiveTime(at, 7)) {
		t.Errorf("%d times of 1000 bundles", len(seen))
	}
}
