package pipeline

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
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

func TestListIsAskedFromFurtherBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(2)
		time.Sleep(47 * time.Second)
		src.zone = 5 * time.Hour // as a server five hours west of UTC reads our dates
		r := newRig(t, src, rigOptions{fetch: FetchOptions{Datasets: []spool.Dataset{spool.Alerts}}})
		run := r.once()
		since, from := src.asked("alerts"), run.Datasets[spool.Alerts].From
		if len(since) != 2 || !since[0].Equal(from) {
			t.Fatalf("asked %v for a window from %v", since, from)
		}
		if since[1].Truncate(time.Minute).Add(src.zone).After(from) {
			t.Errorf("asked again from %v: not far enough", since[1])
		}
		if r.arrived() != 2 || r.stats().Dead != 0 || !strings.Contains(r.logs.String(), "another time zone") {
			t.Errorf("%d items, %+v, log %s", r.arrived(), r.stats(), r.logs)
		}
	})
}

func TestListThatLooksBackNoFurther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(2)
		src.floor = time.Now().AddDate(0, -1, 0)
		r := newRig(t, src, rigOptions{fetch: FetchOptions{Datasets: []spool.Dataset{spool.Alerts}}})
		r.once()
		dead, err := r.spool.DeadLetters(0, 10)
		if err != nil || len(dead) != 1 || dead[0].Class != "gap" || !strings.Contains(dead[0].Error, "only those since") {
			t.Errorf("dead letters %+v %v", dead, err)
		}
		if r.arrived() != 2 || src.count("list alerts") > 2 {
			t.Errorf("%d items, asked %d times", r.arrived(), src.count("list alerts"))
		}
	})
}

func TestClocks(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, -2 * time.Second, time.Hour} {
		bubble(t, func(t *testing.T) {
			src := newFake(2)
			src.skew = skew
			r := newRig(t, src, rigOptions{})
			run := r.once()
			want := run.Created.Add(min(skew, 0))
			if d := run.Start.Sub(want); d < 0 || d > time.Second {
				t.Errorf("server off by %v: start %v, want %v", skew, run.Start, want)
			}
			if warned := strings.Contains(r.logs.String(), "clocks"); warned != (skew.Abs() > time.Minute) {
				t.Errorf("server off by %v: warned %v", skew, warned)
			}
		})
	}
}

// TestStop: requests under way end at once and count as not made.
func TestStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(10)
		r := newRig(t, src, rigOptions{})
		r.know()
		stop := r.start()
		src.setFail(func(call string, n int) error {
			if strings.HasPrefix(call, "item") {
				src.mu.Lock()
				src.delay = time.Hour // from now on it hangs
				src.mu.Unlock()
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
		if run := r.lastRun(); !run.FetchedAt.IsZero() || run.Counters["fetch.retries"] > 0 {
			t.Errorf("run %+v", run)
		}
		r.wholesome()
	})
}

// TestNothingIsAskedTwice stops the stage at random and goes on with the same spool.
func TestNothingIsAskedTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		src := newFake(60)
		for i := range 950 {
			src.pages.add(1, time.Now().Add(time.Duration(i-2000)*time.Second), millis)
		}
		got, asked := map[string]int{}, 0
		rng := rand.New(rand.NewPCG(3, 4))
		for stops := 0; ; stops++ {
			src.mu.Lock()
			src.delay = 100 * time.Millisecond
			src.mu.Unlock()
			r := newRig(t, src, rigOptions{dir: dir})
			r.know()
			stop := r.start()
			time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			for id, n := range r.got {
				got[id] += n
			}
			done := !r.lastRun().FetchedAt.IsZero()
			resumed := r.lastRun().Resumed
			if err := r.spool.Close(); err != nil {
				t.Fatal(err)
			}
			if done {
				if stops < 3 || !resumed {
					t.Errorf("%d stops, resumed %v", stops, resumed)
				}
				asked = src.total()
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

// TestClockSetBack: tasks that back off do not wait for the clock to come around again.
func TestClockSetBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(3)
		src.setFail(func(call string, n int) error {
			if n <= 2 && (call == "item alerts/2" || call == "list reports") {
				return answerError(500)
			}
			return nil
		})
		var back atomic.Int64
		r := newRig(t, src, rigOptions{now: func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }})
		r.know()
		stop := r.start()
		time.Sleep(300 * time.Millisecond)
		back.Store(int64(48 * time.Hour))
		time.Sleep(5 * time.Minute)
		if r.arrived() != 9 || r.lastRun().FetchedAt.IsZero() {
			t.Errorf("%d items, run %+v", r.arrived(), r.lastRun())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestLostCursor: a page task whose cursor cannot be read begins its window anew.
func TestLostCursor(t *testing.T) {
	run := &fetchRun{Run: spool.Run{Datasets: map[spool.Dataset]spool.DatasetRun{spool.IOCs: {From: pageEpoch}}}}
	for _, cursor := range []string{"", "{", "{}", "null", `{"group":"1"}`} {
		task := spool.Task{
			TaskKey:   spool.TaskKey{Dataset: spool.IOCs, Kind: spool.TaskPage, Source: "a/b/indicator"},
			TaskState: spool.TaskState{Cursor: []byte(cursor)},
		}
		if c := cursorOf(task, run); c.Group != "a/b" || c.Type != "indicator" || !c.After.Equal(pageEpoch) {
			t.Errorf("%q: got %+v", cursor, c)
		}
	}
}

func TestResetInTheMiddle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(40)
		src.delay = time.Second
		r := newRig(t, src, rigOptions{})
		r.know()
		stop := r.start()
		time.Sleep(10 * time.Second)
		first := r.lastRun()
		if _, _, err := r.spool.Reset(time.Now()); err != nil {
			t.Fatal(err)
		}
		r.wakes.Fetch.Signal()
		r.wakes.Schedule.Signal()
		time.Sleep(5 * time.Minute)
		last := r.lastRun()
		if last.ID == first.ID || last.Reason != spool.ReasonReset || last.DoneAt.IsZero() || last.Counters["fetch.items"] != 120 {
			t.Errorf("run %+v", last)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		r.wholesome()
	})
}

