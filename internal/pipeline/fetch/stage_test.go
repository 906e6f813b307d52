package fetch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

func TestListIsAskedFromFurtherBack(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(2)
		time.Sleep(47 * time.Second)
		src.Zone = 5 * time.Hour // as a server five hours west of UTC reads our dates
		r := newRig(t, src, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.Alerts}}})
		run := r.once()
		since, from := src.Asked("alerts"), run.Datasets[spool.Alerts].From
		if len(since) != 2 || !since[0].Equal(from) {
			t.Fatalf("asked %v for a window from %v", since, from)
		}
		if since[1].Truncate(time.Minute).Add(src.Zone).After(from) {
			t.Errorf("asked again from %v: not far enough", since[1])
		}
		if r.Arrived() != 2 || r.Stats().Dead != 0 || !strings.Contains(r.Logs.String(), "another time zone") {
			t.Errorf("%d items, %+v, log %s", r.Arrived(), r.Stats(), r.Logs)
		}
	})
}

func TestListThatLooksBackNoFurther(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(2)
		src.Floor = time.Now().AddDate(0, -1, 0)
		r := newRig(t, src, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.Alerts}}})
		r.once()
		dead, err := r.Spool.DeadLetters(0, 10)
		if err != nil || len(dead) != 1 || dead[0].Class != "gap" || !strings.Contains(dead[0].Error, "only those since") {
			t.Errorf("dead letters %+v %v", dead, err)
		}
		if r.Arrived() != 2 || src.Count("list alerts") > 2 {
			t.Errorf("%d items, asked %d times", r.Arrived(), src.Count("list alerts"))
		}
	})
}

func TestClocks(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, -2 * time.Second, time.Hour} {
		pipelinetest.InBubble(t, func(t *testing.T) {
			src := pipelinetest.NewSource(2)
			src.Skew = skew
			r := newRig(t, src, rigOptions{})
			run := r.once()
			want := run.Created.Add(min(skew, 0))
			if d := run.Start.Sub(want); d < 0 || d > time.Second {
				t.Errorf("server off by %v: start %v, want %v", skew, run.Start, want)
			}
			if warned := strings.Contains(r.Logs.String(), "clocks"); warned != (skew.Abs() > time.Minute) {
				t.Errorf("server off by %v: warned %v", skew, warned)
			}
		})
	}
}

// TestDatesMoveNoWatermarkBack: whatever a server's Date says, and for however
// long, no watermark ever moves back.
func TestDatesMoveNoWatermarkBack(t *testing.T) {
	for _, skew := range []time.Duration{-56 * 365 * 24 * time.Hour, -25 * time.Hour, -23 * time.Hour, -41 * time.Minute, 30 * time.Hour} {
		pipelinetest.InBubble(t, func(t *testing.T) {
			src := pipelinetest.NewSource(1)
			src.Offered = nil
			r := newRig(t, src, rigOptions{})
			r.once()
			before := r.Marks()
			src.Skew = skew
			time.Sleep(17 * time.Minute)
			run := r.once()
			for d, m := range r.Marks() {
				if m.Fetched.Before(before[d].Fetched) || m.Confirmed.Before(before[d].Confirmed) {
					t.Errorf("server off by %v: %s went back to %v, %v from %v", skew, d, m.Fetched, m.Confirmed, before[d])
				}
			}
			if used := !run.Start.Equal(run.Created); skew.Abs() > 24*time.Hour && used {
				t.Errorf("server off by %v: the run starts at %v, want %v", skew, run.Start, run.Created)
			}
		})
	}
}

// TestLostClockMovesNoPage: a server whose clock is years ahead cannot make the time of
// one object count that is as far ahead: the pages behind it are asked for.
func TestLostClockMovesNoPage(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(0)
		src.Skew = 90 * 365 * 24 * time.Hour
		src.Pages.Size = 10
		for i := range 50 {
			at := time.Now().Add(time.Duration(i-50) * time.Minute)
			if i == 9 { // the last of a page
				src.Pages.AddAs(at, "2080-01-02T03:04:05.000Z")
				continue
			}
			src.Pages.Add(1, at, pipelinetest.Millis)
		}
		r := newRig(t, src, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.IOCs}}})
		run := r.once()
		if got, pages := len(r.Got), run.Counters["fetch.pages"]; got != len(src.Pages.Objects) || pages > 20 {
			t.Errorf("got %d objects in %d pages, want %d", got, pages, len(src.Pages.Objects))
		}
	})
}

