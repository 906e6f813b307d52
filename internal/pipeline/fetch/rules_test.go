package fetch

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/pipeline/schedule"
	"threatmatch-connector/spool"
)

func parkedItems(t *testing.T, r *rig) map[string]spool.Task {
	t.Helper()
	out := map[string]spool.Task{}
	for _, d := range spool.Datasets() {
		for id := range 20 {
			task, err := r.Spool.Task(spool.TaskKey{Dataset: d, Kind: spool.TaskItem, Source: fmt.Sprint(id)})
			if err == nil {
				out[string(d)+"/"+task.Source] = task
			}
		}
	}
	return out
}

// TestItemsThatAlwaysFail: everything else arrives in the same run. The failing
// items are parked, tried in later runs, and become dead letters with their last
// response; once they work again, the next run or a retry imports them.
func TestItemsThatAlwaysFail(t *testing.T) {
	tests := []struct {
		status, tries int
	}{{500, itemTries}, {404, itemRefused}, {403, itemRefused}, {401, itemRefused}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) {
				src := pipelinetest.NewSource(10)
				src.Delay = 100 * time.Millisecond
				src.SetFail(pipelinetest.FailWith(tt.status, "item alerts/7", "item reports/3"))
				r := newRig(t, src, rigOptions{fetch: Options{MaxAttempts: 3}})

				first := r.once()
				if r.Arrived() != 28 {
					t.Errorf("%d items came, want 28", r.Arrived())
				}
				if n := src.Count("item alerts/7"); n != tt.tries {
					t.Errorf("tried %d times, want %d", n, tt.tries)
				}
				parked := parkedItems(t, r)
				if len(parked) != 2 || r.Stats().Parked != 2 || first.Counters["fetch.parked"] != 2 {
					t.Errorf("parked: %v, %+v", parked, first.Counters)
				}
				if line := r.Logs.String(); !strings.Contains(line, "alerts/7") || !strings.Contains(line, "items could not be fetched") {
					t.Errorf("the log does not name what could not be fetched:\n%s", line)
				}
				if p := parked["alerts/7"]; p.Runs != 1 || string(p.LastAnswer) != "the last answer" || p.LastClass != fmt.Sprint(tt.status) {
					t.Errorf("parked as %+v", p)
				}
				// A parked item holds the platform's state back, not the watermark.
				if m := r.Marks()[spool.Alerts]; !m.Fetched.Equal(first.Start) || m.Held.IsZero() {
					t.Errorf("watermark %+v", m)
				}

				src.Lists = map[string][]string{}
				r.once()
				third := r.once()
				if s := r.Stats(); s.Parked != 0 || s.Dead != 2 || third.Counters["fetch.dead"] != 2 {
					t.Errorf("after three runs: %+v", s)
				}
				if n := src.Count("item alerts/7"); n != 3*tt.tries {
					t.Errorf("tried %d times in three runs", n)
				}
				dead, err := r.Spool.DeadLetters(0, 10)
				if err != nil || len(dead) != 2 {
					t.Fatalf("got dead letters %v and error %v, want two", dead, err)
				}
				d := dead[0]
				if string(d.Payload) != "the last answer" || d.Attempts != 3 || d.Stage != spool.StageFetch || d.Source == "" || d.Last.IsZero() {
					t.Errorf("dead letter %+v", d)
				}

				src.SetFail(nil)
				if _, err := r.schedule.Retry([]uint64{dead[0].Key}, nil); err != nil {
					t.Fatal(err)
				}
				src.Lists["reports"], src.Lists["alerts"] = []string{"3"}, []string{"7"}
				r.once()
				if s := r.Stats(); s.Dead != 0 || s.Healed != 2 || r.Arrived() != 30 {
					t.Errorf("after healing: %+v, %d items", s, r.Arrived())
				}
				r.CheckSpool()
			})
		})
	}
}

func TestTwoRefusalsMustFollowEachOther(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(3)
		src.Delay = 50 * time.Millisecond
		src.SetFail(func(call string, n int) error {
			if call == "item alerts/2" && n <= 6 {
				return pipelinetest.AnswerError([]int{404, 500}[n%2])
			}
			return nil
		})
		r := newRig(t, src, rigOptions{})
		if run := r.once(); run.Counters["fetch.parked"] != 0 || r.Arrived() != 9 {
			t.Errorf("%v, %d items", run.Counters, r.Arrived())
		}
	})
}

