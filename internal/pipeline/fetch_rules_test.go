package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/spool"
)

// bubble runs a test with a clock of its own, well after the epoch.
func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(26 * 365 * 24 * time.Hour)
		fn(t)
	})
}

func failing(status int, calls ...string) func(string, int) error {
	return func(call string, _ int) error {
		for _, c := range calls {
			if strings.HasPrefix(call, c) {
				return answerError(status)
			}
		}
		return nil
	}
}

func parkedItems(t *testing.T, r *rig) map[string]spool.Task {
	t.Helper()
	out := map[string]spool.Task{}
	for _, d := range spool.Datasets() {
		for id := range 20 {
			task, err := r.spool.Task(spool.TaskKey{Dataset: d, Kind: spool.TaskItem, Source: fmt.Sprint(id)})
			if err == nil {
				out[string(d)+"/"+task.Source] = task
			}
		}
	}
	return out
}

// TestItemsThatAlwaysFail: everything else arrives in the same run; the failing
// ones are parked, tried in later runs, and become dead letters with their last
// answer; healed, they come in by the next run or by a retry.
func TestItemsThatAlwaysFail(t *testing.T) {
	tests := []struct {
		status, tries int
	}{{500, itemTries}, {429, itemTries}, {404, itemRefused}, {403, itemRefused}, {401, itemRefused}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				src := newFake(10)
				src.delay = 100 * time.Millisecond
				src.setFail(failing(tt.status, "item alerts/7", "item reports/3"))
				r := newRig(t, src, rigOptions{fetch: FetchOptions{MaxAttempts: 3}})

				first := r.once()
				if r.arrived() != 28 {
					t.Errorf("%d items came, want 28", r.arrived())
				}
				if n := src.count("item alerts/7"); n != tt.tries {
					t.Errorf("tried %d times, want %d", n, tt.tries)
				}
				parked := parkedItems(t, r)
				if len(parked) != 2 || r.stats().Parked != 2 || first.Counters["fetch.parked"] != 2 {
					t.Errorf("parked: %v, %+v", parked, first.Counters)
				}
				if p := parked["alerts/7"]; p.Runs != 1 || string(p.LastAnswer) != "the last answer" || p.LastClass != fmt.Sprint(tt.status) {
					t.Errorf("parked as %+v", p)
				}
				// A parked item holds the platform's state back, not the watermark.
				if m := r.marks()[spool.Alerts]; !m.Fetched.Equal(first.Start) || m.Held.IsZero() {
					t.Errorf("watermark %+v", m)
				}

				src.lists = map[string][]string{}
				r.once()
				third := r.once()
				if s := r.stats(); s.Parked != 0 || s.Dead != 2 || third.Counters["fetch.dead"] != 2 {
					t.Errorf("after three runs: %+v", s)
				}
				if n := src.count("item alerts/7"); n != 3*tt.tries {
					t.Errorf("tried %d times in three runs", n)
				}
				dead, err := r.spool.DeadLetters(0, 10)
				if err != nil || len(dead) != 2 {
					t.Fatalf("%v %v", dead, err)
				}
				d := dead[0]
				if string(d.Payload) != "the last answer" || d.Attempts != 3 || d.Stage != spool.StageFetch || d.Source == "" || d.Last.IsZero() {
					t.Errorf("dead letter %+v", d)
				}

				src.setFail(nil)
				if _, err := r.schedule.Retry([]uint64{dead[0].Key}, nil); err != nil {
					t.Fatal(err)
				}
				src.lists["reports"], src.lists["alerts"] = []string{"3"}, []string{"7"}
				r.once()
				if s := r.stats(); s.Dead != 0 || s.Healed != 2 || r.arrived() != 30 {
					t.Errorf("after healing: %+v, %d items", s, r.arrived())
				}
				r.wholesome()
			})
		})
	}
}

func TestTwoRefusalsMustFollowEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(3)
		src.delay = 50 * time.Millisecond
		src.setFail(func(call string, n int) error {
			if call == "item alerts/2" && n <= 6 {
				return answerError([]int{404, 500}[n%2])
			}
			return nil
		})
		r := newRig(t, src, rigOptions{})
		if run := r.once(); run.Counters["fetch.parked"] != 0 || r.arrived() != 9 {
			t.Errorf("%v, %d items", run.Counters, r.arrived())
		}
	})
}

