package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/spool"
)

// world is a spool with a platform and a broker around it, inside a bubble of
// its own time.
type world struct {
	t          *testing.T
	dir        string
	sp         *spool.Spool
	kill       *killSwitch
	full       func(op string) error
	cti        *fakeOpenCTI
	mq         *fakeBroker
	dirs       *fakeArchive
	opt        DeliverOptions
	popt       PlatformOptions
	logs       *logLines
	wrong      bool
	onLimit    func(int64)
	unreadable func(run, seq uint64, i int) bool
	offline    bool // no platform and no broker
	reportsOK  bool // the test expects messages that never come, or calls that count twice
	ids        int

	live *liveWorld
}

// liveWorld is what dies with the process.
type liveWorld struct {
	platform *Platform
	deliver  *Deliver
	status   *Status
	wakes    Wakes
	stop     context.CancelFunc
	ended    chan struct{}
	err      error
}

// inWorld runs the test in a bubble with a world of the profile.
func inWorld(t *testing.T, p profile, test func(w *world)) {
	t.Helper()
	dir := memoryDir(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, p)
		defer w.close()
		test(w)
	})
}

// memoryDir is a directory that costs no waiting for a disk, where there is one:
// these tests commit ten thousands of times.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "deliver")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newWorld(t *testing.T, dir string, p profile) *world {
	w := &world{t: t, dir: dir, kill: &killSwitch{}, logs: &logLines{}}
	w.cti = newFakeOpenCTI(p, w.fail)
	w.mq = newFakeBroker(w.cti, 7)
	w.popt = PlatformOptions{Datasets: spool.Datasets()}
	w.opt = DeliverOptions{ConnectorID: "c1", ConnectorName: "ThreatMatch"}
	// The reserve for a full disk need not be written each time.
	reserve := filepath.Join(dir, "spool.reserve")
	if err := errors.Join(os.WriteFile(reserve, nil, 0o600), os.Truncate(reserve, 64<<20)); err != nil {
		t.Fatal(err)
	}
	w.openSpool()
	return w
}

// fail notes a broken invariant, however many goroutines find it.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format, args...)
	w.wrong = true
}

func (w *world) openSpool() {
	w.t.Helper()
	var err error
	w.sp, err = spool.Open(context.Background(), spool.Options{Dir: w.dir, ConnectorID: "c1", MaxSize: 32 << 20})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) close() {
	w.halt()
	if broken, err := w.sp.Verify(context.Background()); err != nil || len(broken) > 0 {
		w.t.Errorf("verify: %v %v", broken, err)
	}
	w.must(w.sp.Close())
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// start begins a process: platform loop and deliver on the spool as it is.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.kill.who = cancel
	l := &liveWorld{wakes: NewWakes(), status: NewStatus(time.Now), stop: cancel, ended: make(chan struct{})}
	w.cti.step, w.mq.step = w.kill.step, w.kill.step
	log := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sp := &mortalSpool{w.sp, w.kill, w.full, w.unreadable}
	rnd := rand.New(rand.NewPCG(3, 3))
	var mu sync.Mutex
	chance := func() float64 { mu.Lock(); defer mu.Unlock(); return rnd.Float64() }
	var err error
	pdeps := PlatformDeps{
		Client: w.cti, Works: w.cti, Spool: sp, Wakes: l.wakes, Status: l.status, Log: log,
		Metrics: NewPlatformMetrics(prometheus.NewRegistry()), Now: time.Now, Rand: chance,
	}
	if w.offline {
		pdeps.Client, pdeps.Works = nil, nil
	}
	l.platform, err = NewPlatform(pdeps, w.popt)
	w.must(err)
	deps := DeliverDeps{
		Spool: sp, Platform: l.platform, Works: w.cti, Publisher: w.mq, OnMaxMessageSize: w.onLimit,
		Wakes: l.wakes, Status: l.status, Log: log, Metrics: NewDeliverMetrics(prometheus.NewRegistry()), Now: time.Now, Rand: chance,
	}
	if w.dirs != nil {
		deps.Archive = w.dirs
	}
	if w.offline {
		deps.Works, deps.Publisher = nil, nil
	}
	l.deliver, err = NewDeliver(deps, w.opt)
	w.must(err)
	var loops sync.WaitGroup
	loops.Go(func() { l.err = errors.Join(l.err, l.platform.Run(ctx)) })
	var derr error
	loops.Go(func() { derr = l.deliver.Run(ctx) })
	go func() {
		loops.Wait()
		l.err = errors.Join(l.err, derr)
		close(l.ended)
	}()
	w.live = l
}

// halt is an ordered stop.
func (w *world) halt() error {
	if w.live == nil {
		return nil
	}
	w.live.stop()
	<-w.live.ended
	err := w.live.err
	w.live = nil
	return err
}

// reborn ends what is left of a killed process and opens the spool anew.
func (w *world) reborn() {
	w.t.Helper()
	_ = w.halt()
	w.must(w.sp.Close())
	w.kill = &killSwitch{}
	w.openSpool()
}

// run spools a run whose bundles have so many objects each, mapped and all.
func (w *world) run(reason spool.Reason, bundles ...int) spool.Run {
	w.t.Helper()
	r := w.openRun(reason, bundles...)
	w.must(w.sp.FinishMap(w.epoch(), r.ID, time.Now()))
	return r
}

// openRun is a run that map may still add to.
func (w *world) openRun(reason spool.Reason, bundles ...int) spool.Run {
	w.t.Helper()
	from := map[spool.Dataset]time.Time{}
	for _, d := range spool.Datasets() {
		from[d] = time.Now().Add(-30 * 24 * time.Hour)
	}
	r, err := w.sp.StartRun(w.epoch(), time.Now(), spool.RunSpec{Reason: reason, Datasets: from})
	w.must(err)
	w.must(w.sp.FinishFetch(w.epoch(), r.ID, time.Now()))
	for _, n := range bundles {
		w.addBundle(r.ID, n, 200)
	}
	return r
}

func (w *world) addBundle(run uint64, objects, size int) {
	w.t.Helper()
	c := spool.MapCommit{Run: run, Bundles: []spool.NewBundle{{}}}
	for range objects {
		w.ids++
		id := fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", w.ids)
		text := fmt.Sprintf(`{"type":"malware","id":%q,"x":%q}`, id, strings.Repeat("x", size))
		c.Bundles[0].Objects = append(c.Bundles[0].Objects, spool.BundleObject{STIX: id, Deps: 1, JSON: []byte(text)})
		c.IDs = append(c.IDs, spool.IDPut{STIX: id, ID: spool.ID{Hash: [16]byte{1}, Modified: time.Now(), Run: run, At: time.Now()}})
	}
	w.must(w.sp.CommitMap(w.epoch(), time.Now(), c))
}

func (w *world) epoch() uint64 {
	m, err := w.sp.Meta()
	w.must(err)
	return m.Epoch
}

// settle waits until every open run is done; it reports false after a fake day.
func (w *world) settle() bool {
	w.t.Helper()
	for range 24 * 360 {
		time.Sleep(10 * time.Second)
		runs, err := w.sp.OpenRuns()
		w.must(err)
		if len(runs) == 0 {
			synctest.Wait()
			return true
		}
		select {
		case <-w.live.ended:
			return false
		default:
		}
	}
	w.fail("runs not done after a day:\n%s", w.logs.tail(40))
	return false
}
