// Package e2e_test runs the real program, as a process of its own, against a
// real RabbitMQ and the stand-ins for ThreatMatch and OpenCTI.
package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/sim/worker"
)

const connectorID = "11111111-2222-4333-8444-555555555555"

// binary is the program under test, built once. Where E2E_RACE is set, raced is another
// build of it, with the race detector; else it is the same.
var binary, raced string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "threatmatch-connector")
	raced = binary
	err = build("-o", binary)
	if err == nil && os.Getenv("E2E_RACE") != "" {
		raced = filepath.Join(dir, "threatmatch-connector-race")
		err = build("-race", "-o", raced)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer brokertest.Close()
	return m.Run()
}

func build(args ...string) error {
	args = append(append([]string{"build"}, args...), "threatmatch-connector/cmd/threatmatch-connector")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// world is everything around the program.
type world struct {
	t        *testing.T
	binary   string
	amqp     string
	api      *threatmatch.Server
	platform *opencti.Server
	worker   *worker.Worker
	spool    string
	env      map[string]string
}

// options of a world. The zero value is an empty ThreatMatch on the shared broker.
type options struct {
	api      threatmatch.Options
	platform opencti.Options
	worker   worker.Options
	amqp     string // "" is a virtual host of the shared broker
	race     bool   // the program has the race detector, and takes six times as long
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	w := &world{t: t, binary: binary, amqp: o.amqp, spool: filepath.Join(t.TempDir(), "spool")}
	if o.race {
		w.binary = raced
	}
	if w.amqp == "" {
		w.amqp = brokertest.Shared(t).VHost(t).URL()
	}
	if o.api.Generate.Start.IsZero() {
		o.api.Generate.Start = time.Now().Add(-time.Minute)
	}
	w.api = threatmatch.New(o.api)
	must(t, w.api.Start())
	t.Cleanup(w.api.Close)

	o.platform.AMQPURL = w.amqp
	var err error
	w.platform, err = opencti.New(o.platform)
	must(t, err)
	must(t, w.platform.Start())
	t.Cleanup(w.platform.Close)

	o.worker.AMQPURL, o.worker.Platform, o.worker.Policy = w.amqp, w.platform, true
	w.worker = worker.New(o.worker)
	w.worker.Start()
	t.Cleanup(w.worker.Close)

	id, secret := w.api.Credentials()
	w.env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "TMPDIR": os.TempDir(),
		"OPENCTI_URL": w.platform.URL(), "OPENCTI_TOKEN": opencti.ConnectorToken,
		"CONNECTOR_ID": connectorID, "CONNECTOR_NAME": "ThreatMatch", "CONNECTOR_LOG_LEVEL": "info",
		"THREATMATCH_URL": w.api.URL(), "THREATMATCH_CLIENT_ID": id, "THREATMATCH_CLIENT_SECRET": secret,
		"THREATMATCH_REQUESTS_PER_SECOND": "1000", "SPOOL_DIR": w.spool,
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// process is one run of the program.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string // file of its output
	done chan struct{}
}

// start runs the program in the background.
func (w *world) start(args ...string) *process {
	w.t.Helper()
	f, err := os.CreateTemp(w.t.TempDir(), "log")
	must(w.t, err)
	p := &process{t: w.t, log: f.Name(), done: make(chan struct{}), cmd: exec.Command(w.binary, args...)}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = f, f, filepath.Dir(f.Name())
	for k, v := range w.env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	must(w.t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		_ = f.Close()
		close(p.done)
	}()
	w.t.Cleanup(func() {
		p.kill()
		if w.t.Failed() {
			w.t.Logf("%s %s:\n%s", "threatmatch-connector", strings.Join(args, " "), tail(p.output()))
		}
	})
	return p
}

// patience is how long anything may take before a test gives up on it; it
// bounds a hang and is no measurement.
const patience = 8 * time.Minute

// code waits for the end of the process and returns its exit code.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("still running:\n%s", tail(p.output()))
		return -1
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill is kill -9, waited for.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) output() string {
	raw, err := os.ReadFile(p.log)
	must(p.t, err)
	return string(raw)
}

func tail(s string) string {
	if n := len(s); n > 6000 {
		return "…" + s[n-6000:]
	}
	return s
}

// run runs the program to its end and checks its exit code.
func (w *world) run(want int, args ...string) string {
	w.t.Helper()
	p := w.start(args...)
	if got := p.code(); got != want {
		w.t.Fatalf("%v: exit code %d, want %d\n%s", args, got, want, tail(p.output()))
	}
	return p.output()
}

// eventually waits until ok is true.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-deadline:
			w.t.Fatalf("%s: not within %v", what, patience)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// drained waits until the worker has taken everything that was published: some versions
// of the platform call a work complete while messages of it are still in the queue.
func (w *world) drained() {
	w.t.Helper()
	w.eventually("the works complete", func() bool {
		works, seen := w.platform.Works(), w.worker.Works()
		for _, work := range works {
			if work.Status != "complete" || seen[work.ID].Received < work.Expected {
				return false
			}
		}
		return len(works) > 0
	})
}

// intact checks what must hold after every import, whatever happened in it:
// everything expected arrived, nothing was refused, the works are complete with
// expectations that equal the distinct messages, and those sent twice.
func (w *world) intact(datasets ...data.Dataset) {
	w.t.Helper()
	w.drained()
	missing := w.worker.Missing(w.api.ExpectedIDs(datasets...))
	// What a worker got twice counts twice, so others may be in the queue when a work is complete.
	for range 50 {
		if len(missing) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
		missing = w.worker.Missing(w.api.ExpectedIDs(datasets...))
	}
	if len(missing) > 0 {
		w.t.Errorf("%d objects are missing, such as %v", len(missing), missing[:min(5, len(missing))])
	}
	for i, v := range w.worker.Violations() {
		if i == 10 {
			break
		}
		w.t.Errorf("violation: %+v", v)
	}
	c := w.worker.Counts()
	if c.Refused > 0 || c.Lost > 0 || c.DroppedDead > 0 {
		w.t.Errorf("refused %d, undecodable %d, of dead works %d", c.Refused, c.Lost, c.DroppedDead)
	}
	for id, counts := range w.worker.Works() {
		// A message that surely is in the queue twice is expected twice.
		if work, ok := w.platform.Work(id); ok && (work.Expected < counts.Distinct || work.Expected > counts.Received) {
			w.t.Errorf("work %s: %d expected, %d distinct messages of %d", id, work.Expected, counts.Distinct, counts.Received)
		}
	}
}
