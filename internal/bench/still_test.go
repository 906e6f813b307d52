package bench

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"threatmatch-connector/internal/sim"
	"threatmatch-connector/spool"
)

// idle looks at a daemon that has done its import and waits for the next.
func idle(t *table, w *world) {
	defer w.close()
	p := w.start("run")
	p.says("run delivered")
	pause := time.Duration(number(w.b, "IDLE", 60)) * time.Second
	time.Sleep(pause)
	before := cpuOf(p.cmd.Process.Pid)
	t.note(rowIdle, float64(p.status("RssAnon"))/1024, "MiB, "+pause.String()+" after an import")
	time.Sleep(pause)
	t.note(rowIdleCPU, 100*(cpuOf(p.cmd.Process.Pid)-before).Seconds()/pause.Seconds(), "% of a core")
	t.note(rowIdleLater, float64(p.status("RssAnon"))/1024, "MiB, "+(2*pause).String()+" after an import")
	p.end(syscall.SIGTERM)
}

// leftBehind is the time from the start of the program to its being ready, with
// a spool of 2 GB that a killed process left.
func leftBehind(t *table, w *world) {
	defer w.close()
	mb := number(w.b, "LEFT_MB", 2048)
	fill(w, mb)
	for range 3 {
		began := time.Now()
		p := w.start("run")
		w.ready()
		took := time.Since(began)
		p.end(syscall.SIGKILL)
		t.note(rowReady, took.Seconds(), fmt.Sprintf("s, with %d MiB", mb))
	}
}

// ready waits until the daemon says that it is.
func (w *world) ready() {
	wait(w.b, "ready", 10*time.Millisecond, func() bool {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", w.port))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func freePort(b *testing.B) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// fill makes a spool of that size with bundles that do not compress, and lets
// the connector die with it.
func fill(w *world, mb int) {
	b := w.b
	s, err := spool.Open(b.Context(), spool.Options{Dir: w.env["SPOOL_DIR"], ConnectorID: sim.ConnectorID})
	must(b, err)
	now := time.Now()
	task := spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskList}
	run, err := s.StartRun(1, now, spool.RunSpec{Reason: spool.ReasonSchedule,
		Datasets: map[spool.Dataset]time.Time{spool.Alerts: now}, Tasks: []spool.NewTask{{TaskKey: task}}})
	must(b, err)
	r := rand.New(rand.NewPCG(1, 1))
	for i := 0; s.Room().Live < int64(mb)<<20; i++ {
		bundle := spool.NewBundle{}
		for j := range 4000 {
			var text strings.Builder
			for range 125 { // 2,000 digits, which take half of that compressed
				fmt.Fprintf(&text, "%016x", r.Uint64())
			}
			id := fmt.Sprintf("indicator--%08x-0000-4000-8000-%012x", i, j)
			bundle.Objects = append(bundle.Objects, spool.BundleObject{STIX: id, JSON: fmt.Appendf(nil, `{"type":"indicator","id":%q,"name":%q}`, id, text.String())})
		}
		must(b, s.CommitMap(1, now, spool.MapCommit{Run: run.ID, Bundles: []spool.NewBundle{bundle}}))
	}
	must(b, s.Close())
	p := w.start("run")
	p.says("registered with OpenCTI")
	p.end(syscall.SIGKILL)
}

// status reads a number of KiB from the kernel's account of the process.
func (p *process) status(field string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0 // it has ended
}

func size(b *testing.B, t *table) {
	info, err := os.Stat(connector)
	must(b, err)
	t.note(rowSize, float64(info.Size())/1e6, "MB")
}
