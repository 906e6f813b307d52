package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The workload of the crash tests: three stages push items through the spool and print "will …" before and "did …"
// after each durable step. Items are numbers that include the run; the number decides what happens to an item.
const (
	itemsPerRun  = 40
	crashWindow  = 6 // messages published and not covered by a cursor
	pointEnv     = "SPOOL_TEST_POINT"
	countEnv     = "SPOOL_TEST_COUNT"
	finishEnv    = "SPOOL_TEST_FINISH"
	runsEnv      = "SPOOL_TEST_RUNS"  // end after this many runs
	itemsEnv     = "SPOOL_TEST_ITEMS" // what a run's list names, instead of itemsPerRun
	crashWorkers = 3
)

func itemNumber(run uint64, k int) int { return int(run)*1000 + k }

// What happens to an item.
func diesInFetch(n int) bool { return n%13 == 6 }
func isParked(n int) bool    { return n%17 == 8 && !diesInFetch(n) }
func waits(n int) bool       { return n%7 == 3 }
func isHeld(n int) bool      { return n%11 == 5 && !waits(n) }
func isSkipped(n int) bool   { return n%19 == 9 }

func stixOf(n int) string { return fmt.Sprintf("indicator--00000000-0000-4000-8000-%012d", n) }

func numberOf(stix string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(stix, "indicator--00000000-0000-4000-8000-"))
	if err != nil {
		return -1
	}
	return n
}

// bodyOf returns an item's content: the same each time, sometimes large.
func bodyOf(n int) []byte {
	size := 200 + n%1700
	if n%29 == 0 {
		size = fragmentSize + 100_000
	}
	b := make([]byte, size)
	x := uint32(n) + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = "0123456789abcdef"[x>>28]
	}
	return fmt.Appendf(nil, `{"id":%q,"x":"%s"}`, stixOf(n), b)
}

// worker is the child's state.
type worker struct {
	s     *Spool
	epoch uint64
	out   sync.Mutex
	last  bool   // no new runs; end when all are done
	runs  uint64 // this many runs, then last
	items int    // of each run
}

func (w *worker) say(format string, args ...any) {
	w.out.Lock()
	defer w.out.Unlock()
	_, _ = os.Stdout.WriteString(fmt.Sprintf(format, args...) + "\n")
}

func crashChild() int {
	dir := os.Args[1]
	w := &worker{last: os.Getenv(finishEnv) != ""}
	if w.items, _ = strconv.Atoi(os.Getenv(itemsEnv)); w.items == 0 {
		w.items = itemsPerRun
	}
	w.runs, _ = strconv.ParseUint(os.Getenv(runsEnv), 10, 64)
	point := os.Getenv(pointEnv)
	left, _ := strconv.Atoi(os.Getenv(countEnv))
	var mu sync.Mutex
	hook := func(p string) {
		mu.Lock()
		defer mu.Unlock()
		if p != point {
			return
		}
		if left--; left < 0 {
			w.say("at %s", p)
			<-time.After(time.Hour) // killed here
		}
	}
	var err error
	w.s, err = Open(context.Background(), Options{
		Dir: dir, ConnectorID: "crash", MaxSize: 64 << 20, slack: 16 << 20, noReserve: true, compactMin: 64 << 10, hook: hook,
		NoCompact: w.items != itemsPerRun, // where power is cut, compaction has a test of its own
	})
	if err == nil {
		err = w.work()
	}
	if err != nil {
		w.say("failed %v", err)
		return 1
	}
	w.say("end")
	return 0
}

