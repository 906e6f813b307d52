package fetch

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/fetch/paging"
	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/pipeline/schedule"
	"threatmatch-connector/spool"
)

// TestRefusedIOCIsAskedForAgain: a retry of an IOC that OpenCTI refused requests
// only the page for its time, and leaves the imports' cursor alone.
func TestRefusedIOCIsAskedForAgain(t *testing.T) {
	pipelinetest.InBubble(t, func(t *testing.T) {
		src := pipelinetest.NewSource(0)
		src.Pages.Size = 10
		src.Pages.Add(650, pipelinetest.PageEpoch, pipelinetest.Millis)
		for i := range src.Pages.Times { // by threes of one time
			at := pipelinetest.PageEpoch.AddDate(-1, 0, 0).Add(time.Duration(i/3) * time.Minute)
			src.Pages.Times[i], src.Pages.Objects[i].Modified = at, at.Format(pipelinetest.Millis)
			src.Pages.Objects[i].Raw = fmt.Appendf(nil, `{"id":%q,"modified":%q}`, src.Pages.Objects[i].ID, src.Pages.Objects[i].Modified)
		}
		r := newRig(t, src, rigOptions{fetch: Options{Datasets: []spool.Dataset{spool.IOCs}}, schedule: schedule.Options{ImportFrom: func(now time.Time) time.Time { return now }}})
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		r.Know()
		now := time.Now()
		object := src.Pages.Objects[301]
		check(r.Spool.SaveVerdict(now, delivered(t, r, spool.BundleObject{STIX: object.ID, Dataset: spool.IOCs, JSON: object.Raw}, src.Pages.Times[301]),
			[]spool.DeadLetter{{Class: "rejected", STIX: object.ID, Payload: []byte("{}")}}, true))
		stop := r.Start()
		run, err := r.schedule.Retry([]uint64{1}, nil)
		check(err)
		time.Sleep(13 * time.Minute)
		run, err = r.Spool.Run(run.ID)
		check(err)
		if run.FetchedAt.IsZero() || run.Datasets[spool.IOCs].Status != spool.DatasetListed && run.Datasets[spool.IOCs].Status != spool.DatasetOK {
			t.Errorf("got the run %+v, want it fetched", run)
		}
		if got := r.Records("iocs/1/indicator"); got == 0 {
			t.Errorf("got no record of the page; there are %v", r.Items)
		}
		if pages := run.Counters["fetch.pages"]; r.Got[object.ID] == 0 || pages < 1 || pages > 2 {
			t.Errorf("got the object %d times in %d pages, want it in one or two", r.Got[object.ID], pages)
		}
		tasks, err := r.Spool.List("tasks", "", 10)
		if err != nil || len(tasks) != 0 {
			t.Errorf("got %d tasks left (%v), want none", len(tasks), err)
		}
		check(stop())
		r.CheckSpool()
	})
}

// delivered stores the work of a run that brought the object, and returns it.
func delivered(t *testing.T, r *rig, o spool.BundleObject, modified time.Time) spool.WatchedWork {
	t.Helper()
	now := time.Now()
	run, err := r.Spool.StartRun(1, now, spool.RunSpec{Reason: spool.ReasonRetry})
	for _, err := range []error{
		err, r.Spool.FinishFetch(1, run.ID, now),
		r.Spool.CommitMap(1, now, spool.MapCommit{Run: run.ID, Bundles: []spool.NewBundle{{Objects: []spool.BundleObject{o}}},
			IDs: []spool.IDPut{{STIX: o.STIX, ID: spool.ID{Hash: [16]byte{1}, Modified: modified, Run: run.ID, At: now}}}}),
		r.Spool.FinishMap(1, run.ID, now), r.Spool.SaveCursor(1, run.ID, 1, 1), r.Spool.EndBundle(1, run.ID, 1, spool.Work{}, nil),
		r.Spool.SaveWork(1, run.ID, spool.Work{ID: "work", Status: spool.WorkProcessed}), r.Spool.FinishRun(1, run.ID, now),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return spool.WatchedWork{Run: run.ID}
}

// TestSpanCursor: the cursor, not the key, determines the group and type of a page.
func TestSpanCursor(t *testing.T) {
	at := pipelinetest.PageEpoch
	raw, err := json.Marshal(paging.NewSpan("g", "indicator", at))
	if err != nil {
		t.Fatal(err)
	}
	c := cursorOf(spool.Task{TaskKey: spool.TaskKey{Dataset: spool.IOCs, Kind: spool.TaskPage, Source: spool.SpanOf(at) + "/g/indicator"}, TaskState: spool.TaskState{Cursor: raw}}, &openRun{})
	if c.Group != "g" || c.Type != "indicator" || !c.Until.Equal(at) || !c.After.Before(at) {
		t.Errorf("got %+v, want group g from before %v until then", c, at)
	}
}