// TestStop: requests under way end at once and count as not made.
func TestStop(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(10)
		r := newRig(t, src, rigOptions{})
		r.Know()
		stop := r.Start()
		src.SetFail(func(call string, n int) error {
			if strings.HasPrefix(call, "item") {
				src.Mu.Lock()
				src.Delay = time.Hour // from now on it hangs
				src.Mu.Unlock()
			}
			return nil
		})
		time.Sleep(10 * time.Minute)
		begin := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stopped after %v", took)
		}
		for key, task := range parkedItems(t, r) {
			if task.Tries > 0 || !task.LastTry.IsZero() {
				t.Errorf("%s: counted: %+v", key, task.TaskState)
			}
		}
		if run := r.LastRun(); !run.FetchedAt.IsZero() || run.Counters["fetch.retries"] > 0 {
			t.Errorf("run %+v", run)
		}
		r.CheckSpool()
	})
}

// TestNothingIsAskedTwice stops the stage at random and continues on the same
// spool.
func TestNothingIsAskedTwice(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		src := pipelinetest.NewSource(60)
		for i := range 950 {
			src.Pages.Add(1, time.Now().Add(time.Duration(i-2000)*time.Second), pipelinetest.Millis)
		}
		got, asked := map[string]int{}, 0
		rng := rand.New(rand.NewPCG(3, 4))
		for stops := 0; ; stops++ {
			src.Mu.Lock()
			src.Delay = 100 * time.Millisecond
			src.Mu.Unlock()
			r := newRig(t, src, rigOptions{dir: dir})
			r.Know()
			stop := r.Start()
			time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			for id, n := range r.Got {
				got[id] += n
			}
			done := !r.LastRun().FetchedAt.IsZero()
			resumed := r.LastRun().Resumed
			if err := r.Spool.Close(); err != nil {
				t.Fatal(err)
			}
			if done {
				if stops < 3 || !resumed {
					t.Errorf("%d stops, resumed %v", stops, resumed)
				}
				asked = src.Total()
				// Only what was under way at a stop is asked again.
				if most := 4 + 180 + 12 + 4*stops; asked > most {
					t.Errorf("%d requests with %d stops, at most %d expected", asked, stops, most)
				}
				break
			}
		}
		if len(got) != 180+950 {
			t.Errorf("%d objects", len(got))
		}
		for id, n := range got {
			if n != 1 {
				t.Errorf("%s was spooled %d times", id, n)
			}
		}
	})
}