// TestServerDown: nothing counts while nothing is answered; the control request is
// the only probe.
func TestServerDown(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(10)
		src.Delay = time.Second
		down := time.Now().Add(5 * time.Second)
		up := down.Add(3 * time.Hour)
		src.SetFail(func(string, int) error {
			if now := time.Now(); now.After(down) && now.Before(up) {
				return pipelinetest.AnswerError(502)
			}
			return nil
		})
		r := newRig(t, src, rigOptions{})
		r.Know()
		stop := r.Start()
		time.Sleep(2 * time.Hour)
		before := src.Total()
		if s := r.Status.Snapshot()[stageName]; s.State != "paused" || !strings.Contains(s.NotReady, "does not answer") {
			t.Errorf("status %+v", s)
		}
		for key, task := range parkedItems(t, r) {
			if task.Tries > 0 || !task.Parked.IsZero() {
				t.Errorf("%s: a try counted: %+v", key, task)
			}
		}
		time.Sleep(30 * time.Minute)
		if n := src.Total() - before; n < 4 || n > 30 {
			t.Errorf("%d requests in half an hour of a server that is down", n)
		}
		control := src.Times("control")
		for i := range len(control) - 1 {
			if d := control[i+1].Sub(control[i]); d < controlEvery || d > downMost+2*time.Second {
				t.Errorf("control requests %v apart", d)
			}
		}
		time.Sleep(time.Hour)
		if r.Arrived() != 30 || r.LastRun().Counters["fetch.parked"] != 0 {
			t.Errorf("%d items after the server came back, %v", r.Arrived(), r.LastRun().Counters)
		}
		if s := r.Status.Snapshot()[stageName]; s.NotReady != "" {
			t.Errorf("status %+v", s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.CheckSpool()
	})
}

// TestListFailsWhileTheClockIsSetBack: its run ends in time all the same.
func TestListFailsWhileTheClockIsSetBack(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		var back atomic.Int64
		src := pipelinetest.NewSource(5)
		src.SetFail(pipelinetest.FailWith(500, "list alerts"))
		r := newRig(t, src, rigOptions{now: func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }})
		r.Know()
		stop := r.Start()
		time.Sleep(10 * time.Minute)
		back.Store(int64(5 * time.Hour))
		time.Sleep(time.Hour)
		if d := r.LastRun().Datasets[spool.Alerts]; d.Status != spool.DatasetFailed {
			t.Errorf("dataset: %+v, want it failed within an hour", d)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestListFails: the other datasets complete, its watermark stays, and the next run
// covers the gap.
func TestListFails(t *testing.T) {
	for _, status := range []int{500, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) {
				src := pipelinetest.NewSource(5)
				src.Delay = 100 * time.Millisecond
				r := newRig(t, src, rigOptions{schedule: schedule.Options{Overlap: 10 * time.Minute}})
				good := r.once()
				time.Sleep(24 * time.Hour)
				src.SetFail(pipelinetest.FailWith(status, "list alerts"))
				begin := time.Now()
				bad := r.once()
				took := time.Since(begin)
				if d := bad.Datasets[spool.Alerts]; d.Status != spool.DatasetFailed || !strings.Contains(d.Detail, fmt.Sprint(status)) {
					t.Errorf("dataset: %+v", d)
				}
				if d := bad.Datasets[spool.Profiles]; d.Status != spool.DatasetOK {
					t.Errorf("dataset: %+v", d)
				}
				if status == 500 && (took < listPatience || took > listPatience+2*time.Minute) || status == 403 && src.Count("list alerts") != 1+listRefused {
					t.Errorf("gave up after %v and %d tries", took, src.Count("list alerts"))
				}
				m := r.Marks()
				if !m[spool.Alerts].Fetched.Equal(good.Start) || !m[spool.Alerts].Confirmed.Equal(good.Start) || !m[spool.Profiles].Confirmed.Equal(bad.Start) {
					t.Errorf("watermarks %+v", m)
				}
				if s := r.Stats(); s.Dead+s.Parked != 0 {
					t.Errorf("a list was parked or given up: %+v", s)
				}
				time.Sleep(24 * time.Hour)
				src.SetFail(nil)
				healed := r.once()
				if from := healed.Datasets[spool.Alerts].From; !from.Equal(good.Start.Add(-10 * time.Minute)) {
					t.Errorf("the next run begins at %v, the watermark is %v", from, good.Start)
				}
				if r.Records("alerts/1") != 2 || r.Records("profiles/1") != 3 {
					t.Errorf("items %v", r.Items)
				}
				r.CheckSpool()
			})
		})
	}
}

func TestDatasetThatIsNotOffered(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(2)
		src.SetFail(pipelinetest.FailWith(404, "list reports"))
		r := newRig(t, src, rigOptions{})
		run := r.once()
		if d := run.Datasets[spool.Reports]; d.Status != spool.DatasetSkipped || !strings.Contains(d.Detail, "not offered") {
			t.Errorf("dataset: %+v", d)
		}
		if n := strings.Count(r.Logs.String(), "dataset is skipped"); n != 1 {
			t.Errorf("%d warnings", n)
		}
		if _, ok := r.Marks()[spool.Reports]; ok || r.Arrived() != 4 {
			t.Errorf("watermarks %+v, %d items", r.Marks(), r.Arrived())
		}
	})
}

