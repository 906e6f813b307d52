package spool

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "seed of the model test; 0 takes one from the clock")
	modelSteps = flag.Int("model.steps", 2000, "steps of the model test")
)

// Whatever is done to a spool, in whatever order, with restarts, crashes and readers in between: it holds what a
// model in plain maps holds, and Verify finds nothing.
func TestModel(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -model.seed=%d)", seed, seed)
	d := newDriver(t, seed)
	stop := d.readers(3)
	defer stop()
	for step := range *modelSteps {
		name := d.step()
		if t.Failed() {
			t.Fatalf("step %d: %s", step, name)
		}
		if step%50 == 0 {
			d.compare()
		}
		if step%250 == 0 {
			d.verify()
		}
		if t.Failed() {
			t.Fatalf("after step %d: %s", step, name)
		}
	}
	d.compare()
}

// driver does random operations on a spool and on the model.
type driver struct {
	t    *testing.T
	r    *rand.Rand
	m    *model
	now  time.Time
	opts Options
	mu   sync.RWMutex // held for writing while s is replaced
	s    *Spool
	turn chan struct{} // one reading for each value
}

func newDriver(t *testing.T, seed uint64) *driver {
	d := &driver{t: t, r: rand.New(rand.NewPCG(seed, 1)), m: newModel(), now: t0, turn: make(chan struct{}, 1)}
	d.opts = Options{Dir: fastDir(t), ConnectorID: "c1", MaxSize: 64 << 20, noReserve: true, Now: func() time.Time { return d.now }}
	if seed%2 == 0 {
		d.opts.KeepRecords, d.m.keep = time.Hour, true
	}
	d.s = must(Open(t.Context(), d.opts))
	t.Cleanup(func() { closeVerified(t, d.s) })
	return d
}

// readers run queries beside the writer. What they see must be consistent.
func (d *driver) readers(n int) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 2))
			for {
				select {
				case <-done:
					return
				case <-d.turn:
				}
				d.mu.RLock()
				d.readOnce(r)
				d.mu.RUnlock()
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

func (d *driver) readOnce(r *rand.Rand) {
	switch r.IntN(4) {
	case 0:
		broken, err := d.s.Verify(d.t.Context())
		if err != nil || len(broken) > 0 {
			d.t.Errorf("verify beside the writer: %v %v", broken, err)
		}
	case 1:
		runs, err := d.s.OpenRuns()
		if err != nil || !slices.IsSortedFunc(runs, func(a, b Run) int { return int(a.ID) - int(b.ID) }) {
			d.t.Errorf("open runs beside the writer: %v %v", runs, err)
		}
	case 2:
		if _, err := d.s.List(Buckets()[r.IntN(len(Buckets()))], "", 20); err != nil {
			d.t.Errorf("list beside the writer: %v", err)
		}
	case 3:
		st, err := d.s.Stats()
		if err != nil || st.Messages < 0 || st.Tasks < 0 || st.IDs < 0 {
			d.t.Errorf("stats beside the writer: %+v %v", st, err)
		}
	}
}

func (d *driver) verify() {
	broken, err := d.s.Verify(d.t.Context())
	if err != nil {
		d.t.Error(err)
	}
	for _, b := range broken {
		d.t.Error(b)
	}
}

// check compares an error with what the model expects.
func (d *driver) check(err, want error) bool {
	d.t.Helper()
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		d.t.Fatalf("error %v, want %v", err, want)
	}
	return err == nil
}

func busyUnless(ok bool) error {
	if ok {
		return nil
	}
	return ErrBusy
}

// step does one random operation.
func (d *driver) step() string {
	d.now = d.now.Add(time.Duration(d.r.IntN(5000)) * time.Millisecond)
	select {
	case d.turn <- struct{}{}:
	default: // the readers are busy
	}
	steps := []struct {
		weight int
		name   string
		do     func()
	}{
		{4, "start run", d.startRun}, {30, "settle", d.settle}, {2, "fail dataset", d.failDataset},
		{1, "drop dataset", d.dropDataset}, {8, "finish fetch", d.finishFetch}, {25, "commit map", d.commitMap},
		{6, "finish map", d.finishMap}, {20, "deliver", d.deliver}, {6, "finish run", d.finishRun},
		{2, "forget run", d.forgetRun}, {3, "count and work", d.countAndWork}, {2, "state", d.stateOps},
		{2, "retry", d.retry}, {2, "drop", d.drop}, {1, "prune", d.prune}, {1, "stale epoch", d.staleEpoch},
		{2, "reopen", d.reopen},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	if d.r.IntN(600) == 0 {
		d.reset()
		return "reset"
	}
	n := d.r.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			s.do()
			return s.name
		}
	}
	return ""
}

