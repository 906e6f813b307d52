package fetch

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// notOwn are failures that say nothing about what was requested.
func notOwn() map[string]error {
	wrap := func(err error) error { return fault.After(0, fmt.Errorf("x: %w", err)) }
	return map[string]error{
		"408": pipelinetest.AnswerError(408), "425": wrap(pipelinetest.FakeAnswer(425)),
		"429": pipelinetest.AnswerError(429), "503": pipelinetest.AnswerError(503),
		"refused connection": wrap(&net.OpError{Op: "dial", Err: errors.New("connection refused")}),
		"proxy away":         wrap(&net.OpError{Op: "proxyconnect", Err: errors.New("connection refused")}),
		"no such host":       wrap(&net.DNSError{Err: "no such host"}),
		"certificate":        wrap(&tls.CertificateVerificationError{Err: errors.New("expired")}),
	}
}

// TestItemsAreNotBlamedForTheServer: four of five responses say nothing about the
// item. All items arrive in the run, and none is parked.
func TestItemsAreNotBlamedForTheServer(t *testing.T) {
	for name, err := range notOwn() {
		t.Run(name, func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) {
				src := pipelinetest.NewSource(15)
				src.Delay = 37 * time.Millisecond
				rnd := rand.New(rand.NewPCG(1, 2))
				var mu sync.Mutex // calls come side by side
				src.SetFail(func(call string, _ int) error {
					mu.Lock()
					defer mu.Unlock()
					if strings.HasPrefix(call, "item") && rnd.IntN(10) < 8 {
						return err
					}
					return nil
				})
				r := newRig(t, src, rigOptions{})
				run := r.once()
				if r.Arrived() != 45 || run.Counters["fetch.parked"] != 0 || r.Stats().Dead != 0 {
					t.Errorf("got %d items, parked %d, dead %d; want 45, 0, 0", r.Arrived(), run.Counters["fetch.parked"], r.Stats().Dead)
				}
			})
		})
	}
}

// TestOneItemIsAlwaysPutOff: the run ends without it, and in however many runs that
// happens, it never becomes a dead letter. It holds the platform's state back.
func TestOneItemIsAlwaysPutOff(t *testing.T) {
	for _, name := range []string{"429", "refused connection"} {
		err := notOwn()[name]
		t.Run(name, func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) {
				src := pipelinetest.NewSource(3)
				src.Delay = 37 * time.Millisecond
				src.SetFail(func(call string, _ int) error {
					if call == "item alerts/2" {
						return err
					}
					return nil
				})
				r := newRig(t, src, rigOptions{fetch: Options{MaxAttempts: 2}})
				for n := range 3 {
					begin := time.Now()
					run := r.once()
					if took := time.Since(begin); took < itemPatience || took > 3*time.Hour {
						t.Errorf("run %d took %v", n, took)
					}
					if run.Counters["fetch.parked"] != 1 || r.Stats().Dead != 0 || r.Marks()[spool.Alerts].Held.IsZero() {
						t.Errorf("run %d: parked %d, dead %d, watermark %+v; want it parked, holding back", n,
							run.Counters["fetch.parked"], r.Stats().Dead, r.Marks()[spool.Alerts])
					}
				}
				if p := parkedItems(t, r)["alerts/2"]; p.Runs != 0 || p.Tries != 0 || p.Waived < itemWaived {
					t.Errorf("parked as %+v, want no run and no try counted", p)
				}
				src.SetFail(nil)
				if r.once(); r.Arrived() != 9 || r.Stats().Parked != 0 {
					t.Errorf("got %d items, %d parked; want 9, 0", r.Arrived(), r.Stats().Parked)
				}
				r.CheckSpool()
			})
		})
	}
}

// TestWhatIsPutOffBetweenDoesNotClear: the item's own failures count, however many
// other failures happen in between.
func TestWhatIsPutOffBetweenDoesNotClear(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(3)
		src.Delay = 37 * time.Millisecond
		src.SetFail(func(call string, n int) error {
			if call == "item alerts/2" {
				return pipelinetest.AnswerError([]int{404, 429}[n%2])
			}
			return nil
		})
		r := newRig(t, src, rigOptions{})
		if run := r.once(); run.Counters["fetch.parked"] != 1 || src.Count("item alerts/2") != 4 {
			t.Errorf("got %v after %d tries, want it parked after 4", run.Counters, src.Count("item alerts/2"))
		}
	})
}