// TestClockSetBack: tasks in backoff do not wait until the clock has caught up.
func TestClockSetBack(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(3)
		src.SetFail(func(call string, n int) error {
			if n <= 2 && (call == "item alerts/2" || call == "list reports") {
				return pipelinetest.AnswerError(500)
			}
			return nil
		})
		var back atomic.Int64
		r := newRig(t, src, rigOptions{now: func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }})
		r.Know()
		stop := r.Start()
		time.Sleep(300 * time.Millisecond)
		back.Store(int64(48 * time.Hour))
		time.Sleep(5 * time.Minute)
		if r.Arrived() != 9 || r.LastRun().FetchedAt.IsZero() {
			t.Errorf("%d items, run %+v", r.Arrived(), r.LastRun())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestLostCursor: a page task with an unreadable cursor starts its window again.
func TestLostCursor(t *testing.T) {
	run := &openRun{Run: spool.Run{Datasets: map[spool.Dataset]spool.DatasetRun{spool.IOCs: {From: pipelinetest.PageEpoch}}}}
	for _, cursor := range []string{"", "{", "{}", "null", `{"group":"1"}`} {
		task := spool.Task{
			TaskKey:   spool.TaskKey{Dataset: spool.IOCs, Kind: spool.TaskPage, Source: "a/b/indicator"},
			TaskState: spool.TaskState{Cursor: []byte(cursor)},
		}
		if c := cursorOf(task, run); c.Group != "a/b" || c.Type != "indicator" || !c.After.Equal(pipelinetest.PageEpoch) {
			t.Errorf("%q: got %+v", cursor, c)
		}
	}
}

func TestResetInTheMiddle(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(40)
		src.Delay = time.Second
		r := newRig(t, src, rigOptions{})
		r.Know()
		stop := r.Start()
		time.Sleep(10 * time.Second)
		first := r.LastRun()
		if _, _, err := r.Spool.Reset(time.Now()); err != nil {
			t.Fatal(err)
		}
		r.Wakes.Fetch.Signal()
		r.Wakes.Schedule.Signal()
		time.Sleep(5 * time.Minute)
		last := r.LastRun()
		if last.ID == first.ID || last.Reason != spool.ReasonReset || last.DoneAt.IsZero() || last.Counters["fetch.items"] != 120 {
			t.Errorf("run %+v", last)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.CheckSpool()
	})
}

func TestSwitchedOffDataset(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		src := pipelinetest.NewSource(5)
		src.SetFail(pipelinetest.FailWith(500, "list alerts"))
		r := newRig(t, src, rigOptions{dir: dir})
		r.Know()
		stop := r.Start()
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		r.Spool.Close()
		r = newRig(t, src, rigOptions{dir: dir, fetch: Options{Datasets: []spool.Dataset{spool.Profiles}}})
		stop = r.Start()
		time.Sleep(time.Minute)
		run := r.LastRun()
		if run.FetchedAt.IsZero() || run.Datasets[spool.Alerts].Status != spool.DatasetOff || run.Counters["fetch.dropped"] != 1 {
			t.Errorf("run %+v", run)
		}
		if _, ok := r.Marks()[spool.Alerts]; ok {
			t.Errorf("watermarks %+v", r.Marks())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestGroups(t *testing.T) {
	all := []threatmatch.Group{{ID: "1", Name: "All content"}, {ID: "2", Name: "Mine"}, {ID: "3", Name: "Yours"}}
	tests := []struct {
		name    string
		offered []threatmatch.Group
		wanted  []string
		picked  []string
		missing []string
	}{
		{"by default", all, []string{"All content"}, []string{"1"}, nil},
		{"by name, not its case", all, []string{"mine"}, []string{"2"}, nil},
		{"by id", all, []string{"3"}, []string{"3"}, nil},
		{"several", all, []string{"Yours", "1", "All content"}, []string{"3", "1"}, nil},
		{"one is missing", all, []string{"Mine", "No"}, []string{"2"}, []string{"No"}},
		{"all are missing", all[1:], []string{"All content"}, []string{"2", "3"}, []string{"All content"}},
		{"none is offered", nil, []string{"All content"}, nil, []string{"All content"}},
	}
	for _, tt := range tests {
		picked, missing := pickGroups(tt.offered, tt.wanted)
		var ids []string
		for _, g := range picked {
			ids = append(ids, g.ID)
		}
		if !slices.Equal(ids, tt.picked) || !slices.Equal(missing, tt.missing) {
			t.Errorf("%s: got %v, missing %v", tt.name, ids, missing)
		}
	}
}

func TestNoGroupAtAll(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(2)
		src.Offered = nil
		r := newRig(t, src, rigOptions{})
		run := r.once()
		if run.Reason != spool.ReasonOnce {
			t.Errorf("reason %s", run.Reason)
		}
		if d := run.Datasets[spool.IOCs]; d.Status != spool.DatasetSkipped || r.Arrived() != 6 {
			t.Errorf("%+v, %d items", d, r.Arrived())
		}
	})
}

