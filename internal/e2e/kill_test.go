package e2e_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
)

// window is the default of mq.confirm_window: the most that a kill may repeat.
const window = 512

// TestKilledAgainAndAgain kills the program with SIGKILL at random instants of
// one import, KILLS times (default 5), RabbitMQ now and then as well, and lets
// it go on with the same spool.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	kills := 5
	if s := os.Getenv("KILLS"); s != "" {
		kills, _ = strconv.Atoi(s)
	}
	seed := rand.Uint64()
	if s := os.Getenv("SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("SEED=%d KILLS=%d", seed, kills)
	rng := rand.New(rand.NewPCG(seed, 0))
	size := 20 * kills
	if kills > 5 {
		size *= 2 // it must not be over before the last kill
	}
	node := brokertest.Start(t)
	w := newWorld(t, options{amqp: node.VHost(t).URL(), api: threatmatch.Options{
		Latency:  5 * time.Millisecond,
		Generate: data.Options{Seed: seed, Profiles: size, Alerts: size, Reports: size * 2 / 5, IOCs: 40 * size},
	}})
	done, brokerKills := 0, 0
	for i := range kills {
		if i%4 == 2 { // the broker dies, too
			node.Sync(t)
			node.Kill(t)
			node.Restart(t)
			brokerKills++
		}
		p := w.start("run", "--once")
		select {
		case <-p.done:
		case <-time.After(time.Duration(200+rng.IntN(1300)) * time.Millisecond):
		}
		if p.ended() {
			if code := p.cmd.ProcessState.ExitCode(); code != 0 {
				t.Fatalf("exit code %d\n%s", code, tail(p.output()))
			}
			break
		}
		p.kill()
		done++
	}
	w.run(0, "run", "--once")
	w.intact()
	if repeated := w.api.Stats().Repeated; len(repeated) > done*4 {
		t.Errorf("%d requests were repeated after %d kills: %v", len(repeated), done, repeated[:10])
	}
	c := w.worker.Counts()
	if c.Repeats > done*window {
		t.Errorf("%d messages sent again after %d kills", c.Repeats, done)
	}
	t.Logf(`
	kills of the connector                | %d
	kills of RabbitMQ                     | %d
	objects                               | %d
	objects lost                          | 0
	requests answered twice (in flight)   | %d
	messages sent again (at most %d)   | %d
	works left open                       | 0`,
		done, brokerKills, c.Distinct, len(w.api.Stats().Repeated), done*window, c.Repeats)
}