// TestServerDown: nothing counts while nobody gets an answer; the control
// request is the one probe.
func TestServerDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(10)
		src.delay = time.Second
		down := time.Now().Add(5 * time.Second)
		up := down.Add(3 * time.Hour)
		src.setFail(func(string, int) error {
			if now := time.Now(); now.After(down) && now.Before(up) {
				return answerError(502)
			}
			return nil
		})
		r := newRig(t, src, rigOptions{})
		r.know()
		stop := r.start()
		time.Sleep(2 * time.Hour)
		before := src.total()
		if s := r.status.Snapshot()[stageFetch]; s.State != "paused" || !strings.Contains(s.NotReady, "does not answer") {
			t.Errorf("status %+v", s)
		}
		for key, task := range parkedItems(t, r) {
			if task.Tries > 0 || !task.Parked.IsZero() {
				t.Errorf("%s: a try counted: %+v", key, task)
			}
		}
		time.Sleep(30 * time.Minute)
		if n := src.total() - before; n < 4 || n > 30 {
			t.Errorf("%d requests in half an hour of a server that is down", n)
		}
		control := src.times("control")
		for i := range len(control) - 1 {
			if d := control[i+1].Sub(control[i]); d < controlEvery || d > downMost+2*time.Second {
				t.Errorf("control requests %v apart", d)
			}
		}
		time.Sleep(time.Hour)
		if r.arrived() != 30 || r.lastRun().Counters["fetch.parked"] != 0 {
			t.Errorf("%d items after the server came back, %v", r.arrived(), r.lastRun().Counters)
		}
		if s := r.status.Snapshot()[stageFetch]; s.NotReady != "" {
			t.Errorf("status %+v", s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.wholesome()
	})
}

// TestListFails: the others complete, its watermark stays, the next run covers the gap.
func TestListFails(t *testing.T) {
	for _, status := range []int{500, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				src := newFake(5)
				src.delay = 100 * time.Millisecond
				r := newRig(t, src, rigOptions{schedule: ScheduleOptions{Overlap: 10 * time.Minute}})
				good := r.once()
				time.Sleep(24 * time.Hour)
				src.setFail(failing(status, "list alerts"))
				begin := time.Now()
				bad := r.once()
				took := time.Since(begin)
				if d := bad.Datasets[spool.Alerts]; d.Status != spool.DatasetFailed || !strings.Contains(d.Detail, fmt.Sprint(status)) {
					t.Errorf("dataset: %+v", d)
				}
				if d := bad.Datasets[spool.Profiles]; d.Status != spool.DatasetOK {
					t.Errorf("dataset: %+v", d)
				}
				if status == 500 && (took < listPatience || took > listPatience+2*time.Minute) || status == 403 && src.count("list alerts") != 1+listRefused {
					t.Errorf("gave up after %v and %d tries", took, src.count("list alerts"))
				}
				m := r.marks()
				if !m[spool.Alerts].Fetched.Equal(good.Start) || !m[spool.Alerts].Confirmed.Equal(good.Start) || !m[spool.Profiles].Confirmed.Equal(bad.Start) {
					t.Errorf("watermarks %+v", m)
				}
				if s := r.stats(); s.Dead+s.Parked != 0 {
					t.Errorf("a list was parked or given up: %+v", s)
				}
				time.Sleep(24 * time.Hour)
				src.setFail(nil)
				healed := r.once()
				if from := healed.Datasets[spool.Alerts].From; !from.Equal(good.Start.Add(-10 * time.Minute)) {
					t.Errorf("the next run begins at %v, the watermark is %v", from, good.Start)
				}
				if r.records("alerts/1") != 2 || r.records("profiles/1") != 3 {
					t.Errorf("items %v", r.items)
				}
				r.wholesome()
			})
		})
	}
}