// TestOnlyGroups: no other group is read instead of those that an operator chose,
// because that would import what they want to exclude.
func TestOnlyGroups(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(2)
		src.Offered = []threatmatch.Group{{ID: "1", Name: "All content"}}
		r := newRig(t, src, rigOptions{fetch: Options{Groups: []string{"Mine", "Yours"}, OnlyGroups: true}})
		run := r.once()
		d := run.Datasets[spool.IOCs]
		if d.Status != spool.DatasetFailed || !strings.Contains(d.Detail, "Mine, Yours") || run.Counters["fetch.pages"] != 0 {
			t.Errorf("got %+v, %d pages; want failed, with the names, and no page", d, run.Counters["fetch.pages"])
		}
		src.Offered = append(src.Offered, threatmatch.Group{ID: "2", Name: "Yours"})
		if run = r.once(); run.Counters[groupOf+"2/Yours"] != 1 || run.Counters[groupOf+"1/All content"] != 0 {
			t.Errorf("got %v, want group 2 alone", run.Counters)
		}
	})
}

// If a group that was used before is missing from a response, the watermark must
// not move past what only that group has; a group that was never used does not
// matter.
func TestGroupGoneForOneRun(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		all := []threatmatch.Group{{ID: "1", Name: "Watchlist"}, {ID: "2", Name: "All content"}}
		dir, src := t.TempDir(), pipelinetest.NewSource(1)
		run := func(offered []threatmatch.Group, wanted ...string) (spool.Run, spool.Watermark, string) {
			time.Sleep(time.Hour)
			src.Offered = offered
			r := newRig(t, src, rigOptions{dir: dir, fetch: Options{Groups: wanted}})
			defer r.Spool.Close()
			return r.once(), r.Marks()[spool.IOCs], r.Logs.String()
		}
		_, before, _ := run(all)
		if before.Fetched.IsZero() {
			t.Fatal("no watermark after the first run")
		}
		for _, wanted := range [][]string{{"all CONTENT"}, {"2"}, {"Watchlist", "All content"}} {
			failed, mark, logs := run(all[:1], wanted...)
			d := failed.Datasets[spool.IOCs]
			if d.Status != spool.DatasetFailed || !strings.Contains(d.Detail, wanted[len(wanted)-1]) || mark != before {
				t.Errorf("%v: %+v, watermark %v, before %v", wanted, d, mark, before)
			}
			if failed.Counters["fetch.pages"] != 0 || !strings.Contains(logs, "level=ERROR msg=\"dataset failed for this run") {
				t.Errorf("%v: %d pages; logs %s", wanted, failed.Counters["fetch.pages"], logs)
			}
		}
		back, mark, _ := run(all)
		if d := back.Datasets[spool.IOCs]; d.Status != spool.DatasetOK || d.From.After(before.Fetched) || !mark.Fetched.After(before.Fetched) {
			t.Errorf("when it is back: %+v, watermark %v, before %v", d, mark, before)
		}
		never, _, logs := run(all, "Nobody's")
		if d := never.Datasets[spool.IOCs]; d.Status != spool.DatasetOK || !strings.Contains(logs, "IOC groups not found") {
			t.Errorf("a group never used: %+v", d)
		}
	})
}

// Of several groups that are gone, always the same is named.
func TestFirstGoneGroup(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(1)
		var names []string
		for i := range 8 {
			names = append(names, fmt.Sprintf("Group %d", i))
			src.Offered = append(src.Offered, threatmatch.Group{ID: fmt.Sprint(i), Name: names[i]})
		}
		r := newRig(t, src, rigOptions{fetch: Options{Groups: names}})
		r.once()
		for range 20 {
			if gone, err := r.fetch.goneGroup(names); gone != names[0] || err != nil {
				t.Fatalf("got %q, %v, want %q", gone, err, names[0])
			}
		}
	})
}

