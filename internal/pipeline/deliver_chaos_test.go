package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"threatmatch-connector/internal/delivery"
	"threatmatch-connector/spool"
)

// TestDeliverChaos lets the broker nack, return and lose messages, the platform
// lose answers, and the process die and stop, all by chance. Nothing may be
// lost, told too late or told too little, and each work must end.
func TestDeliverChaos(t *testing.T) {
	for _, p := range profiles() {
		for seed := range uint64(20) {
			t.Run(fmt.Sprintf("%s/%d", p.name, seed), func(t *testing.T) {
				inWorld(t, p, func(w *world) { chaos(w, seed) })
			})
		}
	}
}

func chaos(w *world, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	w.mq.rand = rand.New(rand.NewPCG(seed, 3))
	w.run(spool.ReasonSchedule, 1+r.IntN(40), 1+r.IntN(40))
	w.run(spool.ReasonSchedule)
	w.run(spool.ReasonTrigger, 1+r.IntN(40))
	interrupted := 0
	for range 60 {
		if r.IntN(10) > 0 {
			w.mq.events = append(w.mq.events, sendEvent{})
			continue
		}
		interrupted++
		w.mq.events = append(w.mq.events, sendEvent{
			trouble: true, kind: []delivery.Kind{delivery.ConnectionLost, delivery.Nacked, delivery.Returned, delivery.AccessRefused}[r.IntN(4)],
			behind: r.IntN(5), open: r.IntN(8),
		})
	}
	for _, call := range []string{"register", "ping", "add", "expect", "processed", "alive", "work", "search"} {
		w.cti.lost[call] = r.IntN(3)
	}
	for range r.IntN(3) {
		w.kill.at = 1 + r.IntN(80)
		w.start()
		select {
		case <-w.live.ended:
		case <-time.After(time.Duration(r.IntN(40)) * time.Second):
		}
		w.reborn()
		interrupted++
	}
	w.start()
	w.drive()
	w.checkAll()
	most := 0
	for _, n := range w.mq.all {
		most = max(most, n)
	}
	if most > interrupted+1 {
		w.fail("a message was enqueued %d times over %d interruptions", most, interrupted)
	}
}