func TestDatasetThatIsNotOffered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(2)
		src.setFail(failing(404, "list reports"))
		r := newRig(t, src, rigOptions{})
		run := r.once()
		if d := run.Datasets[spool.Reports]; d.Status != spool.DatasetSkipped || !strings.Contains(d.Detail, "not offered") {
			t.Errorf("dataset: %+v", d)
		}
		if n := strings.Count(r.logs.String(), "dataset is skipped"); n != 1 {
			t.Errorf("%d warnings", n)
		}
		if _, ok := r.marks()[spool.Reports]; ok || r.arrived() != 4 {
			t.Errorf("watermarks %+v, %d items", r.marks(), r.arrived())
		}
	})
}

// TestEveryListRefused: the address or the account is wrong, whatever the control request says.
func TestEveryListRefused(t *testing.T) {
	for _, groups := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			src := newFake(2)
			fail := failing(404, "list", "groups")
			src.setFail(func(call string, n int) error {
				if call == "control" && !groups {
					return fault.Mark(fault.Systemic, fakeAnswer{404})
				}
				return fail(call, n)
			})
			r := newRig(t, src, rigOptions{})
			r.know()
			stop := r.start()
			time.Sleep(10 * time.Minute)
			before := src.total()
			if s := r.status.Snapshot()[stageFetch]; !strings.Contains(s.NotReady, "refuses") {
				t.Errorf("groups answer %v: status %+v", groups, s)
			}
			time.Sleep(10 * time.Minute)
			if n := src.total() - before; n > 31 || n < 25 {
				t.Errorf("groups answer %v: %d requests in ten minutes, want three a minute", groups, n)
			}
			if run := r.lastRun(); !run.FetchedAt.IsZero() || len(r.marks()) != 0 {
				t.Errorf("run %+v, watermarks %v", run, r.marks())
			}
			src.setFail(nil)
			time.Sleep(5 * time.Minute)
			if run := r.lastRun(); run.FetchedAt.IsZero() || r.arrived() != 6 {
				t.Errorf("after it was mended: run %+v, %d items", run, r.arrived())
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCredentialsRefused(t *testing.T) {
	refuse := func(string, int) error {
		return fault.Hint(fault.Mark(fault.Systemic, fakeAnswer{401}), "check the secret")
	}
	t.Run("daemon", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			src := newFake(2)
			src.setFail(refuse)
			r := newRig(t, src, rigOptions{})
			r.know()
			stop := r.start()
			time.Sleep(time.Hour)
			if n := src.count("control"); n > 181 || n < 170 {
				t.Errorf("%d tries in an hour, want three a minute", n)
			}
			if s := r.status.Snapshot()[stageFetch]; !strings.Contains(s.NotReady, "check the secret") {
				t.Errorf("status %+v", s)
			}
			src.setFail(nil)
			time.Sleep(time.Minute)
			if r.arrived() != 6 {
				t.Errorf("%d items", r.arrived())
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("gives up", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			src := newFake(2)
			src.setFail(refuse)
			r := newRig(t, src, rigOptions{fetch: FetchOptions{GiveUp: 2 * time.Minute}})
			r.know()
			stop := r.start()
			time.Sleep(3 * time.Minute)
			err := stop()
			if !fault.Is(err, fault.Systemic) && (err == nil || !strings.Contains(err.Error(), "refused for 2m0s")) {
				t.Errorf("got %v", err)
			}
		})
	})
}

func TestOneItemIsAlwaysUnauthorised(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(4)
		src.setFail(failing(401, "item profiles/1"))
		r := newRig(t, src, rigOptions{fetch: FetchOptions{MaxConcurrency: 1}})
		run := r.once()
		if r.arrived() != 11 || run.Counters["fetch.parked"] != 1 {
			t.Errorf("%d items, %v", r.arrived(), run.Counters)
		}
	})
}

// TestLastItemStanding: when nothing else is left to ask, the control request says that the server is well.
func TestLastItemStanding(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(0)
		src.lists["alerts"] = []string{"1"}
		src.setFail(failing(500, "item alerts/1"))
		r := newRig(t, src, rigOptions{})
		run := r.once()
		if run.Counters["fetch.parked"] != 1 || src.count("item alerts/1") != itemTries {
			t.Errorf("%v, %d tries", run.Counters, src.count("item alerts/1"))
		}
		if n := src.count("control"); n < itemTries/2 || n > itemTries {
			t.Errorf("%d control requests", n)
		}
	})
}
