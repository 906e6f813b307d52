package bench

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
)

// What is imported: ROUNDS times, each round all that is compared, in turns, so
// that the machine's moods hit all alike. SCALE multiplies the content.
const (
	profiles = 400
	alerts   = 400
	reports  = 100
	iocs     = 30000
)

// content is the stand-ins' flags for an import of n times the usual size.
func content(n int, more ...string) []string {
	return append([]string{
		"--no-worker", "--profiles", fmt.Sprint(n * profiles), "--alerts", fmt.Sprint(n * alerts),
		"--reports", fmt.Sprint(n * reports), "--iocs", fmt.Sprint(n * iocs),
	}, more...)
}

// BenchmarkSpeed prints the table of rates and times.
func BenchmarkSpeed(b *testing.B) {
	node := brokertest.Start(b)
	scale := number(b, "SCALE", 1)
	t := newTable()
	var bodies [][]byte
	compare := func() {
		n := iocs * scale
		m := newMeter(node.PID(), os.Getpid())
		took := bare(b, node, bodies, n)
		t.bare(float64(n), took, cost{all: m.sum() - m.began})
	}
	for range number(b, "ROUNDS", 3) {
		bodies = whole(b, t, node, scale, bodies)
		compare()
		w := newWorld(b, node, content(scale)...)
		fetchAndMap(t, w, rowFetchMap)
		compare()
		deliver(t, w, rowDeliver)
		compare()
		w.close()
		w = newWorld(b, node, content(scale, "--fault", "opencti:do=slow,delay=100ms")...)
		mapped(w)
		deliver(t, w, rowFar)
		compare()
		w.close()
		push(t, newWorld(b, node, content(scale)...))
		compare()
		w = newWorld(b, node, content(scale, "--dense")...)
		fetchAndMap(t, w, rowDense)
		compare()
		w.close()
		withLatency(t, newWorld(b, node, "--no-worker", "--iocs", "0", "--reports", "0",
			"--profiles", "400", "--alerts", "400", "--latency", latency.String()))
		firstMessage(t, newWorld(b, node, "--no-worker", "--iocs", "4000", "--reports", "0", "--profiles", "0", "--alerts", "0"))
	}
	idle(t, newWorld(b, node, content(1)...))
	leftBehind(t, newWorld(b, node, "--no-worker", "--iocs", "0", "--profiles", "0", "--alerts", "0", "--reports", "0"))
	size(b, t)
	fmt.Printf("\n%s\n", t) // a benchmark's log is cut short
}

// whole is an import from the first request to the last confirm. Nobody
// consumes the queue, neither here nor in what this is compared with.
func whole(b *testing.B, t *table, node *brokertest.Node, scale int, bodies [][]byte) [][]byte {
	w := newWorld(b, node, content(scale)...)
	defer w.close()
	m := newMeter(node.PID(), w.sim.Process.Pid)
	p := w.start("run")
	p.says("run delivered")
	p.stop()
	c := m.with(p)
	r := w.run()
	t.rate(rowWhole, float64(r.Counters["deliver.messages"]), r.Done.Sub(r.Created), c)
	if bodies == nil {
		bodies = w.bodies(20000)
	}
	return bodies
}

// mapped runs a daemon that finds no broker until its run is mapped.
func mapped(w *world) *process {
	w.noBroker(true)
	p := w.start("run")
	p.says("run mapped")
	p.stop()
	w.noBroker(false)
	return p
}

// fetchAndMap measures what mapped does.
func fetchAndMap(t *table, w *world, row string) {
	m := newMeter(w.sim.Process.Pid)
	c := m.with(mapped(w))
	r := w.run()
	t.rate(row, r.objects(), r.Mapped.Sub(r.Created), c)
}

// deliver lets a daemon find what mapped left in the spool, and a broker.
func deliver(t *table, w *world, row string) {
	n := int(w.run().objects())
	m := newMeter(w.vhost.Node.PID(), w.sim.Process.Pid)
	p := w.start("run")
	began := w.depth(1, 5*time.Millisecond)
	took := w.depth(n, 20*time.Millisecond).Sub(began)
	p.says("run delivered")
	p.stop()
	t.rate(row, float64(n), took, m.with(p))
}

// push is deliver through OpenCTI's API: until the platform has taken all and split
// it into the messages that deliver publishes itself.
func push(t *table, w *world) {
	defer w.close()
	mapped(w)
	w.env["CONNECTOR_QUEUE_PROTOCOL"] = "api"
	n := int(w.run().objects())
	m := newMeter(w.vhost.Node.PID(), w.sim.Process.Pid)
	p := w.start("run")
	began := w.depth(1, 5*time.Millisecond)
	took := w.depth(n, 20*time.Millisecond).Sub(began)
	p.stop() // nobody imports, so that the run does not end
	t.rate(rowPush, float64(n), took, m.with(p))
}

// BenchmarkSpeedOfPushing prints the two ways to OpenCTI's queue beside each other.
func BenchmarkSpeedOfPushing(b *testing.B) {
	node := brokertest.Start(b)
	t := newTable()
	for range number(b, "ROUNDS", 3) {
		scale := number(b, "SCALE", 1)
		w := newWorld(b, node, content(scale)...)
		fetchAndMap(t, w, rowFetchMap)
		deliver(t, w, rowDeliver)
		w.close()
		push(t, newWorld(b, node, content(scale)...))
	}
	fmt.Printf("\n%s\n", t)
}

const latency = 50 * time.Millisecond

// withLatency fetches items from a ThreatMatch that takes its time.
func withLatency(t *table, w *world) {
	defer w.close()
	w.noBroker(true)
	p := w.start("run")
	p.says("fetch ended")
	p.end(syscall.SIGTERM)
	r := w.run()
	const concurrency = 4 // the setting's default
	ideal := time.Duration(r.Counters["fetch.items"]) * latency / concurrency
	t.note(rowLatency, r.Fetched.Sub(r.Created).Seconds()/ideal.Seconds(), "× latency ÷ concurrency")
}

// firstMessage is the time from the last record of a bundle in the spool to the
// bundle's first message in the broker's queue: what is left to map included.
func firstMessage(t *table, w *world) {
	defer w.close()
	p := w.start("run")
	at := w.depth(1, 2*time.Millisecond)
	p.says("run delivered")
	p.end(syscall.SIGTERM)
	t.note(rowFirst, at.Sub(w.run().Fetched).Seconds(), "s")
}
