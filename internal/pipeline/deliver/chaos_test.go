package deliver_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestDeliverChaos: at random, the broker nacks, returns and loses messages, the
// platform loses answers, and the process dies and stops. Nothing may be lost,
// announced too late or announced too little, and each work must end.
func TestDeliverChaos(t *testing.T) {
	for _, p := range pipelinetest.Profiles() {
		for seed := range uint64(20 / pipelinetest.Stride()) {
			t.Run(fmt.Sprintf("%s/%d", p.Name, seed), func(t *testing.T) {
				pipelinetest.InWorld(t, p, func(w *pipelinetest.World) { chaos(w, seed) })
			})
		}
	}
}

func chaos(w *pipelinetest.World, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	w.Broker.Rand = rand.New(rand.NewPCG(seed, 3))
	w.Run(spool.ReasonSchedule, 1+r.IntN(30), 1+r.IntN(30), 1+r.IntN(30))
	w.Run(spool.ReasonSchedule)
	w.Run(spool.ReasonTrigger, 1+r.IntN(40))
	interrupted := 0
	for range 60 {
		if r.IntN(10) > 0 {
			w.Broker.Events = append(w.Broker.Events, pipelinetest.SendEvent{})
			continue
		}
		interrupted++
		w.Broker.Events = append(w.Broker.Events, pipelinetest.SendEvent{
			Trouble: true, Kind: []delivery.Kind{delivery.ConnectionLost, delivery.Nacked, delivery.Returned, delivery.AccessRefused}[r.IntN(4)],
			Behind: r.IntN(5), Open: r.IntN(8),
		})
	}
	for _, call := range []string{"register", "ping", "add", "expect", "processed", "alive", "work", "search"} {
		w.OpenCTI.Lost[call] = r.IntN(3)
	}
	for range r.IntN(3) {
		w.Kill.At = 1 + r.IntN(80)
		w.Start()
		select {
		case <-w.Live.Ended:
		case <-time.After(time.Duration(r.IntN(40)) * time.Second):
		}
		w.Restart()
		interrupted++
	}
	w.Start()
	w.Drive()
	w.CheckAll()
	most := 0
	for _, n := range w.Broker.All {
		most = max(most, n)
	}
	if most > interrupted+1 {
		w.Fail("a message was enqueued %d times over %d interruptions", most, interrupted)
	}
}
