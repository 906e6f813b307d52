package deliver_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/opencti"
	"threatmatch-connector/internal/pipeline/deliver"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

func TestWorkNameEndsInRun(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Run(spool.ReasonSchedule, 1)
		w.Start()
		w.Settle()
		if got := w.LastWork().Name; got != "ThreatMatch run @ 2000-01-01T00:00:00Z, run 1" {
			t.Errorf("name %q", got)
		}
	})
}

func TestWorkIsNotOpenedForNothing(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Run(spool.ReasonSchedule)
		w.Start()
		w.Settle()
		if len(w.Works()) != 0 {
			t.Errorf("works %+v", w.Works())
		}
		if w.LastRun().IsZero() {
			w.Wait(time.Second)
			if w.LastRun().IsZero() {
				t.Errorf("state %s", w.State())
			}
		}
	})
}

func TestWorkAdoptedAfterLostAnswer(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.OpenCTI.Lost["add"] = 1
		w.Run(spool.ReasonSchedule, 5)
		w.Start()
		w.Drive()
		w.CheckAll()
		if n := w.OpenCTI.Count("add"); n != 1 {
			t.Errorf("opened %d times", n)
		}
	})
}

// TestWorkOpenedLate: the request takes effect after its work was created again.
func TestWorkOpenedLate(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.OpenCTI.Late["add"] = 20 * time.Second
		w.Broker.Slow = 10 * time.Second
		w.Run(spool.ReasonSchedule, 5)
		w.Start()
		w.Drive()
		w.CheckAll()
		if len(w.Works()) != 2 {
			t.Errorf("%d works", len(w.Works()))
		}
	})
}

func TestWorkToldAfterLostAnswer(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.OpenCTI.Lost["expect"] = 1
				w.Run(spool.ReasonSchedule, 5, 6)
				w.Start()
				w.Drive()
				w.CheckAll()
				if k := w.LastWork(); k.Expected != 11 || w.OpenCTI.Count("expect") != 1 {
					t.Errorf("expected %d, told in %d calls", k.Expected, w.OpenCTI.Count("expect"))
				}
			})
		})
	}
}

// TestWorkToldLate: an announcement takes effect after it was repeated. The surplus
// is settled, otherwise the work would stay in progress forever.
func TestWorkToldLate(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.ReportsOK = true
				w.OpenCTI.Late["expect"] = 20 * time.Second
				w.Broker.Slow = 10 * time.Second
				w.Run(spool.ReasonSchedule, 5)
				w.Start()
				w.Drive()
				w.CheckAll()
				if k := w.LastWork(); k.Expected != 10 || len(k.Reports) != 5 {
					t.Errorf("expected %d, reports %v", k.Expected, k.Reports)
				}
			})
		})
	}
}

func TestWorkNeverReceivedTell(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Refuse("expect", errors.New("502"))
		w.Run(spool.ReasonSchedule, 5)
		w.Start()
		w.Wait(time.Hour)
		if len(w.Enqueued()) > 0 {
			t.Error("published before the expectation was told")
		}
		w.Refuse("expect", nil)
		w.Drive()
		w.CheckAll()
		if k := w.LastWork(); k.Expected != 5 {
			t.Errorf("expected %d", k.Expected)
		}
	})
}

func TestWorkReplacedWhenDeleted(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.Broker.Slow = time.Second
				r := w.Run(spool.ReasonSchedule, 10, 10, 10)
				w.Start()
				w.Wait(5 * time.Second)
				if s, _ := w.Spool.Stats(); s.IDs != 30 {
					t.Fatalf("%d ids", s.IDs)
				}
				w.OpenCTI.DeleteWorks() // noticed after 15 messages
				w.Settle()
				w.Broker.WorkOff(1000)
				w.CheckWorks()
				if len(w.Order()) != 30 {
					t.Errorf("%d messages", len(w.Order()))
				}
				k := w.LastWork()
				if k.Expected != 15 || !strings.HasSuffix(k.Name, ", part 2, run 1") {
					t.Errorf("work %q with %d messages", k.Name, k.Expected)
				}
				if n := knownIDs(t, w.Spool); n != 0 {
					t.Errorf("%d ids still count as known", n)
				}
				from := r.Datasets[spool.Alerts].From.Format(time.RFC3339)
				if n := w.Logs.Count("repull --from " + from); n != 1 {
					t.Errorf("%d lines name the repull", n)
				}
			})
		})
	}
}