// A group that is added later has no watermark of its own: that is logged once.
func TestNewGroupsAreTold(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		dir, src := t.TempDir(), pipelinetest.NewSource(1)
		for i, c := range []struct {
			wanted  string
			offered []threatmatch.Group
			new     []string
		}{
			{"A", []threatmatch.Group{{ID: "1", Name: "A"}, {ID: "2", Name: "B"}}, nil},
			{"1", []threatmatch.Group{{ID: "1", Name: "A"}, {ID: "2", Name: "B"}}, nil},
			{"B", []threatmatch.Group{{ID: "1", Name: "A"}, {ID: "2", Name: "B"}}, []string{"B"}},
			{"B", []threatmatch.Group{{ID: "1", Name: "A"}, {ID: "2", Name: "B"}}, nil},
			{"A", []threatmatch.Group{{ID: "1", Name: "A"}, {ID: "2", Name: "B"}}, []string{"A"}},
			{"A", []threatmatch.Group{{ID: "7", Name: "A"}}, []string{"A"}},
			{"All", []threatmatch.Group{{ID: "7", Name: "A"}, {ID: "8", Name: "C"}}, []string{"C"}},
		} {
			time.Sleep(time.Hour)
			src.Offered = c.offered
			r := newRig(t, src, rigOptions{dir: dir, fetch: Options{Groups: []string{c.wanted}}})
			r.once()
			r.Spool.Close()
			var told []string
			for line := range strings.Lines(r.Logs.String()) {
				if _, after, ok := strings.Cut(line, "group is new"); ok && strings.Contains(after, "repull --from DATE --dataset iocs") {
					_, name, _ := strings.Cut(after, " group=")
					told = append(told, strings.Fields(name)[0])
				}
			}
			if !slices.Equal(told, c.new) {
				t.Errorf("run %d: told of %v, want %v", i+1, told, c.new)
			}
		}
	})
}

func TestGroupsAndTypesArePagedApart(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(0)
		src.Offered = []threatmatch.Group{{ID: "1", Name: "A"}, {ID: "2", Name: "B"}}
		src.Pages.Add(150, time.Now().Add(-time.Hour), pipelinetest.Millis)
		for i := range src.Pages.Objects {
			src.Pages.Times[i] = time.Now().UTC().Add(time.Duration(i-300) * time.Second)
			src.Pages.Objects[i].Modified = src.Pages.Times[i].Format(pipelinetest.Millis)
		}
		r := newRig(t, src, rigOptions{fetch: Options{Groups: []string{"A", "B"}, Types: []string{"indicator", "malware"}}})
		run := r.once()
		if run.Counters["fetch.pages"] != 8 || run.Counters["fetch.objects"] != 600 || r.Sources() != 4 {
			t.Errorf("%v, records %v", run.Counters, r.Items)
		}
	})
}

// TestPageFails: what was spooled stays, and the next run continues from the
// cursor.
func TestPageFails(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(1)
		src.Delay = time.Second
		for i := range 1000 {
			src.Pages.Add(1, time.Now().Add(time.Duration(i-2000)*time.Second), pipelinetest.Millis)
		}
		src.SetFail(func(call string, n int) error {
			if call == "page" && n > 4 {
				return pipelinetest.AnswerError(500)
			}
			return nil
		})
		r := newRig(t, src, rigOptions{})
		run := r.once()
		if d := run.Datasets[spool.IOCs]; d.Status != spool.DatasetFailed || run.Counters["fetch.pages"] != 4 {
			t.Errorf("got %+v and counters %v, want a failed dataset after 4 pages", d, run.Counters)
		}
		if _, ok := r.Marks()[spool.IOCs]; ok {
			t.Errorf("watermark %v", r.Marks())
		}
		src.SetFail(nil)
		second := r.once()
		if second.Counters["fetch.pages"] != 7 || second.Datasets[spool.IOCs].Status != spool.DatasetOK {
			t.Errorf("got counters %v, want 7 pages and a dataset that is fine", second.Counters)
		}
		for id, n := range r.Got {
			if n != 1 && strings.HasPrefix(id, "indicator") {
				t.Errorf("%s came %d times", id, n)
			}
		}
		if r.Arrived() != 1003 {
			t.Errorf("%d objects", r.Arrived())
		}
	})
}