func TestSwitchedOffDataset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		src := newFake(5)
		src.setFail(failing(500, "list alerts"))
		r := newRig(t, src, rigOptions{dir: dir})
		r.know()
		stop := r.start()
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		r.spool.Close()
		r = newRig(t, src, rigOptions{dir: dir, fetch: FetchOptions{Datasets: []spool.Dataset{spool.Profiles}}})
		stop = r.start()
		time.Sleep(time.Minute)
		run := r.lastRun()
		if run.FetchedAt.IsZero() || run.Datasets[spool.Alerts].Status != spool.DatasetOff || run.Counters["fetch.dropped"] != 1 {
			t.Errorf("run %+v", run)
		}
		if _, ok := r.marks()[spool.Alerts]; ok {
			t.Errorf("watermarks %+v", r.marks())
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
	bubble(t, func(t *testing.T) {
		src := newFake(2)
		src.groups = nil
		r := newRig(t, src, rigOptions{})
		run := r.once()
		if run.Reason != spool.ReasonOnce {
			t.Errorf("reason %s", run.Reason)
		}
		if d := run.Datasets[spool.IOCs]; d.Status != spool.DatasetSkipped || r.arrived() != 6 {
			t.Errorf("%+v, %d items", d, r.arrived())
		}
	})
}

// A group that was used before and is missing from an answer must not let the
// watermark move past what only it has; that of a group never used does.
func TestGroupGoneForOneRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := []threatmatch.Group{{ID: "1", Name: "Watchlist"}, {ID: "2", Name: "All content"}}
		dir, src := t.TempDir(), newFake(1)
		run := func(offered []threatmatch.Group, wanted ...string) (spool.Run, spool.Watermark, string) {
			time.Sleep(time.Hour)
			src.groups = offered
			r := newRig(t, src, rigOptions{dir: dir, fetch: FetchOptions{Groups: wanted}})
			defer r.spool.Close()
			return r.once(), r.marks()[spool.IOCs], r.logs.String()
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

// A group that comes later has no watermark of its own: that is said, once.
func TestNewGroupsAreTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir, src := t.TempDir(), newFake(1)
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
			src.groups = c.offered
			r := newRig(t, src, rigOptions{dir: dir, fetch: FetchOptions{Groups: []string{c.wanted}}})
			r.once()
			r.spool.Close()
			var told []string
			for line := range strings.Lines(r.logs.String()) {
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
	bubble(t, func(t *testing.T) {
		src := newFake(0)
		src.groups = []threatmatch.Group{{ID: "1", Name: "A"}, {ID: "2", Name: "B"}}
		src.pages.add(150, time.Now().Add(-time.Hour), millis)
		for i := range src.pages.objects {
			src.pages.times[i] = time.Now().UTC().Add(time.Duration(i-300) * time.Second)
			src.pages.objects[i].Modified = src.pages.times[i].Format(millis)
		}
		r := newRig(t, src, rigOptions{fetch: FetchOptions{Groups: []string{"A", "B"}, Types: []string{"indicator", "malware"}}})
		run := r.once()
		if run.Counters["fetch.pages"] != 8 || run.Counters["fetch.objects"] != 600 || r.sources() != 4 {
			t.Errorf("%v, records %v", run.Counters, r.items)
		}
	})
}

// TestPageFails: what was spooled stays, and the next run goes on from the cursor.
func TestPageFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(1)
		src.delay = time.Second
		for i := range 1000 {
			src.pages.add(1, time.Now().Add(time.Duration(i-2000)*time.Second), millis)
		}
		src.setFail(func(call string, n int) error {
			if call == "page" && n > 4 {
				return answerError(500)
			}
			return nil
		})
		r := newRig(t, src, rigOptions{})
		run := r.once()
		if d := run.Datasets[spool.IOCs]; d.Status != spool.DatasetFailed || run.Counters["fetch.pages"] != 4 {
			t.Errorf("%+v %v", d, run.Counters)
		}
		if _, ok := r.marks()[spool.IOCs]; ok {
			t.Errorf("watermark %v", r.marks())
		}
		src.setFail(nil)
		second := r.once()
		if second.Counters["fetch.pages"] != 7 || second.Datasets[spool.IOCs].Status != spool.DatasetOK {
			t.Errorf("%v", second.Counters)
		}
		for id, n := range r.got {
			if n != 1 && strings.HasPrefix(id, "indicator") {
				t.Errorf("%s came %d times", id, n)
			}
		}
		if r.arrived() != 1003 {
			t.Errorf("%d objects", r.arrived())
		}
	})
}

