package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	must(t, err)
	master = os.NewFile(uintptr(fd), "master")
	t.Cleanup(func() { _ = master.Close() })
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	must(t, unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}))
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

// A single run shows its progress on a terminal, and text instead of JSON; it
// leaves only the log behind. Elsewhere there is only the log, as JSON.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	api := few()
	api.Generate.Alerts, api.Latency = 60, 60*time.Millisecond
	w := newWorld(t, options{api: api})
	w.env["TERM"] = "xterm"
	master, slave := terminal(t)
	var out bytes.Buffer
	var read sync.WaitGroup
	read.Go(func() { _, _ = io.Copy(&out, master) }) // ends with an error when nobody has the terminal any more
	cmd := exec.CommandContext(t.Context(), binary, "run", "--once")
	cmd.Stderr, cmd.Dir = slave, filepath.Dir(w.spool)
	for k, v := range w.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	must(t, cmd.Start())
	must(t, slave.Close())
	must(t, cmd.Wait())
	read.Wait()
	text := out.String()
	for _, want := range []string{"INF connector starts", "INF run delivered", "alerts    60 listed", "records mapped", "fetched  ", " requests", "delivered 100% [", "\x1b[J"} {
		if !strings.Contains(text, want) {
			t.Errorf("the terminal does not show %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, `{"timestamp"`) {
		t.Error("JSON on a terminal")
	}
	last := text[strings.LastIndex(text, "\x1b[J"):]
	if strings.Contains(last, "records mapped") {
		t.Errorf("something of the progress is left: %q", last)
	}

	if out := w.run(0, "run", "--once"); strings.Contains(out, "\x1b[") || !strings.Contains(out, `{"timestamp"`) {
		t.Errorf("not on a terminal:\n%s", out)
	}
}
