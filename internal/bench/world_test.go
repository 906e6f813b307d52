package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim"
)

// patience bounds a hang; it is no measurement.
const patience = 20 * time.Minute

// queue is what the platform stand-in declares for the connector.
const queue = "push_" + sim.ConnectorID

// world is a virtual host of the broker, the stand-ins and a spool.
type world struct {
	b     *testing.B
	vhost *brokertest.VHost
	sim   *exec.Cmd
	dir   string
	port  int // of the connector's metrics
	env   map[string]string
}

// newWorld starts the stand-ins with these flags.
func newWorld(b *testing.B, node *brokertest.Node, flags ...string) *world {
	b.Helper()
	w := &world{b: b, vhost: node.VHost(b), dir: b.TempDir(), port: freePort(b)}
	file := filepath.Join(w.dir, "sim.env")
	w.sim = exec.Command(standIns, append([]string{"--env-file", file, "--amqp-url", w.vhost.URL()}, flags...)...)
	must(b, w.sim.Start())
	b.Cleanup(w.close)
	wait(b, "the stand-ins", 10*time.Millisecond, func() bool { _, err := os.Stat(file); return err == nil })
	w.env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": w.dir, "TMPDIR": os.TempDir(), "SPOOL_DIR": filepath.Join(w.dir, "spool"),
		"CONNECTOR_LOG_LEVEL": "info", "CONNECTOR_QUEUE_THRESHOLD": "1000000", "THREATMATCH_REQUESTS_PER_SECOND": "1000",
		"CONNECTOR_EXPOSE_METRICS": "true", "CONNECTOR_METRICS_PORT": strconv.Itoa(w.port),
	}
	maps.Copy(w.env, readEnv(b, file))
	return w
}

// close ends the stand-ins and empties the broker and the disk for what comes next.
func (w *world) close() {
	if w.sim == nil {
		return
	}
	_ = w.sim.Process.Signal(os.Interrupt)
	_ = w.sim.Wait()
	w.sim = nil
	w.vhost.DeleteQueue(queue)
	_ = os.RemoveAll(w.dir)
}

func readEnv(b *testing.B, file string) map[string]string {
	f, err := os.Open(file)
	must(b, err)
	defer f.Close()
	out := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		out[name] = strings.Trim(value, "'")
	}
	return out
}

// noBroker lets the connector look for its broker where there is none.
func (w *world) noBroker(on bool) {
	delete(w.env, "MQ_HOST")
	delete(w.env, "MQ_PORT")
	if on {
		w.env["MQ_HOST"], w.env["MQ_PORT"] = "127.0.0.1", "1"
	}
}

// process is one run of the connector.
type process struct {
	w         *world
	cmd       *exec.Cmd
	log       string
	done      chan struct{}
	allocated float64 // bytes, from its start until stop
}

func (w *world) start(args ...string) *process {
	w.b.Helper()
	f, err := os.CreateTemp(w.dir, "log")
	must(w.b, err)
	p := &process{w: w, log: f.Name(), done: make(chan struct{}), cmd: exec.Command(connector, args...)}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = f, f, w.dir
	for k, v := range w.env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	must(w.b, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		_ = f.Close()
		close(p.done)
	}()
	w.b.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// end sends the signal and waits for the end.
func (p *process) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	<-p.done
}

// stop reads what the process has allocated and ends it.
func (p *process) stop() {
	p.w.b.Helper()
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", p.w.port))
	must(p.w.b, err)
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "go_memstats_alloc_bytes_total "); ok {
			p.allocated, err = strconv.ParseFloat(text, 64)
			must(p.w.b, err)
		}
	}
	p.end(syscall.SIGTERM)
}

// finish waits for the process to end by itself.
func (p *process) finish() {
	p.w.b.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.fail("still running")
	}
	// 3: the content has elements that are dead letters by design.
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && code != 3 {
		p.fail("exit code not 0")
	}
}

func (p *process) fail(what string) {
	p.w.b.Helper()
	text, _ := os.ReadFile(p.log)
	p.w.b.Fatalf("%s:\n%s", what, text[max(0, len(text)-4000):])
}

// says waits for a message in the log.
func (p *process) says(message string) {
	p.w.b.Helper()
	wait(p.w.b, message, 20*time.Millisecond, func() bool {
		select {
		case <-p.done:
			p.fail("ended before it said: " + message)
		default:
		}
		text, err := os.ReadFile(p.log)
		return err == nil && strings.Contains(string(text), `"`+message+`"`)
	})
}

// cpu is what the process has computed; it must have ended.
func (p *process) cpu() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// importRun is what the spool says of a run.
type importRun struct {
	Created  time.Time        `json:"created"`
	Fetched  time.Time        `json:"fetched"`
	Mapped   time.Time        `json:"mapped"`
	Done     time.Time        `json:"done"`
	Counters map[string]int64 `json:"counters"`
}

func (r importRun) objects() float64 { return float64(r.Counters["map.published"]) }

// run reads the latest run.
func (w *world) run() importRun {
	w.b.Helper()
	cmd := exec.Command(connector, "spool", "runs", "--json")
	cmd.Dir = w.dir
	for k, v := range w.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.Output()
	must(w.b, err)
	var runs []importRun
	must(w.b, json.Unmarshal(out, &runs))
	if len(runs) == 0 {
		w.b.Fatal("no run")
	}
	return runs[0]
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// wait looks again and again until ok.
func wait(b *testing.B, what string, every time.Duration, ok func() bool) {
	b.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(every) {
		if time.Now().After(end) {
			b.Fatalf("%s: not within %v", what, patience)
		}
	}
}
