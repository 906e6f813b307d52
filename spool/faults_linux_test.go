package spool

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// failing is the file under bbolt, which can be made to fail: its descriptor then stands for a file that cannot be
// written to, or that accepts writes but cannot be synced.
type failing struct {
	fd, real int
}

func (f *failing) open(name string, flag int, mode os.FileMode) (*os.File, error) {
	file, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	f.fd = int(file.Fd())
	f.real, err = syscall.Dup(f.fd) // keeps the lock
	return file, err
}

// become makes the descriptor stand for another file.
func (f *failing) become(t *testing.T, path string, flag int) {
	t.Helper()
	fd := must(syscall.Open(path, flag, 0))
	ok(t, syscall.Dup3(fd, f.fd, syscall.O_CLOEXEC))
	ok(t, syscall.Close(fd))
}

func (f *failing) restore(t *testing.T) {
	t.Helper()
	ok(t, syscall.Dup3(f.real, f.fd, syscall.O_CLOEXEC))
	ok(t, syscall.Close(f.real))
}

// After a failed commit nobody knows what is on disk: the spool can be read but not written until it is opened again.
// Then it is as before the commit, or as after.
func TestFailingFile(t *testing.T) {
	for name, fail := range map[string]func(t *testing.T, f *failing, path string){
		"write": func(t *testing.T, f *failing, path string) { f.become(t, path, os.O_RDONLY) },
		"sync":  func(t *testing.T, f *failing, _ string) { f.become(t, os.DevNull, os.O_RDWR) },
	} {
		for kind, note := range map[string][]byte{"": []byte("2"), ", in a file that grows": bytes.Repeat(noise(1<<20), 3)} {
			t.Run(name+kind, func(t *testing.T) {
				var f failing
				armed := false
				o := Options{Dir: fastDir(t), ConnectorID: "c", MaxSize: 1 << 20, slack: 32 << 20, noReserve: true, openFile: f.open}
				o.hook = func(p string) {
					if armed && p == "save platform notes:inside" {
						fail(t, &f, filepath.Join(o.Dir, fileName))
					}
				}
				s := must(Open(t.Context(), o))
				ok(t, s.SavePlatform(1, []byte("1")))
				armed = true
				if err := s.SavePlatform(1, note); !errors.Is(err, ErrBroken) {
					t.Errorf("the commit: %v, want ErrBroken", err)
				}
				armed = false
				f.restore(t)
				for range 2 {
					if err := s.SavePlatform(1, []byte("3")); !errors.Is(err, ErrBroken) {
						t.Errorf("the next commit: %v, want ErrBroken", err)
					}
					if got := must(s.Meta()); string(got.Platform) != "1" {
						t.Errorf("read %.20q, want what was committed", got.Platform)
					}
				}
				if err := s.Close(); !errors.Is(err, ErrBroken) {
					t.Errorf("closing: %v, want ErrBroken: it marks no clean stop", err)
				}
				if info := must(ReadLock(o.Dir)); info.Clean {
					t.Error("the note says that the stop was clean")
				}
				o.openFile, o.hook = nil, nil
				s = must(Open(t.Context(), o))
				if m := must(s.Meta()); string(m.Platform) != "1" || m.SetAside != "" || !m.Unclean {
					t.Errorf("opened again: %.20q, set aside %q, unclean %v", m.Platform, m.SetAside, m.Unclean)
				}
				ok(t, s.SavePlatform(1, []byte("3")))
				closeVerified(t, s)
			})
		}
	}
}

