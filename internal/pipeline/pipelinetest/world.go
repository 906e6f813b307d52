package pipelinetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/pipeline"
	"threatmatch-connector/internal/pipeline/deliver"
	"threatmatch-connector/internal/pipeline/platform"
	"threatmatch-connector/spool"
)

// Stride is the step of a sweep through its cases: one in five with -short, as under
// the race detector, which takes six times as long.
func Stride() int {
	if testing.Short() {
		return 5
	}
	return 1
}

// World is a spool with a platform and a broker around it, in a bubble with its own
// time.
type World struct {
	t          *testing.T
	dir        string
	Spool      *spool.Spool
	Kill       *KillSwitch
	Full       func(op string) error
	OpenCTI    *OpenCTI
	Broker     *Broker
	Archive    *Archive
	Deliver    deliver.Options
	Platform   platform.Options
	Logs       *LogLines
	wrong      bool
	Unreadable func(run, seq uint64, i int) bool
	MaxSize    int64 // of the spool that is opened next; 0: 32 MiB
	Offline    bool  // no platform and no broker
	ReportsOK  bool  // the test expects messages that never come, or calls that count twice
	// Others returns what runs next to the platform loop and deliver; nil: nothing.
	Others func(l *Process) []pipeline.Part
	Ids    int

	Live *Process
}

// Process is what dies with the process.
type Process struct {
	Spool    *mortalSpool
	Log      *slog.Logger
	Platform *platform.Platform
	Deliver  *deliver.Stage
	Status   *pipeline.Status
	Wakes    pipeline.Wakes
	Stop     context.CancelFunc
	Ended    chan struct{}
	Err      error
}

// InWorld runs the test in a bubble, with a world of the profile.
func InWorld(t *testing.T, p Profile, test func(w *World)) {
	t.Helper()
	dir := memoryDir(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, p)
		defer w.close()
		test(w)
	})
}

// memoryDir returns a directory in memory if there is one, because these tests
// commit tens of thousands of times.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "deliver")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newWorld(t *testing.T, dir string, p Profile) *World {
	w := &World{t: t, dir: dir, Kill: &KillSwitch{}, Logs: &LogLines{}}
	w.OpenCTI = newOpenCTI(p, w.Fail)
	w.Broker = newBroker(w.OpenCTI, 7)
	w.Platform = platform.Options{Datasets: spool.Datasets()}
	w.Deliver = deliver.Options{ConnectorID: "c1", ConnectorName: "ThreatMatch", Window: 512}
	sparseReserve(t, dir)
	w.openSpool()
	return w
}

// Fail reports a broken invariant; any goroutine may call it.
func (w *World) Fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format, args...)
	w.wrong = true
}

func (w *World) openSpool() {
	w.t.Helper()
	var err error
	w.Spool, err = spool.Open(context.Background(), spool.Options{Dir: w.dir, ConnectorID: "c1", MaxSize: cmp.Or(w.MaxSize, 32<<20)})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *World) close() {
	w.Halt()
	if broken, err := w.Spool.Verify(context.Background()); err != nil || len(broken) > 0 {
		w.t.Errorf("verify: %v %v", broken, err)
	}
	w.Must(w.Spool.Close())
}

