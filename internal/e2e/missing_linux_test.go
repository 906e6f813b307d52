package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/internal/sim/faults"
)

// TestSpoolFileRemoved: the running program says that its spool.db was removed and what to do, stays alive, and what its
// spool held is there again once the copy is put in place.
func TestSpoolFileRemoved(t *testing.T) {
	t.Parallel()
	k := &walk{t: t}
	k.begin(options{api: few()})
	k.api.SetFault(faults.Rule{Route: "item", ID: "reports/2", Kind: faults.Answer, Status: 404, ContentType: "application/json", Body: "{}"})
	p := k.start("run")
	k.until("the run is delivered", done)
	file, copied := filepath.Join(k.spool, "spool.db"), filepath.Join(t.TempDir(), "rescued.db")
	must(t, os.Remove(file))
	const said = "was removed or replaced while the connector has it open"
	if out := k.run(0, "status"); !strings.Contains(out, "NOT READY") || !strings.Contains(strings.Join(strings.Fields(out), " "), said) {
		t.Errorf("got status %s, want it to say that the file is gone", out)
	}
	k.run(0, "health")
	if out := k.run(1, "health", "--ready"); !strings.Contains(out, "spool: ") || !strings.Contains(out, said) {
		t.Errorf("got health %s, want it to say that the file is gone", out)
	}
	k.eventually("the log says so", func() bool { return strings.Contains(p.output(), "the spool's file is gone") || p.ended() })
	before := k.run(0, "spool", "dead")
	k.run(0, "spool", "snapshot", copied)
	p.stop()
	raw, err := os.ReadFile(copied)
	must(t, err)
	must(t, os.WriteFile(file, raw, 0o600))
	if after := k.run(0, "spool", "dead"); after != before || !strings.Contains(before, "reports/2") {
		t.Errorf("after the copy was put in place there is\n%s, want\n%s", after, before)
	}
	p = k.start("run")
	k.until("it is ready again", func(s inspect.Status) bool { return s.Ready })

	// The whole directory: no command finds the connector any more.
	k.eventually("its directory is removed", func() bool { return os.RemoveAll(k.spool) == nil }) // the connector may be writing
	must(t, p.cmd.Process.Signal(syscall.SIGSTOP))
	raw = deleted(t, p.cmd.Process.Pid, "spool.db")
	p.kill()
	must(t, os.Mkdir(k.spool, 0o700))
	must(t, os.WriteFile(file, raw, 0o600))
	if after := k.run(0, "spool", "dead"); after != before {
		t.Errorf("after the file of the stopped process was put in place there is\n%s, want\n%s", after, before)
	}
	k.api.Heal()
	p = k.start("run")
	k.until("it is ready once more", func(s inspect.Status) bool { return s.Ready })
	k.run(0, "spool", "retry", "--all", "--yes")
	k.until("what was parked is delivered", func(s inspect.Status) bool { return done(s) && s.Spool.Parked == 0 })
	p.stop()
	k.intact()
}

// deleted reads a file that a process has open and whose path is gone.
func deleted(t *testing.T, pid int, name string) []byte {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); strings.HasSuffix(to, name+" (deleted)") {
			raw, err := os.ReadFile(fd)
			must(t, err)
			return raw
		}
	}
	t.Fatalf("process %d has no %s open", pid, name)
	return nil
}