// TestTieBlockIsRecordedAsGap: what the API cannot give is said and stands in the dead letters.
func TestTieBlockIsRecordedAsGap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(0)
		src.pages.exclusive = true
		src.pages.add(250, time.Now().Add(-time.Hour), millis)
		src.pages.add(10, time.Now().Add(-time.Minute), millis)
		r := newRig(t, src, rigOptions{})
		run := r.once()
		dead, err := r.spool.DeadLetters(0, 10)
		if err != nil || len(dead) != 1 || dead[0].Class != "gap" || run.Counters["fetch.gaps"] != 1 {
			t.Errorf("dead letters %+v %v", dead, err)
		}
		if r.arrived() != 110 {
			t.Errorf("%d objects, want a page of the block and what follows it", r.arrived())
		}
	})
}

// TestUnreadablePageMovesNothing: its objects are kept and told of, its dataset
// fails, and no letter lets the watermark move.
func TestUnreadablePageMovesNothing(t *testing.T) {
	for _, last := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			src := newFake(1)
			src.pages.size = 5
			for i := range 12 {
				src.pages.add(1, time.Now().Add(time.Duration(i-60)*time.Minute), millis)
			}
			bad := src.pages.objects[3:8] // the second page has nothing else
			if last {
				bad = src.pages.objects[7:]
			}
			for i := range bad {
				bad[i].Modified = "last Tuesday"
			}
			r := newRig(t, src, rigOptions{})
			run := r.once()
			dr := run.Datasets[spool.IOCs]
			if dr.Status != spool.DatasetFailed || !strings.Contains(dr.Detail, `"last Tuesday"`) {
				t.Errorf("last page %v: got %+v, want it failed with the value", last, dr)
			}
			if _, moved := r.marks()[spool.IOCs]; moved {
				t.Error("the watermark moved")
			}
			if run.Datasets[spool.Alerts].Status != spool.DatasetOK || r.stats().Dead != 0 {
				t.Errorf("others: %+v, %d dead letters; want them fine and none", run.Datasets, r.stats().Dead)
			}
			got := r.arrived()
			if r.once(); r.arrived() < got || r.lastRun().Datasets[spool.IOCs].Status != spool.DatasetFailed {
				t.Errorf("the second run: %+v", r.lastRun().Datasets)
			}
			for i := range bad { // the server mends it
				at := src.pages.times[indexOf(src.pages, bad[i].ID)]
				bad[i].Modified = at.UTC().Format(millis)
			}
			if end := r.once(); end.Datasets[spool.IOCs].Status != spool.DatasetOK || r.arrived() != 12+3 {
				t.Errorf("after the server was mended: %+v, %d objects; want all 15", end.Datasets, r.arrived())
			}
			r.wholesome()
		})
	}
}

func indexOf(p *pager, id string) int {
	return slices.IndexFunc(p.objects, func(o threatmatch.PageObject) bool { return o.ID == id })
}

// watchedSpool holds commits up and notes what was under way meanwhile.
type watchedSpool struct {
	fetchSpool
	mu      sync.Mutex
	commits []int
	delay   time.Duration
	src     *fakeSource
	broken  string
}

func (w *watchedSpool) SettleTasks(epoch uint64, now time.Time, o []spool.Outcome) error {
	synctest.Wait() // what was started has asked by now
	before := w.src.total()
	time.Sleep(w.delay)
	w.mu.Lock()
	w.commits = append(w.commits, len(o))
	if after := w.src.total(); after != before {
		w.broken = fmt.Sprintf("%d requests were started during a commit", after-before)
	}
	w.mu.Unlock()
	return w.fetchSpool.SettleTasks(epoch, now, o)
}

