package pipelinetest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestRepullBesideWhatIsNew: while a repull of many items runs for hours, through a
// spool of 32 MiB, a profile that is new in each period is confirmed within two
// periods. The repull ends, and all references between its items, which are spread
// over its slices, exist in the end, as a single run would keep them. With SOAK
// there are 20,000 items.
func TestRepullBesideWhatIsNew(t *testing.T) {
	items, wait, room := 500, 20*time.Second, int64(32<<20)
	if os.Getenv("SOAK") != "" {
		items, wait, room = 20_000, 2*time.Second, 64<<20
	}
	for _, p := range []pipelinetest.Profile{pipelinetest.Newest(), pipelinetest.Profiles()[2]} {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				s := newSoak(t, w, 2)
				w.Broker.Refuses = nil
				v := s.vendor
				v.wait, v.fail = 50*time.Millisecond, nil
				v.other = func(n int) int { return ((n/3*7919+13)%items)*3 + n%3 }
				refs := map[string]int{} // by report: of its newest message
				w.Broker.Worked = func(raw json.RawMessage, refusal string, dropped bool) {
					s.worked(raw, refusal, dropped)
					var o struct {
						ID   string
						Refs []string `json:"object_refs"`
					}
					if err := json.Unmarshal(raw, &o); err != nil || dropped {
						t.Errorf("dropped %v, %v: %s", dropped, err, raw)
					}
					if o.Refs != nil {
						refs[o.ID] = len(o.Refs)
					}
				}
				pass := func(d time.Duration) {
					for end := time.Now().Add(d); time.Now().Before(end); {
						w.Wait(7 * time.Second)
						w.Broker.WorkOff(1 << 20)
					}
				}
				w.MaxSize = room
				w.Restart()
				w.Start()
				pass(2 * time.Minute)
				v.mu.Lock()
				for range items {
					v.items["alerts"] = append(v.items["alerts"], s.began.Add(-10*time.Hour))
				}
				v.wait = wait
				v.mu.Unlock()
				began := time.Now()
				if _, err := s.schedule.Repull(s.began.Add(-11*time.Hour), spool.Alerts); err != nil {
					t.Fatal(err)
				}
				over := func() bool {
					st, err := w.Spool.Stats()
					w.Must(err)
					open, err := w.Spool.OpenRuns()
					w.Must(err)
					for _, r := range open {
						if !r.Reason.MovesWatermarks() {
							return false
						}
					}
					return st.Queued == 0
				}
				periods := 0
				for pass(time.Minute); !over(); periods++ {
					v.mu.Lock()
					v.items["profiles"] = append(v.items["profiles"], time.Now())
					n := (len(v.items["profiles"]) - 1) * 3
					v.mu.Unlock()
					pass(soakPeriod)
					if n >= 3 { // that of the period before
						if id := stixID("malware", n-3); w.Broker.All[id] == 0 {
							t.Errorf("the profile of period %d was not confirmed within two periods\n%s", periods-1, w.Logs.Tail(20))
						}
					}
					w.Forget()
					if time.Since(began) > 4*24*time.Hour {
						st, _ := w.Spool.Stats()
						t.Fatalf("the repull goes on after four days, with %d items in the queue", st.Queued)
					}
				}
				if periods < 3 {
					t.Errorf("the repull took %d periods: this shows nothing", periods)
				}
				pass(5 * soakPeriod)
				cut := 0
				for i := range items {
					if refs[stixID("report", i*3+1)] != 3 {
						cut++
					}
				}
				if cut > 0 {
					t.Errorf("%d of %d reports lack a reference", cut, items)
				}
				t.Logf("%d items in %v, %d periods, %v", items, time.Since(began), periods, slicesOf(w))
			})
		})
	}
}

// slicesOf returns how many slices there were, and how long the fetch of the
// longest took.
func slicesOf(w *pipelinetest.World) string {
	runs, err := w.Spool.Runs(0, 1000)
	w.Must(err)
	n, longest := 0, time.Duration(0)
	for _, r := range runs {
		if !r.Reason.MovesWatermarks() && r.Counters["fetch.items"] > 0 {
			n, longest = n+1, max(longest, r.FetchedAt.Sub(r.Created))
		}
	}
	return fmt.Sprintf("%d slices, the longest %v", n, longest)
}
