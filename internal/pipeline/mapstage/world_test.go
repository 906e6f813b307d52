package mapstage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/mapping"
	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/stix"
	"threatmatch-connector/spool"
)

// testingTB is what the world needs of a test; rapid's T implements it too.
type testingTB interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// sentObject is one message that the world's deliver accepted.
type sentObject struct {
	run, bundle uint64
	stix        string
	deps        uint32
	obj         *stix.Object
}

// world is a spool with the map stage, records that tests add, and a deliver that
// takes bundles as the real one does.
type world struct {
	t        testingTB
	dir      string
	sp       *spool.Spool
	over     func(*spool.Spool) Spool // wraps the spool, to make it fail
	m        *Stage
	mapper   Mapper
	plain    *plainMapper // what mapper is, unless a test says otherwise
	resolver Resolver
	opt      Options
	clock    time.Time
	guarded  bool // what fails by itself is put down, as Run does it
	real     bool // time.Now instead of clock, in a bubble
	sent     []sentObject
	source   int
	runs     int
	lists    map[uint64]spool.TaskKey // of each run: the task that keeps its fetch open
}

func newWorld(t testingTB, dir string, opt Options) *world {
	mp, err := mapping.New(mapping.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	plain := &plainMapper{Mapper: mp}
	w := &world{
		t: t, dir: dir, opt: opt, mapper: plain, plain: plain, lists: map[uint64]spool.TaskKey{},
		clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	w.open()
	return w
}

func (w *world) now() time.Time {
	if w.real {
		return time.Now()
	}
	return w.clock
}

func (w *world) open() {
	reserve := filepath.Join(w.dir, "spool.reserve") // so that it is not written for every test
	err := errors.Join(os.MkdirAll(w.dir, 0o700), os.WriteFile(reserve, nil, 0o600), os.Truncate(reserve, 64<<20))
	if err != nil {
		w.t.Fatal(err)
	}
	sp, err := spool.Open(context.Background(), spool.Options{
		Dir: w.dir, ConnectorID: "c", Now: w.now, NoCompact: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.sp = sp
	w.restart()
}

// restart leaves what a crash leaves: the spool, and a stage that knows nothing.
func (w *world) restart() {
	var sp Spool = w.sp
	if w.over != nil {
		sp = w.over(w.sp)
	}
	opt := w.opt
	opt.MaxObjects, opt.MaxBytes = cmp.Or(opt.MaxObjects, 5000), cmp.Or(opt.MaxBytes, 16<<20)
	opt.MaxWait, opt.HoldUnresolved = cmp.Or(opt.MaxWait, 30*time.Second), cmp.Or(opt.HoldUnresolved, 30*24*time.Hour)
	m, err := New(Deps{
		Spool: sp, Mapper: w.mapper, Resolver: w.resolver, Wakes: pipeline.NewWakes(), Status: pipeline.NewStatus(w.now),
		Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()), Now: w.now,
	}, opt)
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
}

// renew empties the spool and starts over with other options.
func (w *world) renew(t testingTB, opt Options) {
	w.t, w.opt, w.resolver, w.sent = t, opt, nil, nil
	clear(w.lists)
	_, _, err := w.sp.Reset(w.now())
	w.check(err)
	var keys []uint64
	for _, d := range w.dead() {
		keys = append(keys, d.Key)
	}
	_, err = w.sp.Drop(keys, nil, nil)
	w.check(err)
	w.restart()
}

func (w *world) close() {
	if err := w.sp.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reopen() {
	w.close()
	w.open()
}

// die leaves what a killed process leaves: a spool that nobody closed.
func (w *world) die() {
	w.t.Helper()
	dir := w.dir + "+"
	w.check(os.CopyFS(dir, os.DirFS(w.dir)))
	w.close()
	w.check(os.RemoveAll(w.dir))
	w.dir = dir
	w.open()
}

func (w *world) epoch() uint64 {
	meta, err := w.sp.Meta()
	w.check(err)
	return meta.Epoch
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// startRun starts a run that is being fetched until endFetch.
func (w *world) startRun(reason spool.Reason) uint64 {
	w.t.Helper()
	if !w.real {
		w.clock = w.clock.Add(time.Second)
	}
	at := w.now()
	run, err := w.sp.StartRun(w.epoch(), at, spool.RunSpec{
		Reason: reason, Start: at, Datasets: map[spool.Dataset]time.Time{spool.Profiles: at},
		Tasks: []spool.NewTask{{TaskKey: listTask(w.runs)}},
	})
	w.check(err)
	w.lists[run.ID] = listTask(w.runs)
	w.runs++
	return run.ID
}

func listTask(n int) spool.TaskKey {
	return spool.TaskKey{Dataset: spool.Profiles, Kind: spool.TaskList, Source: fmt.Sprint(n)}
}

// record spools one response with these objects.
func (w *world) record(run uint64, objs ...string) string {
	w.t.Helper()
	return w.body(run, `{"objects":[`+strings.Join(objs, ",")+`]}`)
}

func (w *world) body(run uint64, body string) string {
	w.t.Helper()
	w.source++
	src := fmt.Sprintf("s%d", w.source)
	key := spool.TaskKey{Dataset: spool.Profiles, Kind: spool.TaskItem, Source: src}
	w.check(w.sp.SettleTasks(w.epoch(), w.now(), []spool.Outcome{
		{Task: w.lists[run], Run: run, Keep: &spool.TaskState{}, Add: []spool.NewTask{{TaskKey: key}}},
		{
			Task: key, Run: run,
			Record: &spool.NewRecord{Dataset: spool.Profiles, Source: src, Fetched: w.now(), Body: []byte(body)},
		},
	}))
	return src
}

func (w *world) endFetch(run uint64) {
	w.t.Helper()
	w.check(w.sp.SettleTasks(w.epoch(), w.now(), []spool.Outcome{{Task: w.lists[run], Run: run}}))
	w.check(w.sp.FinishFetch(w.epoch(), run, w.now()))
}

// once runs one step of the stage and reports whether there was work.
func (w *world) once() bool {
	w.t.Helper()
	step := w.m.runOnce
	if w.guarded {
		step = w.m.guardedStep
	}
	wait, err := step(context.Background())
	if err != nil {
		if _, err = w.m.trouble(err); err != nil {
			w.t.Fatal(err)
		}
		return true
	}
	return wait == 0
}

// work steps until there is nothing to do.
func (w *world) work() {
	w.t.Helper()
	for n := 0; w.once(); n++ {
		if n > 100_000 {
			w.t.Fatal("map does not come to rest")
		}
	}
}

// deliver takes all bundles, or at most n of them.
func (w *world) deliver(n int) {
	w.t.Helper()
	for ; n != 0; n-- {
		b, err := w.sp.NextBundle()
		if errors.Is(err, spool.ErrNotFound) {
			return
		}
		w.check(err)
		for from := 0; from < b.Objects; {
			objs, err := w.sp.BundleObjects(b.Run, b.Seq, from, 1<<20)
			w.check(err)
			for _, o := range objs {
				obj, err := stix.Decode(o.JSON)
				w.check(err)
				w.sent = append(w.sent, sentObject{b.Run, b.Seq, o.STIX, o.Deps, obj})
			}
			from += len(objs)
		}
		w.check(w.sp.SaveCursor(w.epoch(), b.Run, b.Seq, b.Objects))
		w.check(w.sp.EndBundle(w.epoch(), b.Run, b.Seq, spool.Work{}, nil))
	}
}

// wholeRun processes records in one run.
func (w *world) wholeRun(reason spool.Reason, records ...[]string) uint64 {
	w.t.Helper()
	run := w.startRun(reason)
	for _, objs := range records {
		w.record(run, objs...)
	}
	w.endFetch(run)
	w.work()
	w.deliver(-1)
	return run
}

func (w *world) run(id uint64) spool.Run {
	w.t.Helper()
	r, err := w.sp.Run(id)
	w.check(err)
	return r
}

// counters adds up the map counters of all runs since renew.
func (w *world) counters() map[string]int64 {
	w.t.Helper()
	sum := map[string]int64{}
	for _, id := range slices.Sorted(maps.Keys(w.lists)) {
		for name, n := range w.run(id).Counters {
			if kind, ok := strings.CutPrefix(name, counterPrefix); ok {
				sum[kind] += n
			}
		}
	}
	return sum
}

func (w *world) sum(name string) int64 {
	w.t.Helper()
	return w.counters()[name]
}

func (w *world) held() map[string]spool.Object {
	w.t.Helper()
	out := map[string]spool.Object{}
	for after := uint64(0); ; {
		objs, err := w.sp.Objects(spool.Held, after, 100)
		w.check(err)
		if len(objs) == 0 {
			return out
		}
		for _, o := range objs {
			out[o.STIX], after = o, o.Seq
		}
	}
}

func (w *world) dead() []spool.DeadLetter {
	w.t.Helper()
	var out []spool.DeadLetter
	for after := uint64(0); ; {
		d, err := w.sp.DeadLetters(after, 100)
		w.check(err)
		if len(d) == 0 {
			return out
		}
		out = append(out, d...)
		after = d[len(d)-1].Key
	}
}

// ids returns what was sent in a run, except author and markings.
func (w *world) ids(run uint64) []string {
	var out []string
	for _, s := range w.sent {
		if s.run == run && !w.companion(s.stix) {
			out = append(out, s.stix)
		}
	}
	return out
}

func (w *world) companion(id string) bool {
	return id == w.mapper.Author().ID() || stix.StandardTLP(id)
}

// last returns the latest copy of an object that was sent.
func (w *world) last(id string) *stix.Object {
	for _, s := range slices.Backward(w.sent) {
		if s.stix == id {
			return s.obj
		}
	}
	return nil
}

// fastDir is a temporary directory in memory if there is one: these tests commit
// often, and none is about the disk.
func fastDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "map")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "spool")
}

var _ testingTB = (*testing.T)(nil)
