// Package brokertest runs a private RabbitMQ node for tests: its own ports,
// directory, node name, cookie and port mapper, so that it meets no other
// broker of the machine. Tests of one binary share a node through Shared and
// have a virtual host each; a test that stops, kills or configures a node
// starts one of its own.
//
// A missing RabbitMQ fails the test: broker behaviour that was not seen is
// not tested. Used by tests only.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/serve"
)

const (
	startTimeout = 5 * time.Minute
	ctlTimeout   = time.Minute
)

// scriptDirs are where the broker's own scripts live. The wrappers in sbin are
// not used: they switch to a system user and its directories.
var scriptDirs = []string{"/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"}

// Node is one broker. Its methods may be called from several goroutines,
// except Start, Stop and Kill, which belong to one.
type Node struct {
	// Host and Port take plain AMQP, TLSPort takes AMQP over TLS (0: none).
	Host    string
	Port    int
	TLSPort int

	admin   adminAPI
	scripts string
	dir     string
	env     []string
	mapper  *exec.Cmd

	mu     sync.Mutex
	broker *exec.Cmd
	exited chan struct{}
}

// Start runs a node of the test's own, with further lines for rabbitmq.conf,
// and ends it with the test.
func Start(tb testing.TB, conf ...string) *Node {
	tb.Helper()
	n, err := startNode(conf)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(n.close)
	return n
}

// startNode tries twice: somebody else may have taken a port meanwhile.
func startNode(conf []string) (*Node, error) {
	n, err := tryNode(conf)
	if err != nil {
		n, err = tryNode(conf)
	}
	return n, err
}

func tryNode(conf []string) (*Node, error) {
	scripts, err := findScripts()
	if err != nil {
		return nil, err
	}
	n := &Node{Host: "127.0.0.1", scripts: scripts}
	if n.dir, err = os.MkdirTemp("", "brokertest-"); err != nil {
		return nil, err
	}
	if err = n.prepare(conf); err == nil {
		err = n.boot()
	}
	if err != nil {
		err = fmt.Errorf("start RabbitMQ: %w%s", err, n.logTail())
		n.close()
		return nil, err
	}
	return n, nil
}

func findScripts() (string, error) {
	for _, dir := range scriptDirs {
		if _, err := os.Stat(filepath.Join(dir, "rabbitmq-server")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("RabbitMQ is not installed, and the broker tests do not skip: install the package rabbitmq-server, or set AMQP_URL for the tests that need no node of their own")
}

// prepare writes the node's files and starts its port mapper.
func (n *Node) prepare(conf []string) error {
	ports, err := freePorts(5)
	if err != nil {
		return err
	}
	n.Port = ports[0]
	lines := []string{
		"listeners.tcp.1 = 127.0.0.1:" + strconv.Itoa(ports[0]),
		"management.tcp.ip = 127.0.0.1",
		"management.tcp.port = " + strconv.Itoa(ports[1]),
		"disk_free_limit.absolute = 50MB",
		"log.console = true",
		"log.console.level = info",
		"log.file = false",
	}
	for _, line := range conf {
		if strings.HasPrefix(line, "ssl_options.") && n.TLSPort == 0 {
			n.TLSPort = ports[2]
			lines = append(lines, "listeners.ssl.1 = 127.0.0.1:"+strconv.Itoa(n.TLSPort))
		}
		lines = append(lines, line)
	}
	files := map[string]string{
		"rabbitmq.conf":   strings.Join(lines, "\n") + "\n",
		"enabled_plugins": "[rabbitmq_management].\n",
		".erlang.cookie":  "BROKERTEST" + strconv.FormatInt(time.Now().UnixNano(), 36),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o400); err != nil {
			return err
		}
	}
	n.admin = adminAPI{base: "http://127.0.0.1:" + strconv.Itoa(ports[1]) + "/api", user: "guest", password: "guest"}
	n.env = n.environment(ports[0], ports[3], ports[4])
	return n.startMapper(ports[4])
}

func (n *Node) environment(name, dist, mapper int) []string {
	at := func(file string) string { return filepath.Join(n.dir, file) }
	return []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + n.dir,
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the broker instead of its parent
		"ERL_EPMD_PORT=" + strconv.Itoa(mapper), "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME=brokertest" + strconv.Itoa(name) + "@localhost",
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(dist),
		"RABBITMQ_CONFIG_FILE=" + at("rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + at("enabled_plugins"),
		"RABBITMQ_CONF_ENV_FILE=" + at("none"), "RABBITMQ_ADVANCED_CONFIG_FILE=" + at("none.config"),
		"RABBITMQ_MNESIA_BASE=" + at("mnesia"), "RABBITMQ_PID_FILE=" + at("pid"),
		"RABBITMQ_FEATURE_FLAGS_FILE=" + at("feature_flags"), "RABBITMQ_PLUGINS_EXPAND_DIR=" + at("plugins"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + at("generated"), "RABBITMQ_SCHEMA_DIR=" + at("schema"),
		"RABBITMQ_LOGS=-", "RABBITMQ_LOG_BASE=" + at("log"),
	}
}

// startMapper runs Erlang's port mapper in the foreground; a broker would
// otherwise leave one behind as a daemon.
func (n *Node) startMapper(port int) error {
	path, err := exec.LookPath("epmd")
	if err != nil {
		return fmt.Errorf("erlang port mapper: %w", err)
	}
	n.mapper = exec.Command(path, "-port", strconv.Itoa(port), "-address", "127.0.0.1")
	n.mapper.Env = n.env
	n.mapper.SysProcAttr = diesWithUs()
	return n.mapper.Start()
}

// boot starts the broker process and waits until it takes connections.
func (n *Node) boot() error {
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(n.scripts, "rabbitmq-server"))
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = n.env, log, log, n.dir
	cmd.SysProcAttr = diesWithUs()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	n.mu.Lock()
	n.broker, n.exited = cmd, exited
	n.mu.Unlock()
	return n.waitReady(exited)
}

func (n *Node) waitReady(exited chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if n.admin.ready(ctx) && n.listening() {
			return nil
		}
		select {
		case <-exited:
			return errors.New("the broker ended")
		case <-ctx.Done():
			return fmt.Errorf("not ready after %v", startTimeout)
		case <-tick.C:
		}
	}
}

