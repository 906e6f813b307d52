package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

	"threatmatch-connector/spool"
)

var errKilled = errors.New("killed")

// killSwitch counts steps and, from a chosen one on, lets nothing happen any
// more, as if the process had died there.
type killSwitch struct {
	mu    sync.Mutex
	steps int
	at    int // 0: never
	dead  bool
	who   context.CancelFunc
}

func (k *killSwitch) step() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errKilled
	}
	k.steps++
	if k.at > 0 && k.steps >= k.at {
		k.dead = true
		k.who()
		return errKilled
	}
	return nil
}

// mortalSpool is a spool that a kill switch stands before and behind: a commit
// may be done without its caller ever knowing.
type mortalSpool struct {
	*spool.Spool
	kill *killSwitch
	full func(op string) error // lets commits fail
	bad  func(run, seq uint64, i int) bool
}

// BundleObjects cannot read some of the objects.
func (s *mortalSpool) BundleObjects(run, seq uint64, from int, most int64) ([]spool.BundleObject, error) {
	objects, err := s.Spool.BundleObjects(run, seq, from, most)
	for i := range objects {
		if s.bad != nil && s.bad(run, seq, from+i) {
			if i == 0 {
				return nil, &spool.BlockError{Run: run, Seq: seq, From: from, To: from + 1, Err: spool.ErrCorrupt}
			}
			return objects[:i], nil
		}
	}
	return objects, err
}

func (s *mortalSpool) write(op string, commit func() error) error {
	if err := s.kill.step(); err != nil {
		return err
	}
	if s.full != nil {
		if err := s.full(op); err != nil {
			return err
		}
	}
	if err := commit(); err != nil {
		return err
	}
	return s.kill.step()
}

func (s *mortalSpool) SavePlatform(epoch uint64, notes []byte) error {
	return s.write("platform", func() error { return s.Spool.SavePlatform(epoch, notes) })
}

func (s *mortalSpool) AdoptState(epoch uint64, at map[spool.Dataset]time.Time) (ok bool, err error) {
	err = s.write("adopt", func() error { ok, err = s.Spool.AdoptState(epoch, at); return err })
	return ok, err
}

func (s *mortalSpool) Reset(now time.Time) (cleared map[string]int64, works []spool.Work, err error) {
	err = s.write("reset", func() error { cleared, works, err = s.Spool.Reset(now); return err })
	return cleared, works, err
}

func (s *mortalSpool) SaveCursor(epoch uint64, run, seq uint64, n int) error {
	return s.write("cursor", func() error { return s.Spool.SaveCursor(epoch, run, seq, n) })
}

func (s *mortalSpool) SkipMessage(epoch uint64, run, seq uint64, i int, d spool.DeadLetter) error {
	return s.write("skip", func() error { return s.Spool.SkipMessage(epoch, run, seq, i, d) })
}

func (s *mortalSpool) FinishBundle(epoch uint64, run, seq uint64) error {
	return s.write("bundle", func() error { return s.Spool.FinishBundle(epoch, run, seq) })
}

func (s *mortalSpool) SaveWork(epoch uint64, run uint64, w spool.Work) error {
	return s.write("work", func() error { return s.Spool.SaveWork(epoch, run, w) })
}

func (s *mortalSpool) ForgetRun(epoch uint64, run uint64) (n int, err error) {
	err = s.write("forget", func() error { n, err = s.Spool.ForgetRun(epoch, run); return err })
	return n, err
}

func (s *mortalSpool) FinishRun(epoch uint64, run uint64, now time.Time) error {
	return s.write("run", func() error { return s.Spool.FinishRun(epoch, run, now) })
}