func (w *worker) work() error {
	meta, err := w.s.Meta()
	if err != nil {
		return err
	}
	w.epoch = meta.Epoch
	w.say("ready aside=%q unclean=%v", meta.SetAside, meta.Unclean)
	if err := w.s.MarkResumed(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, stage := range []func() (bool, error){w.fetch, w.mapStage, w.deliver} {
		wg.Go(func() { w.loop(ctx, cancel, stage) })
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, errDone) {
		return err
	}
	return w.s.Close()
}

var errDone = errors.New("done")

func (w *worker) loop(ctx context.Context, cancel context.CancelCauseFunc, stage func() (bool, error)) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		busy, err := stage()
		if err != nil {
			cancel(err)
			return
		}
		if busy {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// fetch starts runs, lists, and brings records.
func (w *worker) fetch() (bool, error) {
	runs, err := w.s.OpenRuns()
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(runs, func(r Run) bool { return r.FetchedAt.IsZero() })
	switch {
	case i < 0 && w.last && len(runs) == 0:
		return false, errDone
	case i < 0 && (w.last || len(runs) >= 3):
		_, err := w.s.Prune(time.Now(), time.Now().Add(-time.Hour))
		return false, err
	case i < 0:
		run, err := w.s.StartRun(w.epoch, time.Now(), RunSpec{
			Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Parked: true,
			Tasks: []NewTask{{TaskKey: list(Alerts)}},
		})
		w.last = w.runs > 0 && run.ID >= w.runs
		return true, err
	}
	run := runs[i]
	tasks, _, err := w.s.ReadyTasks(run.ID, time.Now(), crashWorkers, nil)
	if err != nil {
		return false, err
	}
	if len(tasks) == 0 {
		return true, w.s.FinishFetch(w.epoch, run.ID, time.Now())
	}
	var outcomes []Outcome
	var names []string
	for _, t := range tasks {
		outcomes = append(outcomes, w.try(run.ID, t))
		names = append(names, string(t.Kind)+":"+t.Source)
	}
	what := fmt.Sprintf("settle %d %s", run.ID, strings.Join(names, ","))
	w.say("will %s", what)
	if err := w.s.SettleTasks(w.epoch, time.Now(), outcomes); err != nil {
		return false, err
	}
	w.say("did %s", what)
	return true, nil
}

// try returns the outcome of one request.
func (w *worker) try(run uint64, t Task) Outcome {
	o := Outcome{Task: t.TaskKey, Run: run}
	if t.Kind == TaskList {
		for k := range w.items {
			o.Add = append(o.Add, NewTask{TaskKey: item(Alerts, itemNumber(run, k))})
		}
		return o
	}
	n, _ := strconv.Atoi(t.Source)
	switch {
	case diesInFetch(n):
		o.Dead = &DeadLetter{Class: "refused", Payload: bodyOf(n)}
	case isParked(n) && t.Runs == 0:
		o.Keep, o.Park = &TaskState{Runs: 1}, true
	default:
		o.Record = &NewRecord{Dataset: Alerts, Source: t.Source, Fetched: time.Now(), Body: bodyOf(n)}
	}
	return o
}

// mapStage turns records into bundles, waiting and held objects.
func (w *worker) mapStage() (bool, error) {
	runs, err := w.s.OpenRuns()
	if err != nil {
		return false, err
	}
	for _, run := range runs {
		if !run.MappedAt.IsZero() {
			continue
		}
		recs, err := w.s.Records(run.ID, 0, 8, 1<<20)
		if err != nil {
			return false, err
		}
		switch {
		case len(recs) > 0:
			return true, w.mapRecords(run.ID, recs)
		case !run.FetchedAt.IsZero():
			return true, w.release(run.ID)
		}
	}
	return false, nil
}

func (w *worker) mapRecords(run uint64, recs []Record) error {
	c := MapCommit{Run: run, Count: map[string]int64{"map.records": int64(len(recs))}}
	var b NewBundle
	var names []string
	for _, r := range recs {
		if r.Err != nil {
			return r.Err
		}
		n, _ := strconv.Atoi(r.Source)
		names = append(names, r.Source)
		c.Records = append(c.Records, r.Seq)
		switch {
		case waits(n):
			c.Wait = append(c.Wait, Object{STIX: stixOf(n), Watch: stixOf(n + 1), JSON: r.Body})
		case isHeld(n):
			c.Hold = append(c.Hold, Object{STIX: stixOf(n), Watch: stixOf(n + 2), JSON: r.Body})
		default:
			b.Objects = append(b.Objects, BundleObject{STIX: stixOf(n), JSON: r.Body})
			c.IDs = append(c.IDs, IDPut{STIX: stixOf(n), ID: ID{Run: run, Kind: "indicator", At: time.Now()}})
		}
	}
	if len(b.Objects) > 0 {
		c.Bundles = []NewBundle{b}
	}
	what := "map " + strings.Join(names, ",")
	w.say("will %s", what)
	if err := w.s.CommitMap(w.epoch, time.Now(), c); err != nil {
		return err
	}
	w.say("did %s", what)
	return nil
}

// release ends the run's mapping: what waits or is held goes out.
func (w *worker) release(run uint64) error {
	waiting, err := w.s.Objects(run, 0, 10)
	if err != nil {
		return err
	}
	held, err := w.s.Objects(Held, 0, 10)
	if err != nil {
		return err
	}
	all := append(waiting, held...)
	if len(all) == 0 {
		return w.s.FinishMap(w.epoch, run, time.Now())
	}
	c := MapCommit{Run: run}
	var b NewBundle
	for i, o := range all {
		if i < len(waiting) {
			c.Unwait = append(c.Unwait, o.STIX)
		} else {
			c.Unhold = append(c.Unhold, o.STIX)
		}
		b.Objects = append(b.Objects, BundleObject{STIX: o.STIX, JSON: o.JSON})
		c.IDs = append(c.IDs, IDPut{STIX: o.STIX, ID: ID{Run: run, Kind: "indicator", At: time.Now()}})
	}
	c.Bundles = []NewBundle{b}
	return w.s.CommitMap(w.epoch, time.Now(), c)
}

// deliver publishes: the parent that reads the lines is the broker.
func (w *worker) deliver() (bool, error) {
	b, err := w.s.NextBundle()
	if errors.Is(err, ErrNotFound) {
		return w.finishRuns()
	}
	if err != nil {
		return false, err
	}
	if b.Confirmed == b.Objects {
		return true, w.s.EndBundle(w.epoch, b.Run, b.Seq, Work{}, nil)
	}
	objects, err := w.s.BundleObjects(b.Run, b.Seq, b.Confirmed, 1<<20)
	if err != nil {
		return false, err
	}
	objects = objects[:min(len(objects), crashWindow)]
	var names []string
	for i, o := range objects {
		n := numberOf(o.STIX)
		if string(o.JSON) != string(bodyOf(n)) {
			return false, fmt.Errorf("object %d has other bytes", n)
		}
		if isSkipped(n) && !slices.Contains(b.Skipped, b.Confirmed+i) {
			if i > 0 {
				objects = objects[:i] // what is published is confirmed first
				break
			}
			w.say("will confirm %d", n)
			if err := w.s.SkipMessage(w.epoch, b.Run, b.Seq, b.Confirmed+i, DeadLetter{Class: "too_large"}); err != nil {
				return false, err
			}
			w.say("did confirm %d", n)
			return true, nil
		}
		if !isSkipped(n) {
			w.say("pub %d", n)
			names = append(names, strconv.Itoa(n))
		}
	}
	what := "confirm " + strings.Join(names, ",")
	w.say("will %s", what)
	if err := w.s.SaveCursor(w.epoch, b.Run, b.Seq, b.Confirmed+len(objects)); err != nil {
		return false, err
	}
	w.say("did %s", what)
	return true, nil
}

func (w *worker) finishRuns() (bool, error) {
	runs, err := w.s.OpenRuns()
	if err != nil {
		return false, err
	}
	for _, r := range runs {
		if r.MappedAt.IsZero() {
			continue
		}
		err := w.s.FinishRun(w.epoch, r.ID, time.Now())
		if errors.Is(err, ErrBusy) {
			return true, nil // a bundle was added meanwhile
		}
		return true, err
	}
	return false, nil
}