func (d *driver) dataset() Dataset { return Datasets()[d.r.IntN(len(Datasets()))] }

func (d *driver) when() time.Time {
	return t0.Add(time.Duration(d.r.IntN(1_000_000)) * time.Second)
}

func (d *driver) taskKey() TaskKey {
	switch d.r.IntN(6) {
	case 0:
		return TaskKey{d.dataset(), TaskList, ""}
	case 1:
		return TaskKey{d.dataset(), TaskPage, "group/" + strconv.Itoa(d.r.IntN(2))}
	}
	return TaskKey{d.dataset(), TaskItem, strconv.Itoa(d.r.IntN(40))}
}

func (d *driver) newTask() NewTask {
	n := NewTask{TaskKey: d.taskKey()}
	if d.r.IntN(2) == 0 {
		n.Since = d.when()
	}
	if n.Kind == TaskPage {
		n.Cursor = []byte(fmt.Sprint("cursor ", d.r.IntN(100)))
	}
	return n
}

func (d *driver) stixID() string {
	types := []string{"indicator", "relationship", "x-odd", "malware"}
	if d.r.IntN(20) == 0 {
		return "odd\x00id/" + strconv.Itoa(d.r.IntN(5))
	}
	return fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", types[d.r.IntN(4)], d.r.IntN(60))
}

// blob returns bytes, sometimes more than a block or a fragment holds, that do not compress.
func (d *driver) blob() []byte {
	n := 10 + d.r.IntN(300)
	if d.r.IntN(150) == 0 {
		n = fragmentSize/2 + d.r.IntN(2*fragmentSize)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + d.r.IntN(26))
	}
	if d.r.IntN(2) == 0 {
		for i := range b {
			b[i] = byte(d.r.Uint32())
		}
	}
	return b
}

func (d *driver) json() []byte { return []byte(fmt.Sprintf(`{"x":"%x"}`, d.blob())) }

// run picks a run, mostly an open one, sometimes none.
func (d *driver) run() *modelRun {
	open := d.m.openRuns()
	if len(open) == 0 || d.r.IntN(30) == 0 {
		ids := slices.Sorted(maps.Keys(d.m.runs))
		if len(ids) == 0 {
			return nil
		}
		return d.m.runs[ids[d.r.IntN(len(ids))]]
	}
	return open[d.r.IntN(len(open))]
}

// fetching picks a run that is still being fetched.
func (d *driver) fetching() *modelRun {
	var all []*modelRun
	for _, r := range d.m.openRuns() {
		if r.FetchedAt.IsZero() {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[d.r.IntN(len(all))]
}

// mapping picks a run that is not mapped yet.
func (d *driver) mapping() *modelRun {
	var all []*modelRun
	for _, r := range d.m.openRuns() {
		if r.MappedAt.IsZero() {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[d.r.IntN(len(all))]
}

// reopen closes the spool cleanly, or drops it as a crash would.
func (d *driver) reopen() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clean := d.r.IntN(2) == 0
	if clean {
		ok(d.t, d.s.Close())
	} else {
		crash(d.t, d.s)
	}
	d.s = must(Open(d.t.Context(), d.opts))
	meta := must(d.s.Meta())
	if meta.Unclean == clean || meta.SetAside != "" {
		d.t.Fatalf("after clean=%v: %+v", clean, meta)
	}
}

// crash drops file and lock as a dying process does.
func crash(t *testing.T, s *Spool) {
	t.Helper()
	ok(t, s.db.Close())
	ok(t, s.lock.f.Close())
	s.closed = true
	if _, err := os.Stat(s.path); err != nil {
		t.Fatal(err)
	}
}