func (s *mortalSpool) Count(epoch uint64, run uint64, c map[string]int64) error {
	return s.write("count", func() error { return s.Spool.Count(epoch, run, c) })
}

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
	board    *Board
	bells    Bells
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
	l := &liveWorld{bells: NewBells(), board: NewBoard(time.Now), stop: cancel, ended: make(chan struct{})}
	w.cti.step, w.mq.step = w.kill.step, w.kill.step
	log := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sp := &mortalSpool{w.sp, w.kill, w.full, w.unreadable}
	rnd := rand.New(rand.NewPCG(3, 3))
	var mu sync.Mutex
	chance := func() float64 { mu.Lock(); defer mu.Unlock(); return rnd.Float64() }
	var err error
	pdeps := PlatformDeps{
		Client: w.cti, Works: w.cti, Spool: sp, Bells: l.bells, Board: l.board, Log: log,
		Metrics: NewPlatformMetrics(prometheus.NewRegistry()), Now: time.Now, Rand: chance,
	}
	if w.offline {
		pdeps.Client, pdeps.Works = nil, nil
	}
	l.platform, err = NewPlatform(pdeps, w.popt)
	w.must(err)
	deps := DeliverDeps{
		Spool: sp, Platform: l.platform, Works: w.cti, Publisher: w.mq, Envelope: testEnvelope, OnMaxMessageSize: w.onLimit,
		Bells: l.bells, Board: l.board, Log: log, Metrics: NewDeliverMetrics(prometheus.NewRegistry()), Now: time.Now, Rand: chance,
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

// checkAll holds the promises at the end: every object arrived or is a dead
// letter, and every work that is left is complete once workers are done.
func (w *world) checkAll() {
	w.t.Helper()
	dead, err := w.sp.DeadLetters(0, 1000)
	w.must(err)
	lost := map[string]bool{}
	for _, d := range dead {
		lost[d.STIX] = true
	}
	all := map[string]int{}
	w.mq.do(func() { maps.Copy(all, w.mq.all) })
	for i := 1; i <= w.ids; i++ {
		id := fmt.Sprintf("malware--00000000-0000-4000-8000-%012d", i)
		if (all[id] == 0) != lost[id] {
			w.fail("object %d: %d times in the queue, dead letter %v", i, all[id], lost[id])
		}
	}
	if dropped := w.mq.workOff(1 << 20); dropped > 0 {
		w.fail("workers dropped %d messages", dropped)
	}
	w.checkWorks()
}

// checkWorks: every work that exists is complete, told as many messages as it has.
func (w *world) checkWorks() {
	w.t.Helper()
	w.cti.mu.Lock()
	defer w.cti.mu.Unlock()
	names := map[string]bool{}
	for _, k := range w.cti.works {
		if k.deleted {
			continue
		}
		if names[k.Name] {
			w.fail("two works %q", k.Name)
		}
		names[k.Name] = true
		var copies int64
		for _, n := range k.seen {
			copies += int64(n)
		}
		distinct := int64(len(k.seen) + len(k.reports))
		if len(k.reports) > 0 && !w.reportsOK {
			w.fail("work %q: reports %v", k.Name, k.reports)
		}
		if !k.Complete || k.Expected < distinct || k.Expected > copies+int64(len(k.reports)) || k.Processed < k.Expected {
			w.fail("work %q: complete %v, expected %d, processed %d, distinct %d, copies %d, reports %v\n%s", k.Name, k.Complete, k.Expected, k.Processed,
				len(k.seen), copies, k.reports, w.logs.tail(60))
		}
	}
}

// lastWork returns the newest work on the platform that is not deleted.
func (w *world) lastWork() *fakeWork {
	w.t.Helper()
	w.cti.mu.Lock()
	defer w.cti.mu.Unlock()
	for i := len(w.cti.works) - 1; i >= 0; i-- {
		if !w.cti.works[i].deleted {
			k := *w.cti.works[i]
			return &k
		}
	}
	w.t.Fatal("no work on the platform")
	return nil
}

// works returns copies of all works that ever were.
func (w *world) works() []fakeWork {
	var out []fakeWork
	w.cti.do(func() {
		for _, k := range w.cti.works {
			out = append(out, *k)
		}
	})
	return out
}

// order returns the objects in the order in which they first went out.
func (w *world) order() []string {
	var out []string
	w.mq.do(func() { out = slices.Clone(w.mq.order) })
	return out
}

// calls are the requests that OpenCTI got.
func (w *world) calls() []string {
	var out []string
	w.cti.do(func() { out = slices.Clone(w.cti.calls) })
	return out
}

func (w *world) info() ConnectorInfo {
	var out ConnectorInfo
	w.cti.do(func() { out = w.cti.info })
	return out
}

// refuse lets a call of OpenCTI fail from now on; nil lets it be.
func (w *world) refuse(call string, err error) {
	w.cti.do(func() { w.cti.refuse[call] = err })
}

// echo lets OpenCTI answer with other states, once each.
func (w *world) echo(states ...string) {
	w.cti.do(func() { w.cti.echo = states })
}

func (w *world) echoesLeft() (n int) {
	w.cti.do(func() { n = len(w.cti.echo) })
	return n
}

// batches counts the calls of Send.
func (w *world) batches() (n int) {
	w.mq.do(func() { n = w.mq.sends })
	return n
}

// happens sets what the broker does with the next messages.
func (w *world) happens(events ...sendEvent) {
	w.mq.do(func() { w.mq.events = events })
}

// logLines collects the log.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *logLines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, s := range l.lines {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

func (l *logLines) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-n):], "")
}

// fakeArchive is a directory in memory.
type fakeArchive struct {
	mu    sync.Mutex
	files map[time.Time][]string
	fail  error
}

func (a *fakeArchive) Write(ctx context.Context, b ArchiveBundle) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		return a.fail
	}
	var objects []string
	for o, err := range b.Objects {
		if err != nil {
			return err
		}
		objects = append(objects, string(o))
	}
	if a.files == nil {
		a.files = map[time.Time][]string{}
	}
	a.files[b.Time] = objects
	return ctx.Err()
}
