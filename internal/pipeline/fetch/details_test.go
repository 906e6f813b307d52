package fetch

import (
	"errors"
	"strings"
	"testing"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// TestDetails: the details of profiles and reports arrive with their items, and a
// failure costs only those details.
func TestDetails(t *testing.T) {
	for _, c := range []struct {
		name           string
		class          fault.Class
		fail           string // calls with this in them
		failed         int64
		tries          int
		details, items int64
	}{
		{"all come", 0, "", 0, 1, 4, 6},
		{"one is refused", fault.Permanent, "details profiles/1", 1, 1, 3, 6},
		{"one always fails", fault.Transient, "details profiles/1", 1, itemTries, 3, 6},
		{"all are refused", fault.Permanent, "details ", 4, 1, 0, 6},
	} {
		pipelinetest.InBubble(t, func(t *testing.T) {
			src := pipelinetest.NewSource(2)
			src.SetFail(func(call string, _ int) error {
				if c.fail != "" && strings.Contains(call, c.fail) {
					return fault.Mark(c.class, errors.New("scripted"))
				}
				return nil
			})
			r := newRig(t, src, rigOptions{fetch: Options{Details: true, MaxAttempts: 1}})
			run := r.once()
			n := run.Counters
			if n["fetch.details"] != c.details || n["fetch.details_failed"] != c.failed || n["fetch.items"] != c.items {
				t.Errorf("%s: got %d details, %d failed, %d items; want %d, %d, %d", c.name,
					n["fetch.details"], n["fetch.details_failed"], n["fetch.items"], c.details, c.failed, c.items)
			}
			if n["fetch.parked"]+n["fetch.dead"] != 0 {
				t.Errorf("%s: %d parked, %d dead; want none for details", c.name, n["fetch.parked"], n["fetch.dead"])
			}
			for _, d := range []spool.Dataset{spool.Profiles, spool.Reports} {
				if run.Datasets[d].Status != spool.DatasetOK || r.Marks()[d].Fetched.IsZero() {
					t.Errorf("%s: %s is %+v with watermark %v, want it to have moved", c.name, d, run.Datasets[d], r.Marks()[d])
				}
			}
			if got := src.Count("details profiles/1"); got != c.tries {
				t.Errorf("%s: asked %d times for the first, want %d", c.name, got, c.tries)
			}
			if src.Count("details alerts/1") != 0 {
				t.Errorf("%s: asked for the details of an alert", c.name)
			}
		})
	}
}

// TestNoDetails: no details are requested if they are not enabled.
func TestNoDetails(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(1)
		r := newRig(t, src, rigOptions{})
		if run := r.once(); run.Counters["fetch.items"] != 3 || src.Count("details profiles/1") != 0 {
			t.Errorf("got %v and %d requests for details, want none", run.Counters, src.Count("details profiles/1"))
		}
	})
}