func (w *World) Must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Start starts a process: platform loop and deliver on the spool as it is.
func (w *World) Start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.Kill.who = cancel
	l := &Process{Wakes: pipeline.NewWakes(), Status: pipeline.NewStatus(time.Now), Stop: cancel, Ended: make(chan struct{})}
	w.OpenCTI.step, w.Broker.step = w.Kill.Step, w.Kill.Step
	log := slog.New(slog.NewTextHandler(w.Logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sp := &mortalSpool{w.Spool, w.Kill, w.Full, w.Unreadable}
	l.Spool, l.Log = sp, log
	rnd := rand.New(rand.NewPCG(3, 3))
	var mu sync.Mutex
	chance := func() float64 { mu.Lock(); defer mu.Unlock(); return rnd.Float64() }
	var err error
	pdeps := platform.Deps{
		Client: w.OpenCTI, Works: w.OpenCTI, Spool: sp, Wakes: l.Wakes, Status: l.Status, Log: log,
		Metrics: platform.NewMetrics(prometheus.NewRegistry()), Now: time.Now, Rand: chance,
	}
	if w.Offline {
		pdeps.Client, pdeps.Works = nil, nil
	}
	l.Platform, err = platform.New(pdeps, w.Platform)
	w.Must(err)
	deps := deliver.Deps{
		Spool: sp, Platform: l.Platform, Works: w.OpenCTI, Publisher: w.Broker,
		Wakes: l.Wakes, Status: l.Status, Log: log, Metrics: deliver.NewMetrics(prometheus.NewRegistry()), Now: time.Now, Rand: chance,
	}
	if w.Archive != nil {
		deps.Archive = w.Archive
	}
	if w.Offline {
		deps.Works, deps.Publisher, w.Deliver.Way = nil, nil, deliver.ToArchive
	}
	if w.Deliver.Way == deliver.ToAPI {
		deps.Publisher = nil
	}
	l.Deliver, err = deliver.New(deps, w.Deliver)
	w.Must(err)
	parts := []pipeline.Part{l.Platform, l.Deliver}
	if w.Others != nil {
		parts = append(parts, w.Others(l)...)
	}
	w.Must(sp.MarkResumed()) // as the program does before its loops turn
	var loops sync.WaitGroup
	errs := make([]error, len(parts))
	for i, part := range parts {
		loops.Go(func() { errs[i] = part.Run(ctx) })
	}
	go func() {
		loops.Wait()
		l.Err = errors.Join(errs...)
		close(l.Ended)
	}()
	w.Live = l
}

// Halt stops the process cleanly.
func (w *World) Halt() error {
	if w.Live == nil {
		return nil
	}
	w.Live.Stop()
	<-w.Live.Ended
	err := w.Live.Err
	w.Live = nil
	return err
}

// Restart ends what is left of a killed process and reopens the spool.
func (w *World) Restart() {
	w.t.Helper()
	_ = w.Halt()
	w.Must(w.Spool.Close())
	w.Kill = &KillSwitch{turns: w.Kill.turns}
	w.openSpool()
}

// Run stores a mapped run whose bundles have the given numbers of objects.
func (w *World) Run(reason spool.Reason, bundles ...int) spool.Run {
	w.t.Helper()
	r := w.OpenRun(reason, bundles...)
	w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
	return r
}

// OpenRun stores a run to which map may still add.
func (w *World) OpenRun(reason spool.Reason, bundles ...int) spool.Run {
	w.t.Helper()
	from := map[spool.Dataset]time.Time{}
	for _, d := range spool.Datasets() {
		from[d] = time.Now().Add(-30 * 24 * time.Hour)
	}
	r, err := w.Spool.StartRun(w.Epoch(), time.Now(), spool.RunSpec{Reason: reason, Datasets: from})
	w.Must(err)
	w.Must(w.Spool.FinishFetch(w.Epoch(), r.ID, time.Now()))
	for _, n := range bundles {
		w.AddBundle(r.ID, n, 200)
	}
	return r
}

// AddBundle adds a bundle of objects of that size.
func (w *World) AddBundle(run uint64, objects, size int) {
	w.t.Helper()
	w.Add(run, slices.Repeat([]int{size}, objects)...)
}

// Add adds a bundle with an object of each of the sizes.
func (w *World) Add(run uint64, sizes ...int) {
	w.t.Helper()
	c := spool.MapCommit{Run: run, Bundles: []spool.NewBundle{{}}}
	for _, size := range sizes {
		w.Ids++
		id := fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", w.Ids)
		text := fmt.Sprintf(`{"type":"malware","id":%q,"x":%q}`, id, strings.Repeat("x", size))
		c.Bundles[0].Objects = append(c.Bundles[0].Objects, spool.BundleObject{STIX: id, Deps: 1, Source: "s", JSON: []byte(text)})
		c.IDs = append(c.IDs, spool.IDPut{STIX: id, ID: spool.ID{Hash: [16]byte{1}, Modified: time.Now(), Run: run, At: time.Now()}})
	}
	w.Must(w.Spool.CommitMap(w.Epoch(), time.Now(), c))
}

func (w *World) Epoch() uint64 {
	m, err := w.Spool.Meta()
	w.Must(err)
	return m.Epoch
}

// Settle waits until every open run is done; it returns false after a day of the
// fake clock.
func (w *World) Settle() bool {
	w.t.Helper()
	for range 24 * 360 {
		time.Sleep(10 * time.Second)
		runs, err := w.Spool.OpenRuns()
		w.Must(err)
		if len(runs) == 0 {
			synctest.Wait()
			return true
		}
		select {
		case <-w.Live.Ended:
			return false
		default:
		}
	}
	w.Fail("runs not done after a day:\n%s", w.Logs.Tail(40))
	return false
}

// Replace continues with the spool in a file instead of its own.
func (w *World) Replace(db []byte) {
	w.t.Helper()
	w.Must(w.Spool.Close())
	w.Must(os.WriteFile(filepath.Join(w.dir, "spool.db"), db, 0o600))
	w.openSpool()
}
