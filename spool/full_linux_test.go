package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"threatmatch-connector/spool/internal/boltfile"
)

// A full disk stops what brings work, lets what drains it continue, damages nothing, prevents no start, and needs no
// repair once there is room. The disk is a small tmpfs in a mount namespace of its own if that is allowed; the limit
// on the size of files replaces it everywhere.
func TestDiskFull(t *testing.T) {
	for _, kind := range []string{"tmpfs", "drained", "limit"} {
		t.Run(kind, func(t *testing.T) { onOwnDisk(t, kind) })
	}
}

// A directory that cannot be written to is refused for writing with one clear line, and can be read.
func TestReadOnlyDirectory(t *testing.T) { onOwnDisk(t, "readonly") }

// onOwnDisk runs a child with a disk of its own.
func onOwnDisk(t *testing.T, kind string) {
	cmd := exec.CommandContext(t.Context(), must(os.Executable()), t.TempDir())
	cmd.Env = append(os.Environ(), childEnv+"="+childFull, "SPOOL_TEST_FULL="+kind)
	if kind != "limit" {
		cmd.SysProcAttr = ownMounts()
	}
	out, err := cmd.CombinedOutput()
	if kind != "limit" && (errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "cannot mount")) {
		t.Logf("no tmpfs may be mounted here (%v %s), so this is not shown here", err, out)
		return
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
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
		if os.Getenv("SPOOL_TEST_FULL") == "readonly" {
			return readOnlyDir(dir)
		}
		if os.Getenv("SPOOL_TEST_FULL") == "drained" {
			return fullThenDrained(dir)
		}
		return fullByTmpfs(dir)
	}()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func readOnlyDir(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir, ConnectorID: "c", noReserve: true})
	if err != nil {
		return err
	}
	if err := errors.Join(s.SavePlatform(1, []byte("x")), s.Close()); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("cannot mount: %w", err)
	}
	if _, err := Open(ctx, Options{Dir: dir, ConnectorID: "c"}); !errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("opened for writing: %w", err)
	}
	s, err = Open(ctx, Options{Dir: dir, ConnectorID: "c", ReadOnly: true})
	if err != nil {
		return err
	}
	m, err := s.Meta()
	if string(m.Platform) != "x" {
		err = errors.Join(err, fmt.Errorf("read %+v", m))
	}
	fmt.Println("ok: refused to write, read")
	return errors.Join(err, s.Close())
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
		{"recovers", func() error { return f.expect("room", !f.s.Room().Short && f.s.room.hasReserve()) }},
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
	return boltfile.Check(context.Background(), filepath.Join(dir, fileName))
}

// fullThenDrained fills the disk with nothing but the spool: once that is drained, its free pages are room enough,
// and the next start gives them back.
func fullThenDrained(dir string) error {
	ballast := filepath.Join(dir, "ballast")
	if err := writeZeros(ballast, 3<<20); err != nil {
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
	short := f.s.Room()
	if err := f.expect("short, and says of what", short.Short && short.Left < short.Want && short.Want == 2<<20); err != nil {
		return err
	}
	for n := int64(0); n < filled; n += 5 {
		if err := errors.Join(f.mapSome(5), f.deliverAll()); err != nil {
			return fmt.Errorf("drain: %w", err)
		}
	}
	free, _ := DiskFree(dir)
	if err := errors.Join(f.expect("the disk is as full as it was", free < 4<<20), f.expect("room in the file", !f.s.Room().Short), f.bring()); err != nil {
		return err
	}
	if err := errors.Join(f.s.Close(), os.Remove(ballast)); err != nil {
		return err
	}
	// There is room for the copy, but not for the reserve before the copy is made.
	f.opts.NoCompact, f.opts.compactMin, f.opts.reserve = false, 1<<20, 8<<20
	if f.s, err = Open(context.Background(), f.opts); err != nil {
		return err
	}
	free, _ = DiskFree(dir)
	err = errors.Join(f.expect("compacted", free > 10<<20 && f.s.room.hasReserve() && !f.s.Room().Short), f.bring(), f.whole())
	fmt.Println("ok: filled with " + strconv.FormatInt(filled, 10) + " records, drained, and went on")
	return errors.Join(err, f.s.Close(), boltfile.Check(context.Background(), filepath.Join(dir, fileName)))
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
	return errors.Join(err, f.s.Close(), boltfile.Check(context.Background(), filepath.Join(dir, fileName)))
}