func TestWorkDeletedBeforeItsEnd(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		r := w.OpenRun(spool.ReasonSchedule, 10)
		w.Start()
		w.Wait(time.Minute)
		w.OpenCTI.DeleteWorks()
		w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
		w.Settle()
		if len(w.Works()) != 1 || w.Logs.Count("repull --from") != 1 || w.OpenCTI.Count("processed") != 0 {
			t.Errorf("%d works, log:\n%s", len(w.Works()), w.Logs.Tail(10))
		}
	})
}

// TestWorkDeletedDuringRetry: the broker accepts nothing for a while, and the work
// is deleted meanwhile.
func TestWorkDeletedDuringRetry(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Happens(append(make([]pipelinetest.SendEvent, 4), pipelinetest.Nacks(9)...)...)
		w.Run(spool.ReasonSchedule, 10)
		w.Start()
		w.Wait(3 * time.Second)
		w.OpenCTI.DeleteWorks()
		w.Settle()
		k := w.LastWork()
		if k.Expected != 6 || len(w.Order()) != 10 {
			t.Errorf("the rest: %d of %d", k.Expected, len(w.Order()))
		}
		w.Broker.WorkOff(100)
		w.CheckWorks()
	})
}

func TestWorkInError(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		r, err := w.Spool.StartRun(w.Epoch(), time.Now(), spool.RunSpec{Reason: spool.ReasonSchedule,
			Datasets: map[spool.Dataset]time.Time{spool.Alerts: time.Now(), spool.IOCs: time.Now()}})
		w.Must(err)
		w.Must(w.Spool.FailDataset(w.Epoch(), r.ID, spool.IOCs, spool.DatasetFailed, "HTTP 500"))
		w.Must(w.Spool.FinishFetch(w.Epoch(), r.ID, time.Now()))
		w.AddBundle(r.ID, 3, 10)
		w.Must(w.Spool.Count(w.Epoch(), r.ID, map[string]int64{"fetch.parked": 2, "map.dead": 5, "map.dead_unresolved": 4}))
		w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
		w.Start()
		w.Settle()
		k := w.LastWork()
		if !k.InError || k.Message != "3 objects sent; iocs failed: HTTP 500; 2 items to be tried again in a later run; 1 dead letter" {
			t.Errorf("work %v %q", k.InError, k.Message)
		}
	})
}

// TestWorkOneAtATime: a run that is still being mapped keeps its work; the next run
// waits.
func TestWorkOneAtATime(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		one := w.OpenRun(spool.ReasonSchedule, 3)
		w.Start()
		w.Soon()
		two := w.Run(spool.ReasonTrigger, 4)
		w.Live.Wakes.Deliver.Signal()
		w.Wait(time.Hour)
		if len(w.Enqueued()) != 3 {
			t.Errorf("%d messages", len(w.Enqueued()))
		}
		if s := w.Live.Status.Snapshot()["deliver"]; s.State != "paused" || !strings.Contains(s.Detail, "run 2 waits") {
			t.Errorf("status %+v", s)
		}
		w.AddBundle(one.ID, 5, 100)
		w.Must(w.Spool.FinishMap(w.Epoch(), one.ID, time.Now()))
		w.Settle()
		w.CheckAll()
		if r, _ := w.Spool.Run(two.ID); r.Work.Sent != 4 {
			t.Errorf("work %+v", r.Work)
		}
	})
}