// TestRefusalsBetweenPages: five in a row fail a dataset, and not five in all.
func TestRefusalsBetweenPages(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(0)
		for i := range 450 {
			src.Pages.Add(1, time.Now().Add(time.Duration(i-2000)*time.Second), pipelinetest.Millis)
		}
		src.SetFail(func(call string, n int) error {
			if call == "page" && n%3 > 0 {
				return pipelinetest.AnswerError(403)
			}
			return nil
		})
		run := newRig(t, src, rigOptions{}).once()
		if d := run.Datasets[spool.IOCs]; d.Status != spool.DatasetOK || run.Counters["fetch.pages"] < 5 {
			t.Errorf("got %+v after %d pages, want all", d, run.Counters["fetch.pages"])
		}
	})
}

// TestFailedDatasetEndsAtOnce: what else was to be asked of it does not hold the run up.
func TestFailedDatasetEndsAtOnce(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(0)
		src.SetFail(func(call string, n int) error {
			switch {
			case call != "page":
				return nil
			case n == 1:
				return fault.After(15*time.Minute, pipelinetest.FakeAnswer(503))
			}
			return pipelinetest.AnswerError(403)
		})
		r := newRig(t, src, rigOptions{fetch: Options{Types: []string{"indicator", "malware"}}})
		run := r.once()
		if d := run.Datasets[spool.IOCs]; d.Status != spool.DatasetFailed || run.FetchedAt.Sub(run.Created) > 10*time.Minute {
			t.Errorf("got %+v after %v, want it failed, and the run ended", d, run.FetchedAt.Sub(run.Created))
		}
	})
}

// TestTieBlockIsRecordedAsGap: what the API cannot return is logged and recorded as
// a dead letter.
func TestTieBlockIsRecordedAsGap(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(0)
		src.Pages.Exclusive = true
		src.Pages.Add(250, time.Now().Add(-time.Hour), pipelinetest.Millis)
		src.Pages.Add(10, time.Now().Add(-time.Minute), pipelinetest.Millis)
		r := newRig(t, src, rigOptions{})
		run := r.once()
		dead, err := r.Spool.DeadLetters(0, 10)
		if err != nil || len(dead) != 1 || dead[0].Class != "gap" || run.Counters["fetch.gaps"] != 1 {
			t.Errorf("dead letters %+v %v", dead, err)
		}
		if r.Arrived() != 110 {
			t.Errorf("%d objects, want a page of the block and what follows it", r.Arrived())
		}
	})
}

// TestUnreadablePageMovesNothing: the page's objects are kept and reported, its
// dataset fails, and no dead letter lets the watermark move.
func TestUnreadablePageMovesNothing(t *testing.T) {
	for _, last := range []bool{false, true} {
		pipelinetest.InBubble(t, func(t *testing.T) {
			src := pipelinetest.NewSource(1)
			src.Pages.Size = 5
			for i := range 12 {
				src.Pages.Add(1, time.Now().Add(time.Duration(i-60)*time.Minute), pipelinetest.Millis)
			}
			bad := src.Pages.Objects[3:8] // the second page has nothing else
			if last {
				bad = src.Pages.Objects[7:]
			}
			for i := range bad {
				bad[i].Modified = "last Tuesday"
			}
			r := newRig(t, src, rigOptions{})
			run := r.once()
			dr := run.Datasets[spool.IOCs]
			if dr.Status != spool.DatasetFailed || strings.Contains(dr.Detail, "Tuesday") || !strings.Contains(r.Logs.String(), "last Tuesday") {
				t.Errorf("last page %v: got %+v, want it failed, with the value in the log alone", last, dr)
			}
			if _, moved := r.Marks()[spool.IOCs]; moved {
				t.Error("the watermark moved")
			}
			if run.Datasets[spool.Alerts].Status != spool.DatasetOK || r.Stats().Dead != 0 {
				t.Errorf("others: %+v, %d dead letters; want them fine and none", run.Datasets, r.Stats().Dead)
			}
			got := r.Arrived()
			if r.once(); r.Arrived() < got || r.LastRun().Datasets[spool.IOCs].Status != spool.DatasetFailed {
				t.Errorf("the second run: %+v", r.LastRun().Datasets)
			}
			for i := range bad { // the server mends it
				at := src.Pages.Times[indexOf(src.Pages, bad[i].ID)]
				bad[i].Modified = at.UTC().Format(pipelinetest.Millis)
			}
			if end := r.once(); end.Datasets[spool.IOCs].Status != spool.DatasetOK || r.Arrived() != 12+3 {
				t.Errorf("after the server was mended: %+v, %d objects; want all 15", end.Datasets, r.Arrived())
			}
			r.CheckSpool()
		})
	}
}

