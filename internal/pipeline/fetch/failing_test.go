package fetch

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
)

// TestWhatFailsIsSaidAtOnce: within a minute of the first failure the log has one
// error for it, whatever fails; the stage is retrying and the spool names the
// request. When it is over there is one more line.
func TestWhatFailsIsSaidAtOnce(t *testing.T) {
	for _, tt := range []struct{ name, call, request string }{
		{"item", "item profiles/7", "profiles/7"},
		{"list", "list profiles", "list of profiles"},
		{"groups", "groups", "list of IOC groups"},
		{"page", "page", "page of iocs 1/indicator"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) {
				src := pipelinetest.NewSource(10)
				src.SetFail(pipelinetest.FailWith(500, tt.call))
				r := newRig(t, src, rigOptions{})
				r.Know()
				stop := r.Start()
				time.Sleep(34 * time.Second) // an item is parked after 40 s and more
				synctest.Wait()

				if s := r.Status.Snapshot()[stageName].State; s != "retrying" {
					t.Errorf("state %q, want retrying", s)
				}
				tasks, err := r.Spool.FailingTasks(1, 10)
				if err != nil || len(tasks) != 1 || tasks[0].Tries < 3 || tasks[0].Title() != tt.request {
					t.Errorf("failing: %+v %v, want %s", tasks, err, tt.request)
				}
				const begins, ends = "a request fails, trying again", "no request of the dataset fails any more"
				lines := linesWith(r, begins)
				if len(lines) != 1 || !strings.Contains(lines[0], tt.request) || !strings.Contains(lines[0], "answered 500") || !strings.Contains(lines[0], "ERR") {
					t.Errorf("it begins with %q, want one error that names %s", lines, tt.request)
				}
				if n := len(linesWith(r, ends)); n != 0 {
					t.Errorf("%d lines say that it is over", n)
				}
				src.SetFail(nil)
				time.Sleep(41 * time.Second)
				synctest.Wait()
				if n := len(linesWith(r, ends)); n != 1 {
					t.Errorf("%d lines say that it is over, want 1", n)
				}
				if s := r.Status.Snapshot()[stageName].State; s != "idle" {
					t.Errorf("state %q after all, want idle", s)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestHiccupIsNoNews: a request that succeeds on the second try is not logged.
func TestHiccupIsNoNews(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(10)
		src.SetFail(func(call string, n int) error {
			if call == "item profiles/7" && n < 3 {
				return pipelinetest.AnswerError(500)
			}
			return nil
		})
		r := newRig(t, src, rigOptions{})
		r.once()
		if lines := linesWith(r, "fails"); len(lines) != 0 {
			t.Errorf("logged %q, want nothing", lines)
		}
	})
}

func linesWith(r *rig, text string) []string {
	var out []string
	for line := range strings.Lines(r.Logs.String()) {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}