// TestEveryListRefused: the address or the account is wrong, whatever the control
// request says.
func TestEveryListRefused(t *testing.T) {
	for _, groups := range []bool{true, false} {
		pipelinetest.InBubble(t, func(t *testing.T) {
			src := pipelinetest.NewSource(2)
			fail := pipelinetest.FailWith(404, "list", "groups")
			src.SetFail(func(call string, n int) error {
				if call == "control" && !groups {
					return fault.Mark(fault.Systemic, pipelinetest.FakeAnswer(404))
				}
				return fail(call, n)
			})
			r := newRig(t, src, rigOptions{})
			r.Know()
			stop := r.Start()
			time.Sleep(10 * time.Minute)
			before := src.Total()
			if s := r.Status.Snapshot()[stageName]; !strings.Contains(s.NotReady, "refuses") {
				t.Errorf("groups answer %v: status %+v", groups, s)
			}
			time.Sleep(10 * time.Minute)
			if n := src.Total() - before; n > 31 || n < 25 {
				t.Errorf("groups answer %v: %d requests in ten minutes, want three a minute", groups, n)
			}
			if run := r.LastRun(); !run.FetchedAt.IsZero() || len(r.Marks()) != 0 {
				t.Errorf("run %+v, watermarks %v", run, r.Marks())
			}
			src.SetFail(nil)
			time.Sleep(5 * time.Minute)
			if run := r.LastRun(); run.FetchedAt.IsZero() || r.Arrived() != 6 {
				t.Errorf("after it was mended: run %+v, %d items", run, r.Arrived())
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCredentialsRefused(t *testing.T) {
	refuse := func(string, int) error {
		return fault.Hint(fault.Mark(fault.Systemic, pipelinetest.FakeAnswer(401)), "check the secret")
	}
	t.Run("daemon", func(t *testing.T) {
		pipelinetest.InBubble(t, func(t *testing.T) {
			src := pipelinetest.NewSource(2)
			src.SetFail(refuse)
			r := newRig(t, src, rigOptions{})
			r.Know()
			stop := r.Start()
			time.Sleep(time.Hour)
			if n := src.Count("control"); n > 181 || n < 170 {
				t.Errorf("%d tries in an hour, want three a minute", n)
			}
			if s := r.Status.Snapshot()[stageName]; !strings.Contains(s.NotReady, "check the secret") {
				t.Errorf("status %+v", s)
			}
			src.SetFail(nil)
			time.Sleep(time.Minute)
			if r.Arrived() != 6 {
				t.Errorf("%d items", r.Arrived())
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("gives up", func(t *testing.T) {
		pipelinetest.InBubble(t, func(t *testing.T) {
			src := pipelinetest.NewSource(2)
			src.SetFail(refuse)
			r := newRig(t, src, rigOptions{fetch: Options{GiveUp: 2 * time.Minute}})
			r.Know()
			stop := r.Start()
			time.Sleep(3 * time.Minute)
			err := stop()
			if !fault.Is(err, fault.Systemic) && (err == nil || !strings.Contains(err.Error(), "refused for 2m0s")) {
				t.Errorf("got %v", err)
			}
		})
	})
}

func TestOneItemIsAlwaysUnauthorised(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(4)
		src.SetFail(pipelinetest.FailWith(401, "item profiles/1"))
		r := newRig(t, src, rigOptions{fetch: Options{MaxConcurrency: 1}})
		run := r.once()
		if r.Arrived() != 11 || run.Counters["fetch.parked"] != 1 {
			t.Errorf("%d items, %v", r.Arrived(), run.Counters)
		}
	})
}

// TestLastItemStanding: if nothing else is left to request, the control request
// shows that the server is healthy.
func TestLastItemStanding(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(0)
		src.Lists["alerts"] = []string{"1"}
		src.SetFail(pipelinetest.FailWith(500, "item alerts/1"))
		r := newRig(t, src, rigOptions{})
		run := r.once()
		if run.Counters["fetch.parked"] != 1 || src.Count("item alerts/1") != itemTries {
			t.Errorf("%v, %d tries", run.Counters, src.Count("item alerts/1"))
		}
		if n := src.Count("control"); n < itemTries/2 || n > itemTries {
			t.Errorf("%d control requests", n)
		}
	})
}

// TestSlowAnswersBeat: fetch and the schedule keep beating during requests that
// take hours.
func TestSlowAnswersBeat(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(3)
		src.Delay = 3 * time.Hour
		r := newRig(t, src, rigOptions{})
		r.Know()
		stop := r.Start()
		for range 10 * 60 {
			time.Sleep(time.Minute)
			for name, s := range r.Status.Snapshot() {
				if silent := time.Since(s.Beat); silent > 2*time.Minute {
					t.Fatalf("%s is silent for %v: %s %s", name, silent, s.State, s.Detail)
				}
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