// TestNoWorkBesideOneFromBeforeAReset: while that cannot be deleted, no other is created.
func TestNoWorkBesideOneFromBeforeAReset(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Broker.Slow = time.Second
		w.Run(spool.ReasonSchedule, 10)
		w.Start()
		w.Wait(3 * time.Second)
		w.Refuse("delete", errors.New("502"))
		w.OpenCTI.PressReset()
		w.Live.Wakes.Platform.Signal()
		w.Wait(time.Minute)
		w.Run(spool.ReasonReset, 4)
		w.Live.Wakes.Deliver.Signal()
		w.Wait(10 * time.Minute)
		if n := len(w.Works()); n != 1 {
			t.Errorf("%d works while the old one is left, want no other", n)
		}
		w.Refuse("delete", nil)
		w.Settle()
		if works := w.Works(); len(works) != 2 || !works[0].Deleted || works[1].Expected != 4 {
			t.Errorf("works %+v, want the old one deleted and a new one", works)
		}
	})
}

// TestWorkOpenedDuringAReset: it is deleted by its id, as the user may not search for it.
func TestWorkOpenedDuringAReset(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.OpenCTI.NoModules = true
		w.OpenCTI.Slow["add"] = time.Minute
		w.Run(spool.ReasonSchedule, 3)
		w.Start()
		w.Wait(10 * time.Second)
		w.OpenCTI.PressReset()
		w.Live.Wakes.Platform.Signal()
		w.Wait(10 * time.Minute)
		if works := w.Works(); len(works) != 1 || !works[0].Deleted {
			t.Errorf("works %+v, want the one that was opened deleted", works)
		}
	})
}

// TestGate: affected platforms create a run's work when the previous one is
// complete or gone, or its queue was empty for two minutes.
func TestGate(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		for _, how := range []string{"complete", "gone", "empty", "never"} {
			t.Run(p.Name+"/"+how, func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
					w.Run(spool.ReasonSchedule, 5)
					w.Run(spool.ReasonSchedule)
					w.Run(spool.ReasonTrigger, 4)
					w.Start()
					w.Wait(time.Hour)
					open := len(w.Works())
					if !p.Affected {
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
						w.Broker.WorkOff(100)
						w.Wait(11 * time.Second)
					case "gone":
						w.OpenCTI.DeleteWorks()
						w.Wait(11 * time.Second)
					case "empty": // a worker lost messages: the work never completes
						w.Broker.Mu.Lock()
						w.Broker.Queue = nil
						w.Broker.Mu.Unlock()
						w.Wait(100 * time.Second)
						if len(w.Works()) != 1 {
							t.Error("opened before the queue was empty for two minutes")
						}
						w.OpenCTI.Mu.Lock()
						w.OpenCTI.QueueNow = func() opencti.QueueSize { return opencti.QueueSize{Messages: 1} } // one comes back from a worker
						w.OpenCTI.Mu.Unlock()
						w.Wait(100 * time.Second)
						w.OpenCTI.Mu.Lock()
						w.OpenCTI.QueueNow = func() opencti.QueueSize { return opencti.QueueSize{} }
						w.OpenCTI.Mu.Unlock()
						w.Wait(110 * time.Second)
						if len(w.Works()) != 1 {
							t.Error("opened though the queue was not empty for two minutes on end")
						}
						w.Wait(40 * time.Second)
					case "never":
						return
					}
					if len(w.Works()) != 2 {
						t.Errorf("%d works", len(w.Works()))
					}
				})
			})
		}
	}
}

func TestGateOfASingleRun(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Profiles()[2], func(w *pipelinetest.World) {
		w.Deliver.Once = true
		w.Run(spool.ReasonSchedule, 5)
		w.Run(spool.ReasonOnce, 4)
		w.Start()
		w.Wait(10*time.Minute - 5*time.Second)
		select {
		case <-w.Live.Ended:
			t.Fatal("gave up too early")
		default:
		}
		w.Wait(20 * time.Second)
		w.Live.Stop()
		<-w.Live.Ended
		if err := w.Live.Err; !errors.Is(err, deliver.ErrUndelivered) {
			t.Errorf("error %v", err)
		}
		w.Live = nil
		if runs, _ := w.Spool.OpenRuns(); len(runs) != 1 {
			t.Errorf("%d open runs", len(runs))
		}
	})
}