// TestGroupCommit: results that are ready share a commit, and no request is
// started before the commit of the one before it returned.
func TestGroupCommit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(40)
		src.delay = 10 * time.Millisecond
		r := newRig(t, src, rigOptions{fetch: FetchOptions{MaxConcurrency: 8}})
		w := &watchedSpool{fetchSpool: r.spool, delay: 50 * time.Millisecond, src: src}
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

// TestRoom: above the mark nothing is asked; it goes on when there is room
// again, or one request at a time when nobody else can make any.
func TestRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := &bigSource{fakeSource: newFake(30)}
		r := newRig(t, src, rigOptions{maxSize: 2 << 20, fetch: FetchOptions{Datasets: []spool.Dataset{spool.Alerts}}})
		r.know()
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
		asked := src.total()
		room := r.spool.Room()
		if room.Live <= room.Max || asked > 25 || r.status.State(stageFetch) != "paused" {
			t.Errorf("room %+v, %d requests, %s", room, asked, r.status.State(stageFetch))
		}
		time.Sleep(5 * time.Minute)
		if n := src.total(); n != asked {
			t.Errorf("%d requests while there was no room", n-asked)
		}
		// What fills the spool turns into objects that wait, so that map and
		// deliver have nothing to do: it goes on one request at a time.
		r.fillWaiting()
		r.status.Set("deliver", "idle", "", "")
		r.status.Set("map", "idle", "", "")
		time.Sleep(time.Minute)
		if n := src.total(); n != asked+1 {
			t.Errorf("%d requests into the gap, want one", n-asked)
		}
		r.fillWaiting()
		time.Sleep(time.Minute)
		if n := src.total(); n != asked+2 {
			t.Errorf("%d requests into the gap, want two", n-asked)
		}
		r.dropWaiting()
		if err := r.consumeAll(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := src.total(); n <= asked+2 {
			t.Errorf("%d requests after there was room again", n-asked)
		}
		cancel(fault.ErrShutdown)
		wg.Wait()
		r.wholesome()
	})
}

// fillWaiting turns the run's records into objects that wait.
func (r *rig) fillWaiting() {
	r.t.Helper()
	run := r.lastRun()
	recs, err := r.spool.Records(run.ID, 0, 1000, 64<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, rec := range recs {
		err := r.spool.CommitMap(1, time.Now(), spool.MapCommit{Run: run.ID, Records: []uint64{rec.Seq}, Wait: []spool.Object{
			{STIX: "malware--" + rec.Source, Run: run.ID, Watch: "malware--x", Dataset: rec.Dataset, Source: rec.Source, JSON: rec.Body},
		}})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) dropWaiting() {
	r.t.Helper()
	run := r.lastRun()
	objects, err := r.spool.Waiting(run.ID, 0, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, o := range objects {
		if err := r.spool.CommitMap(1, time.Now(), spool.MapCommit{Run: run.ID, Unwait: []string{o.STIX}}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// bigSource gives items that do not compress.
type bigSource struct{ *fakeSource }

func (s *bigSource) Item(ctx context.Context, dataset, id string) (threatmatch.Body, error) {
	item, err := s.fakeSource.Item(ctx, dataset, id)
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
	fetchSpool
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
	return s.fetchSpool.SettleTasks(epoch, now, o)
}

// TestCommitWithoutRoom: answers that find no room stay in memory and are not asked for again.
func TestCommitWithoutRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := newFake(10)
		r := newRig(t, src, rigOptions{})
		full := &fullSpool{fetchSpool: r.spool}
		r.fetch.Spool = full
		r.know()
		full.set(true)
		stop := r.start()
		time.Sleep(time.Hour)
		if n := src.total(); n > 4 {
			t.Errorf("%d requests without room", n)
		}
		if s := r.status.Snapshot()[stageFetch]; s.State != "paused" || s.NotReady == "" {
			t.Errorf("status %+v", s)
		}
		full.set(false)
		time.Sleep(time.Minute)
		if r.arrived() != 30 || src.total() != 34+1 {
			t.Errorf("%d items, %d requests", r.arrived(), src.total())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFetchNeedsItsParts(t *testing.T) {
	if _, err := NewFetch(FetchDeps{}, FetchOptions{}); !fault.Is(err, fault.Fatal) {
		t.Errorf("got %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		src := newFake(1)
		r := newRig(t, src, rigOptions{})
		if o := r.fetch.opt; o.MaxConcurrency != 4 || o.MaxAttempts != 5 || o.Groups[0] != "All content" || o.Types[0] != "indicator" {
			t.Errorf("defaults %+v", o)
		}
	})
}