func indexOf(p *pipelinetest.Pager, id string) int {
	return slices.IndexFunc(p.Objects, func(o threatmatch.PageObject) bool { return o.ID == id })
}

// watchedSpool delays commits and records what was under way meanwhile.
type watchedSpool struct {
	Spool
	mu      sync.Mutex
	commits []int
	delay   time.Duration
	src     *pipelinetest.Source
	broken  string
}

func (w *watchedSpool) SettleTasks(epoch uint64, now time.Time, o []spool.Outcome) error {
	synctest.Wait() // what was started has asked by now
	before := w.src.Total()
	time.Sleep(w.delay)
	w.mu.Lock()
	w.commits = append(w.commits, len(o))
	if after := w.src.Total(); after != before {
		w.broken = fmt.Sprintf("%d requests were started during a commit", after-before)
	}
	w.mu.Unlock()
	return w.Spool.SettleTasks(epoch, now, o)
}

// TestGroupCommit: results that are ready share a commit, and no request is started
// before the previous one's commit has returned.
func TestGroupCommit(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(40)
		src.Delay = 10 * time.Millisecond
		r := newRig(t, src, rigOptions{fetch: Options{MaxConcurrency: 8}})
		w := &watchedSpool{Spool: r.Spool, delay: 50 * time.Millisecond, src: src}
		r.fetch.Spool = w
		r.once()
		if w.broken != "" {
			t.Error(w.broken)
		}
		if most := slices.Max(w.commits); most < 4 || len(w.commits) > 40 {
			t.Errorf("commits of %v outcomes", w.commits)
		}
	})
}

// TestRoom: above the limit nothing is requested. Fetch resumes when there is room
// again, or one request at a time if nothing else can make room.
func TestRoom(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := &bigSource{Source: pipelinetest.NewSource(30)}
		r := newRig(t, src, rigOptions{maxSize: 2 << 20, fetch: Options{Datasets: []spool.Dataset{spool.Alerts}}})
		r.Know()
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.fetch.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := r.schedule.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Minute)
		asked := src.Total()
		room := r.Spool.Room()
		if room.Live <= room.Max || asked > 25 || r.Status.Snapshot()[stageName].State != "paused" {
			t.Errorf("room %+v, %d requests, %s", room, asked, r.Status.Snapshot()[stageName].State)
		}
		time.Sleep(5 * time.Minute)
		if n := src.Total(); n != asked {
			t.Errorf("%d requests while there was no room", n-asked)
		}
		// What fills the spool turns into objects that wait, so that map and
		// deliver have nothing to do: it goes on one request at a time.
		r.fillWaiting()
		r.Status.Set("deliver", "idle", "", "")
		r.Status.Set("map", "idle", "", "")
		time.Sleep(time.Minute)
		if n := src.Total(); n != asked+1 {
			t.Errorf("%d requests into the gap, want one", n-asked)
		}
		r.fillWaiting()
		time.Sleep(time.Minute)
		if n := src.Total(); n != asked+2 {
			t.Errorf("%d requests into the gap, want two", n-asked)
		}
		r.dropWaiting()
		if err := r.ConsumeAll(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := src.Total(); n <= asked+2 {
			t.Errorf("%d requests after there was room again", n-asked)
		}
		cancel(fault.ErrShutdown)
		wg.Wait()
		r.CheckSpool()
	})
}