func TestArchiveBesideTheQueue(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Archive = &pipelinetest.Archive{}
		w.Run(spool.ReasonSchedule, 3, 4)
		w.Start()
		w.Settle()
		w.CheckAll()
		if sizes := archived(w); !slices.Equal(sizes, []int{3, 4}) {
			t.Errorf("files with %v objects", sizes)
		}
		w.Archive.Fail = errors.New("disk full")
		w.Run(spool.ReasonTrigger, 5)
		w.Live.Wakes.Deliver.Signal()
		w.Settle()
		w.CheckAll()
		if n := w.Logs.Count("could not be archived"); n != 1 {
			t.Errorf("%d lines about the archive", n)
		}
	})
}

// archived returns how many objects each file has.
func archived(w *pipelinetest.World) (sizes []int) {
	for _, objects := range w.Archive.Files {
		sizes = append(sizes, len(objects))
	}
	slices.Sort(sizes)
	return sizes
}

// TestArchiveAlone: without a queue, a failing archive holds the bundle back.
func TestArchiveAlone(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Archive = &pipelinetest.Archive{Fail: errors.New("disk full")}
		w.Offline = true
		w.Run(spool.ReasonSchedule, 3, 4)
		w.Start()
		w.Wait(time.Hour)
		if s, _ := w.Spool.Stats(); s.Bundles != 2 {
			t.Errorf("%d bundles", s.Bundles)
		}
		w.Archive.Mu.Lock()
		w.Archive.Fail = nil
		w.Archive.Mu.Unlock()
		w.Settle()
		if len(w.Archive.Files) != 2 {
			t.Errorf("%d files", len(w.Archive.Files))
		}
	})
}

// TestArchiveOfUnreadableObjects: what cannot be read becomes dead letters, and the rest of the bundle is archived, with
// and without a queue.
func TestArchiveOfUnreadableObjects(t *testing.T) {
	for name, offline := range map[string]bool{"alone": true, "beside the queue": false} {
		t.Run(name, func(t *testing.T) {
			pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
				w.Archive = &pipelinetest.Archive{}
				w.Offline, w.ReportsOK = offline, true
				w.Unreadable = func(run, seq uint64, i int) bool { return seq == 1 && (i == 0 || i == 3 || i == 4) }
				run := w.Run(spool.ReasonSchedule, 5, 2)
				w.Start()
				w.Wait(time.Hour)
				if sizes := archived(w); !slices.Equal(sizes, []int{2, 2}) {
					t.Errorf("files with %v objects", sizes)
				}
				dead, err := w.Spool.DeadLetters(0, 10)
				w.Must(err)
				if len(dead) != 3 || dead[0].Class != "corrupt" {
					t.Errorf("dead letters %+v", dead)
				}
				r, err := w.Spool.Run(run.ID)
				w.Must(err)
				if r.DoneAt.IsZero() || r.Counters["deliver.messages"] != 4 || r.Counters["deliver.dead"] != 3 {
					t.Errorf("run %+v", r)
				}
			})
		})
	}
}

// knownIDs counts the objects that the spool still knows, as opposed to those
// forgotten with their run.
func knownIDs(t *testing.T, s *spool.Spool) int {
	t.Helper()
	entries, err := s.List("ids", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Key)
	}
	known, err := s.LookupIDs(ids)
	if err != nil {
		t.Fatal(err)
	}
	return len(known)
}

func TestOptionsAreChecked(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Start()
		deps := w.Live.Deliver.Deps
		for name, o := range map[string]deliver.Options{
			"no window": {ConnectorName: "x"},
			"no name":   {Window: 1},
		} {
			if _, err := deliver.New(deps, o); !fault.Is(err, fault.Fatal) {
				t.Errorf("%s: got error %v, want a fatal one", name, err)
			}
		}
	})
}
