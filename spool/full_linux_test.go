package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A disk that is full stops what brings work, lets what drains it go on, damages
// nothing, keeps nobody from starting, and mends itself when there is room.
// The disk is a small tmpfs in a mount namespace of its own where that may be
// made; the limit on the size of files stands in for it everywhere.
func TestDiskFull(t *testing.T) {
	for _, kind := range []string{"tmpfs", "limit"} {
		t.Run(kind, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), must(os.Executable())(t), t.TempDir())
			cmd.Env = append(os.Environ(), childEnv+"="+childFull, "SPOOL_TEST_FULL="+kind)
			if kind == "tmpfs" {
				cmd.SysProcAttr = ownMounts()
			}
			out, err := cmd.CombinedOutput()
			if kind == "tmpfs" && (errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "cannot mount")) {
				t.Logf("no tmpfs may be mounted here (%v %s): the test with the limit stands in", err, out)
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// ownMounts puts a child into a mount namespace of its own.
func ownMounts() *syscall.SysProcAttr {
	if os.Getuid() == 0 {
		return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	}
	one := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: one(os.Getuid()), GidMappings: one(os.Getgid()),
	}
}

func fullChild() int {
	dir := os.Args[1]
	err := func() error {
		if os.Getenv("SPOOL_TEST_FULL") == "limit" {
			return fullByLimit(dir)
		}
		err := errors.Join(
			syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
			syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"),
		)
		if err != nil {
			return fmt.Errorf("cannot mount: %w", err)
		}
		return fullByTmpfs(dir)
	}()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// filler brings records until there is no room.
type filler struct {
	s    *Spool
	run  Run
	r    *rand.Rand
	n    int
	dir  string
	opts Options

	noise []byte
}

func newFiller(dir string) (*filler, error) {
	f := &filler{r: rand.New(rand.NewPCG(1, 1)), dir: dir}
	f.opts = Options{Dir: dir, ConnectorID: "c", reserve: 2 << 20, NoCompact: true}
	var err error
	if f.s, err = Open(context.Background(), f.opts); err != nil {
		return nil, err
	}
	f.run, err = f.s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule})
	return f, err
}

func (f *filler) bring() error {
	f.n++
	for len(f.noise) < 60_000 {
		f.noise = putU64(f.noise, f.r.Uint64())
	}
	copy(f.noise, num(f.r.Uint64()))
	body := f.noise
	key := item(Alerts, f.n)
	err := f.s.SettleTasks(1, t0, []Outcome{{Task: list(Alerts), Run: f.run.ID}})
	if err != nil {
		return err
	}
	// the task and its record in one go, so that each round is the same
	return f.s.update("settle tasks", use{share: grows}, func(t *txn) error {
		r, err := t.changeRun(f.run.ID)
		if err != nil {
			return err
		}
		return t.addRecord(r, NewRecord{Dataset: Alerts, Source: key.Source, Body: body}, pack(body))
	})
}

// fill brings records until ErrFull and returns how many are there.
func (f *filler) fill() (int64, error) {
	for range 2000 {
		err := f.bring()
		if errors.Is(err, ErrFull) {
			st, err := f.s.Stats()
			return st.Records, errors.Join(err, f.whole())
		}
		if err != nil {
			return 0, fmt.Errorf("while filling: %w", err)
		}
	}
	return 0, errors.New("the disk is never full")
}

// whole checks that nothing is broken, in memory or in the file.
func (f *filler) whole() error {
	broken, err := f.s.Verify(context.Background())
	if err == nil && len(broken) > 0 {
		err = errors.New(strings.Join(broken, "; "))
	}
	return err
}

// mapSome moves records on into a bundle.
func (f *filler) mapSome(n int) error {
	recs, err := f.s.Records(f.run.ID, 0, n, 1<<30)
	if err != nil {
		return err
	}
	c := MapCommit{Run: f.run.ID}
	var b NewBundle
	for _, r := range recs {
		c.Records = append(c.Records, r.Seq)
		b.Objects = append(b.Objects, BundleObject{STIX: stixOf(int(r.Seq)), JSON: r.Body})
	}
	c.Bundles = []NewBundle{b}
	return f.s.CommitMap(1, t0, c)
}

// deliverAll confirms all bundles.
func (f *filler) deliverAll() error {
	for {
		b, err := f.s.NextBundle()
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err = errors.Join(err, f.s.SaveCursor(1, b.Run, b.Seq, b.Objects), f.s.FinishBundle(1, b.Run, b.Seq)); err != nil {
			return err
		}
	}
}

func (f *filler) expect(what string, ok bool) error {
	if !ok {
		return fmt.Errorf("%s: %+v", what, f.s.Room())
	}
	return nil
}

func fullByTmpfs(dir string) error {
	ballast := filepath.Join(dir, "ballast")
	if err := writeZeros(ballast, 8<<20); err != nil {
		return err
	}
	f, err := newFiller(dir)
	if err != nil {
		return err
	}
	filled, err := f.fill()
	if err != nil {
		return err
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"the full disk is said", func() error { return f.expect("room", f.s.Room().Short) }},
		{"fetch's share leaves the reserve", func() error { return f.expect("no reserve", f.s.room.hasReserve()) }},
		{"map goes on, on the reserve", func() error { return f.mapSome(5) }},
		{"the reserve was given up", func() error { return f.expect("reserve", !f.s.room.hasReserve()) }},
		{"deliver goes on", f.deliverAll},
		{"nothing is broken", f.whole},
		{"a crash on the full disk, and a start", func() error {
			err := errors.Join(f.s.db.Close(), f.s.lock.f.Close())
			if err == nil {
				f.s, err = Open(context.Background(), f.opts)
			}
			return err
		}},
		{"still short", func() error { return f.expect("room", f.s.Room().Short) }},
		{"freed pages are used again", func() error { return errors.Join(f.mapSome(5), f.deliverAll()) }},
		{"room again", func() error { return os.Remove(ballast) }},
		{"mends itself", func() error { return f.expect("room", !f.s.Room().Short && f.s.room.hasReserve()) }},
		{"fetch goes on", f.bring},
		{"nothing was lost", func() error {
			st, err := f.s.Stats()
			return errors.Join(err, f.expect(fmt.Sprint(st.Records, " records of ", filled), st.Records == filled-10+1))
		}},
		{"nothing is broken after all", f.whole},
		{"close", f.s.Close},
	}
	for _, s := range steps {
		if s.name == "close" {
			s.do = f.s.Close // of the spool that was opened last
		}
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Println("ok:", s.name)
	}
	return CheckFile(context.Background(), filepath.Join(dir, fileName), true)
}

func fullByLimit(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	f, err := newFiller(dir)
	if err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 12 << 20, Max: old.Max}); err != nil {
		return err
	}
	filled, err := f.fill()
	if err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	err = errors.Join(f.expect("room", !f.s.Room().Short), f.bring(), f.mapSome(int(filled)), f.deliverAll(), f.whole())
	fmt.Println("ok: filled with " + strconv.FormatInt(filled, 10) + " records, and went on")
	return errors.Join(err, f.s.Close(), CheckFile(context.Background(), filepath.Join(dir, fileName), true))
}
