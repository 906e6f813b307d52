package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/faults"
	"threatmatch-connector/internal/sim/opencti"
	"threatmatch-connector/internal/sim/threatmatch"
	"threatmatch-connector/internal/sim/worker"
)

// pushWorld has a broker that the connector cannot reach, and two workers that
// hold one message each, as real ones do, and split what was pushed.
func pushWorld(t *testing.T, version string, o data.Options) *world {
	t.Helper()
	port := closedPort(t)
	w := newWorld(t, options{
		race: version == "newest",
		api:  threatmatch.Options{Generate: o},
		platform: opencti.Options{Version: version, Connection: func(c *opencti.Connection) {
			_, _ = fmt.Sscanf(port, "127.0.0.1:%d", &c.Port)
		}},
		worker: worker.Options{Parallel: 2, Prefetch: 1},
	})
	w.env["CONNECTOR_QUEUE_PROTOCOL"] = "api"
	return w
}

// pushed holds what intact does, and that a splitter announced each message that
// came, also the repeated ones.
func (w *world) pushed() {
	w.t.Helper()
	w.intact()
	for _, v := range w.platform.Stats().Violations {
		w.t.Errorf("OpenCTI was asked what it must not be: %+v", v)
	}
	for id, counts := range w.worker.Works() {
		if work, ok := w.platform.Work(id); ok && (!work.Pushed || work.Expected != counts.Received) {
			w.t.Errorf("work %s: pushed %v, %d expected, want the %d that came", id, work.Pushed, work.Expected, counts.Received)
		}
	}
}

// TestPush imports twice through OpenCTI's API with each way of splitting: nothing
// is lost or sent twice, and no work ends before it is split.
func TestPush(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"6.7.5", "6.9.17", "newest"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			w := pushWorld(t, version, data.Options{Seed: 3, Profiles: 20, Alerts: 20, Reports: 5, IOCs: 300})
			w.env["MQ_CONFIRM_WINDOW"] = "100"
			w.worker.Behave(worker.Behaviour{Delay: 2 * time.Millisecond}) // what is told too early meets a full queue
			w.run(0, "run", "--once")
			w.pushed()
			if c := w.worker.Counts(); c.Again > 0 || version != "newest" && c.Split < 4 {
				t.Errorf("%d messages came twice, %d bundles were split by workers", c.Again, c.Split)
			}
			w.api.Publish(data.Alerts, 3)
			w.run(0, "run", "--once")
			w.pushed()
			for _, work := range w.platform.Works() {
				if !work.ToProcessed {
					t.Errorf("work %+v: want it told that all was sent", work)
				}
			}
		})
	}
}

// TestPushKilled kills the program again and again while OpenCTI loses answers to
// pushes that it accepted, and refuses some: nothing is lost, and a chunk at most is
// repeated for each.
func TestPushKilled(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	w := pushWorld(t, "newest", data.Options{Seed: seed, Profiles: 60, Alerts: 60, Reports: 20, IOCs: 2000})
	const chunk, kills, lost = 64, 5, 3
	w.env["MQ_CONFIRM_WINDOW"] = fmt.Sprint(chunk)
	w.platform.SetFault(faults.Rule{Route: "stixBundlePush", Kind: faults.Lost, Rate: 0.1, Times: lost},
		faults.Rule{Route: "stixBundlePush", Kind: faults.Answer, Status: 503, Body: "{}", Rate: 0.2, Times: 5})
	done := 0
	for range kills {
		p := w.start("run", "--once")
		select {
		case <-p.done:
		case <-time.After(time.Duration(100+rng.IntN(700)) * time.Millisecond):
		}
		if p.ended() {
			break
		}
		p.kill()
		done++
	}
	w.run(0, "run", "--once")
	w.pushed()
	c := w.worker.Counts()
	if most := (done + lost) * chunk; c.Repeats > most {
		t.Errorf("%d messages came again after %d kills and %d lost answers, want %d at most", c.Repeats, done, lost, most)
	}
	t.Logf("%d kills, %d lost answers: %d objects, none lost, %d sent again", done, w.platform.Stats().Faults[string(faults.Lost)], c.Distinct, c.Repeats)
}

// TestPushTooLargeForTheGateway: what stands before OpenCTI takes only small requests.
// Chunks become smaller, and nothing is lost.
func TestPushTooLargeForTheGateway(t *testing.T) {
	t.Parallel()
	w := pushWorld(t, "6.9.17", data.Options{Seed: 5, Profiles: 10, Alerts: 10, Reports: 2, IOCs: 200})
	w.platform.SetFault(faults.Rule{Route: "stixBundlePush", Kind: faults.Answer, Status: 413, ContentType: "text/html", Body: "<html>too large</html>", Times: 3})
	w.run(0, "run", "--once")
	w.pushed()
	if n := w.platform.Stats().Mutations["stixBundlePush"]; n < 8 {
		t.Errorf("%d pushes, want chunks of an eighth", n)
	}
}
