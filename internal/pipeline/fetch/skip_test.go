package fetch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/threatmatch"
	"threatmatch-connector/spool"
)

// poisoned is a ThreatMatch that refuses every page with one particular object on
// it.
type poisoned struct {
	*pipelinetest.Source
	id     string
	healed bool
}

func (s *poisoned) Page(ctx context.Context, group, stixType, after string) (threatmatch.Page, error) {
	page, err := s.Source.Page(ctx, group, stixType, after)
	if err != nil {
		return page, err
	}
	for o := range page.Objects {
		if o.ID == s.id && !s.healed {
			return threatmatch.Page{}, pipelinetest.AnswerError(403)
		}
	}
	return page, err
}

// TestSkipBringsWhatIsLater: a page that is always refused blocks everything later.
// After three failed runs the stage is not ready and says what to do. A skip
// imports what is later and records the range, and a repull imports that once it is
// available.
func TestSkipBringsWhatIsLater(t *testing.T) {
	for _, midway := range []bool{false, true} {
		t.Run(fmt.Sprintf("in mid-run %v", midway), func(t *testing.T) {
			pipelinetest.InBubble(t, func(t *testing.T) { skipBringsWhatIsLater(t, midway) })
		})
	}
}

func skipBringsWhatIsLater(t *testing.T, midway bool) {
	const period = 61 * time.Minute
	src := &poisoned{Source: pipelinetest.NewSource(3)}
	base := time.Now().Add(-25 * time.Hour)
	add := func(n int, at time.Time) map[string]struct{} {
		ids := map[string]struct{}{}
		for i := range n {
			src.Pages.Add(1, at.Add(time.Duration(i)*time.Second), pipelinetest.Millis)
			ids[src.Pages.Objects[len(src.Pages.Objects)-1].ID] = struct{}{}
		}
		return ids
	}
	before := add(130, base)
	gap := add(1, base.Add(2*time.Hour))
	for id := range gap {
		src.id = id
	}
	later := add(170, base.Add(4*time.Hour))

	o := rigOptions{}
	o.schedule.Period, o.fetch.Types = period, []string{"indicator"}
	r := newRig(t, src, o)
	r.Know()
	stop := r.Start()
	fetched := func(run uint64) {
		t.Helper()
		for range 200 {
			if last := r.LastRun(); last.ID > run || last.ID == run && !last.FetchedAt.IsZero() {
				break
			}
			time.Sleep(period / 20)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
	}
	notReady := func() string { return r.Status.Snapshot()[stageName].NotReady }
	time.Sleep(time.Second)
	synctest.Wait()
	fetched(3)
	if got, want := notReady(), "skip --dataset iocs --to DATE"; !strings.Contains(got, want) {
		t.Fatalf("after three runs not ready for %q, want it to name %q", got, want)
	}
	if n := len(r.Missing(later)); n != len(later) {
		t.Fatalf("%d of %d later objects have not come, want the page to keep all of them", n, len(later))
	}
	last := r.LastRun().ID
	if midway {
		for r.LastRun().ID == last {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		last++
	}
	skipped, err := r.Spool.Skip(1, time.Now(), spool.IOCs, base.Add(3*time.Hour+17*time.Second))
	if err != nil || skipped.Tasks == 0 {
		t.Fatalf("skipped %+v, %v, want its page dropped", skipped, err)
	}
	r.Wakes.Fetch.Signal()
	fetched(last)
	later2 := add(9, time.Now().Add(-time.Minute))
	fetched(last + 1)
	if got := r.Missing(later); len(got) > 0 {
		t.Errorf("%d of %d objects behind the skip have not come", len(got), len(later))
	}
	fetched(last + 2)
	if got := r.Missing(later2); len(got) > 0 {
		t.Errorf("%d of %d new objects have not come", len(got), len(later2))
	}
	if got := notReady(); got != "" {
		t.Errorf("not ready after the skip: %q", got)
	}
	if m := r.Marks()[spool.IOCs]; m.Confirmed.Before(skipped.To) {
		t.Errorf("iocs stand at %+v, want them past %v", m, skipped.To)
	}
	src.healed = true
	if _, err := r.schedule.Repull(skipped.From, spool.IOCs); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour)
	synctest.Wait()
	if got := append(r.Missing(gap), r.Missing(before)...); len(got) > 0 {
		t.Errorf("%d objects have not come by the repull that the letter names", len(got))
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	r.CheckSpool()
}