// fillWaiting turns the run's records into objects that wait.
func (r *rig) fillWaiting() {
	r.T.Helper()
	run := r.LastRun()
	recs, err := r.Spool.Records(run.ID, 0, 1000, 64<<20)
	if err != nil {
		r.T.Fatal(err)
	}
	for _, rec := range recs {
		err := r.Spool.CommitMap(1, time.Now(), spool.MapCommit{Run: run.ID, Records: []uint64{rec.Seq}, Wait: []spool.Object{
			{STIX: "malware--" + rec.Source, Run: run.ID, Watch: "malware--x", Dataset: rec.Dataset, Source: rec.Source, JSON: rec.Body},
		}})
		if err != nil {
			r.T.Fatal(err)
		}
	}
}

func (r *rig) dropWaiting() {
	r.T.Helper()
	run := r.LastRun()
	objects, err := r.Spool.Objects(run.ID, 0, 1000)
	if err != nil {
		r.T.Fatal(err)
	}
	for _, o := range objects {
		if err := r.Spool.CommitMap(1, time.Now(), spool.MapCommit{Run: run.ID, Unwait: []string{o.STIX}}); err != nil {
			r.T.Fatal(err)
		}
	}
}

// bigSource returns items that do not compress.
type bigSource struct{ *pipelinetest.Source }

func (s *bigSource) Item(ctx context.Context, dataset, id string) (threatmatch.Body, error) {
	item, err := s.Source.Item(ctx, dataset, id)
	if err != nil {
		return item, err
	}
	junk := make([]byte, 100_000)
	for i := range junk {
		junk[i] = byte('!' + rand.IntN(90))
	}
	text := strings.NewReplacer(`"`, "q", `\`, "b").Replace(string(junk))
	item.Bytes = fmt.Appendf(nil, `{"objects":[{"id":"%s--%s","x":"%s"}]}`, dataset, id, text)
	return item, nil
}

// fullSpool has no room for commits while full.
type fullSpool struct {
	Spool
	mu   sync.Mutex
	full bool
}

func (s *fullSpool) set(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

func (s *fullSpool) SettleTasks(epoch uint64, now time.Time, o []spool.Outcome) error {
	s.mu.Lock()
	full := s.full
	s.mu.Unlock()
	if full {
		return fmt.Errorf("settle tasks: %w", spool.ErrFull)
	}
	return s.Spool.SettleTasks(epoch, now, o)
}

// TestCommitWithoutRoom: responses without room stay in memory and are not
// requested again.
func TestCommitWithoutRoom(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(10)
		r := newRig(t, src, rigOptions{})
		full := &fullSpool{Spool: r.Spool}
		r.fetch.Spool = full
		r.Know()
		full.set(true)
		stop := r.Start()
		time.Sleep(time.Hour)
		if n := src.Total(); n > 4 {
			t.Errorf("%d requests without room", n)
		}
		if s := r.Status.Snapshot()[stageName]; s.State != "paused" || s.NotReady == "" {
			t.Errorf("status %+v", s)
		}
		full.set(false)
		time.Sleep(time.Minute)
		if r.Arrived() != 30 || src.Total() != 34+1 {
			t.Errorf("%d items, %d requests", r.Arrived(), src.Total())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOptionsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := pipelinetest.NewSource(1)
		r := newRig(t, src, rigOptions{})
		if o := r.fetch.opt; o.MaxConcurrency != 4 || o.MaxAttempts != 5 || o.Groups[0] != "All content" || o.Types[0] != "indicator" {
			t.Errorf("defaults %+v", o)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	good := newRig(t, pipelinetest.NewSource(0), rigOptions{}).fetch
	for name, unset := range map[string]func(*Options){
		"requests at a time": func(o *Options) { o.MaxConcurrency = 0 },
		"attempts":           func(o *Options) { o.MaxAttempts = 0 },
		"groups":             func(o *Options) { o.Groups = nil },
		"types":              func(o *Options) { o.Types = nil },
	} {
		o := good.opt
		unset(&o)
		if _, err := New(good.Deps, o); !fault.Is(err, fault.Fatal) {
			t.Errorf("without %s: got error %v, want a fatal one", name, err)
		}
	}
}
