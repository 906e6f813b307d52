package fetch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestRetryNeedsNoThreatMatch: a retry of what map or deliver gave up on needs no
// request, so it is handed on completely while ThreatMatch is down or slow,
// whatever its size, and whatever else is queued or retried with it.
func TestRetryNeedsNoThreatMatch(t *testing.T) {
	const letters = 600 // more than one slice
	for _, stage := range []spool.Stage{spool.StageMap, spool.StageDeliver} {
		for _, answer := range []int{502, 401, 200} {
			t.Run(fmt.Sprintf("%s/%d", stage, answer), func(t *testing.T) {
				pipelinetest.InBubble(t, func(t *testing.T) {
					check := func(err error) {
						t.Helper()
						if err != nil {
							t.Fatal(err)
						}
					}
					src := pipelinetest.NewSource(20)
					r := newRig(t, src, rigOptions{})
					r.Know()
					now := time.Now()
					done, err := r.Spool.StartRun(1, now, spool.RunSpec{Reason: spool.ReasonRetry})
					check(err)
					dead := make([]spool.DeadLetter, 0, letters+1)
					for i := range letters {
						id := fmt.Sprintf("tool--%d", i)
						dead = append(dead, spool.DeadLetter{Stage: stage, Class: "x", Dataset: spool.Alerts, Source: fmt.Sprintf("lost %d", i), STIX: id, Payload: fmt.Appendf(nil, `{"id":%q}`, id)})
					}
					dead = append(dead, spool.DeadLetter{Stage: spool.StageFetch, Class: "x", Dataset: spool.Alerts, Source: "asked"})
					check(r.Spool.CommitMap(1, now, spool.MapCommit{Run: done.ID, Dead: dead}))
					check(r.Spool.FinishFetch(1, done.ID, now))
					check(r.Spool.FinishMap(1, done.ID, now))
					check(r.Spool.FinishRun(1, done.ID, now))
					var keys []uint64
					for i := range uint64(letters + 1) {
						keys = append(keys, letters+1-i) // what must be fetched comes first
					}
					repulled := spool.NewTask{TaskKey: spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskItem, Source: "repulled"}, Since: now}
					check(r.Spool.Enqueue(1, spool.ReasonRepull, nil, []spool.NewTask{repulled}))
					if answer == 200 {
						src.Delay = time.Minute
					} else {
						src.SetFail(func(string, int) error { return pipelinetest.AnswerError(answer) })
					}
					stop := r.Start()
					time.Sleep(30*time.Second + 7*time.Millisecond)
					_, err = r.schedule.Retry(keys, nil)
					check(err)
					time.Sleep(20 * time.Second)
					synctest.Wait()
					if got := r.Sources(); got < letters {
						t.Errorf("got %d of %d retried objects before ThreatMatch answers", got, letters)
					}
					if first, _ := r.Spool.Run(done.ID + 1); !first.Reason.MovesWatermarks() || !first.FetchedAt.IsZero() {
						t.Errorf("run %+v is no import that is open: this shows nothing", first)
					}
					src.Mu.Lock()
					src.Delay = 0
					src.Mu.Unlock()
					src.SetFail(nil)
					time.Sleep(2 * time.Hour)
					synctest.Wait()
					for _, source := range []string{"alerts/asked", "alerts/repulled", "alerts/lost 0", "alerts/lost 599"} {
						if got := r.Records(source); got != 1 {
							t.Errorf("%s came %d times in the end, want once", source, got)
						}
					}
					check(stop())
					r.CheckSpool()
				})
			})
		}
	}
}