// In the life of a spool from creation to a clean stop, every write, sync and change of length fails once, with an
// error of the disk and for lack of room: what was reported done is there, what failed is there completely or not at
// all, and nothing is set aside.
//
// A child works under strace, which makes the call fail. strace counts calls by thread: each round has a thread of
// its own, on which enough calls are made before that the right one fails.
func TestEveryCallFails(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Log("strace is not installed, so this is not shown here")
		return
	}
	for _, call := range []string{"pwrite64", "fdatasync", "fsync", "ftruncate", "renameat"} {
		for _, fault := range []string{"EIO", "ENOSPC"} {
			t.Run(call+" "+fault, func(t *testing.T) {
				dir := fastDir(t)
				cmd := exec.CommandContext(t.Context(), strace, "-f", "--seccomp-bpf", "-o", os.DevNull, "-e", "trace="+call,
					"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", call, fault, faultAt), must(os.Executable()), dir, call)
				cmd.Env = append(os.Environ(), childEnv+"="+childFault)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				rounds := 0
				for in := bufio.NewScanner(bytes.NewReader(out)); in.Scan(); {
					f := strings.Fields(in.Text())
					if len(f) != 3 || f[0] != "round" {
						t.Fatalf("child: %s", in.Text())
					}
					rounds++
					did := must(strconv.Atoi(f[2]))
					s := must(Open(t.Context(), Options{Dir: filepath.Join(dir, f[1]), ConnectorID: "c", noReserve: true, NoCompact: true}))
					m := must(s.Meta())
					n := 0
					if len(m.Platform) > 0 {
						n = int(m.Platform[0])
					}
					if n != did && n != did+1 || m.SetAside != "" {
						t.Errorf("call %s: step %d is there, %d were done; set aside %q", f[1], n, did, m.SetAside)
					}
					ok(t, s.SavePlatform(1, []byte("x")))
					closeVerified(t, s)
				}
				if rounds == 0 {
					t.Error("no call failed, so this shows nothing")
				}
				t.Logf("%d calls", rounds)
			})
		}
	}
}

const (
	faultAt    = 200 // the call of a thread that fails; more than a round makes
	faultSteps = 5
)

// faultChild makes the n-th call of each round fail, until rounds make fewer. A failure need not show: a note in the
// lock file can do without room.
func faultChild() int {
	for n, whole := 1, 0; n < faultAt && whole < 6; n++ {
		did, failed := 0, false
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // and let the thread end with the goroutine
			dir := filepath.Join(os.Args[1], strconv.Itoa(n))
			if err = idle(os.Args[2], filepath.Join(os.Args[1], "idle"), faultAt-n); err == nil {
				did, failed, err = faultRound(dir)
			}
		}()
		<-done
		if err != nil {
			fmt.Println("failed", n, err)
			return 1
		}
		if whole++; failed {
			whole = 0
		}
		fmt.Println("round", n, did)
	}
	return 0
}

// idle makes a call many times to no effect.
func idle(call, path string, times int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for range times {
		switch fd := int(f.Fd()); call {
		case "pwrite64":
			_, err = syscall.Pwrite(fd, []byte("x"), 0)
		case "fdatasync":
			err = syscall.Fdatasync(fd)
		case "fsync":
			err = syscall.Fsync(fd)
		case "ftruncate":
			err = syscall.Ftruncate(fd, 0)
		case "renameat":
			err = syscall.Rename(path, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// faultRound is the life of a spool. It returns how many steps were done, whether something failed, and as an error
// what must not happen.
func faultRound(dir string) (did int, failed bool, err error) {
	o := Options{Dir: dir, ConnectorID: "c", MaxSize: 1 << 20, slack: 32 << 20, noReserve: true, NoCompact: true}
	s, err := Open(context.Background(), o)
	if err != nil {
		return 0, true, nil
	}
	for n := 1; n <= faultSteps && !failed; n++ {
		note := append([]byte{byte(n)}, noise(n*120_000)...) // so that the file grows
		switch err := s.SavePlatform(1, note); {
		case err == nil:
			did = n
		case errors.Is(err, ErrBroken):
			failed = true
			if err := s.SavePlatform(1, note); !errors.Is(err, ErrBroken) {
				return did, true, fmt.Errorf("after ErrBroken: %w", err)
			}
		case errors.Is(err, ErrFull):
			failed = true
			m, err := s.Meta()
			if err != nil || did > 0 && int(m.Platform[0]) != did {
				return did, true, fmt.Errorf("after ErrFull at step %d the notes are of another: %w", n, err)
			}
			if err := s.SavePlatform(1, note); err != nil {
				return did, true, fmt.Errorf("again after ErrFull: %w", err)
			}
			did = n
		default:
			return did, true, fmt.Errorf("neither broken nor full: %w", err)
		}
	}
	return did, s.Close() != nil || failed, nil
}