func (n *Node) listening() bool {
	for _, port := range []int{n.Port, n.TLSPort} {
		if port == 0 {
			continue
		}
		c, err := net.DialTimeout("tcp", net.JoinHostPort(n.Host, strconv.Itoa(port)), time.Second)
		if err != nil {
			return false
		}
		_ = c.Close()
	}
	return true
}

// Stop ends the node in an orderly way. Durable queues and persistent
// messages are there again after Restart.
func (n *Node) Stop(tb testing.TB) {
	tb.Helper()
	n.signal(tb, syscall.SIGTERM)
	n.waitExit(tb)
}

// Sync makes everything declared so far survive a Kill: the broker writes
// exchanges, bindings and queues to disk some seconds late, the names of quorum
// queues some minutes.
func (n *Node) Sync(tb testing.TB) {
	tb.Helper()
	n.Ctl(tb, "eval", "mnesia:sync_log(), [dets:sync(T) || T <- dets:all()].")
}

// Kill ends the node with kill -9.
func (n *Node) Kill(tb testing.TB) {
	tb.Helper()
	n.signal(tb, syscall.SIGKILL)
	n.waitExit(tb)
}

// Restart starts a node that was stopped or killed, on the same ports and data.
func (n *Node) Restart(tb testing.TB) {
	tb.Helper()
	if err := n.boot(); err != nil {
		tb.Fatalf("restart RabbitMQ: %v%s", err, n.logTail())
	}
}

// Freeze stops the broker's process from running: its connections stay open
// and nothing answers. Thaw lets it run again.
func (n *Node) Freeze(tb testing.TB) { tb.Helper(); n.signal(tb, syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (n *Node) Thaw(tb testing.TB) { tb.Helper(); n.signal(tb, syscall.SIGCONT) }

// Ctl runs rabbitmqctl against this node and returns what it printed. It
// takes half a second or more.
func (n *Node) Ctl(tb testing.TB, args ...string) string {
	tb.Helper()
	if n.scripts == "" {
		tb.Fatal("rabbitmqctl needs a node of our own, not the one of AMQP_URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), ctlTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(n.scripts, "rabbitmqctl"), append([]string{"--quiet"}, args...)...)
	cmd.Env, cmd.Dir = n.env, n.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("rabbitmqctl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// MemoryAlarm raises or clears the memory alarm: while it stands the broker
// blocks every connection that publishes.
func (n *Node) MemoryAlarm(tb testing.TB, on bool) {
	tb.Helper()
	mark := "0.8"
	if on {
		mark = "0.000001"
	}
	n.Ctl(tb, "set_vm_memory_high_watermark", mark)
}

// PID is the broker's process, 0 for one that is not ours.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broker == nil {
		return 0
	}
	return n.broker.Process.Pid
}

func (n *Node) signal(tb testing.TB, sig syscall.Signal) {
	tb.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broker == nil {
		tb.Fatal("this needs a node of the test's own: use Start")
	}
	if err := n.broker.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Fatalf("signal RabbitMQ: %v", err)
	}
}

func (n *Node) waitExit(tb testing.TB) {
	tb.Helper()
	select {
	case <-n.exited:
	case <-time.After(startTimeout):
		tb.Fatal("RabbitMQ does not end")
	}
}

// close ends everything of the node and removes its directory.
func (n *Node) close() {
	if n.broker != nil {
		_ = n.broker.Process.Kill()
		<-n.exited
	}
	if n.mapper != nil && n.mapper.Process != nil {
		_ = n.mapper.Process.Kill()
		_ = n.mapper.Wait()
	}
	if n.dir != "" {
		_ = os.RemoveAll(n.dir)
	}
}

func (n *Node) logFile() string { return filepath.Join(n.dir, "broker.log") }

func (n *Node) logTail() string {
	text, err := os.ReadFile(n.logFile())
	if err != nil || len(text) == 0 {
		return ""
	}
	return "\n" + string(text[max(0, len(text)-3000):])
}

// freePorts returns ports that nothing listens on now, from a range of their own: a
// stand-in that took one while the node starts or is stopped would keep it from starting.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		l, err := serve.ListenIn("127.0.0.1", 8192, 16384)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
