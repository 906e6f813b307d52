package deliver_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/spool"
)

// dependent is an object that refers to others, of some size.
func dependent(id string, size int, refs ...string) spool.BundleObject {
	kind, _, _ := strings.Cut(id, "--")
	o := map[string]any{"type": kind, "id": id, "x": strings.Repeat("x", size)}
	switch {
	case kind == "relationship":
		o["source_ref"], o["target_ref"] = refs[0], refs[1]
	case len(refs) > 0:
		o["object_refs"] = refs
	}
	text, _ := json.Marshal(o)
	return spool.BundleObject{STIX: id, JSON: text, Source: "s"}
}

// TestDeliverSkipsWhatRefersToADeadLetter: OpenCTI would refuse it, and nobody
// would know.
func TestDeliverSkipsWhatRefersToADeadLetter(t *testing.T) {
	id := func(kind string, n int) string { return fmt.Sprintf("%s--00000000-0000-4000-8000-9%011d", kind, n) }
	small, large, last := id("malware", 1), id("malware", 2), id("malware", 3)
	rel, report, note := id("relationship", 4), id("report", 5), id("note", 6)
	later, waiting, free, after := id("report", 7), id("report", 8), id("report", 9), id("report", 10)
	for _, p := range pipelinetest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			pipelinetest.InWorld(t, p, func(w *pipelinetest.World) {
				w.ReportsOK = true
				w.Broker.Limit = 2000
				again := []spool.BundleObject{
					dependent(large, 5000), dependent(rel, 10, large, small), dependent(report, 10, small, large), dependent(note, 10, report),
				}
				w.BundleOf(slices.Concat([]spool.BundleObject{dependent(small, 10)}, again, []spool.BundleObject{dependent(last, 10)})...)
				w.Start()
				w.Drive()
				sent := []string{small, last}
				dead := []string{"too_large " + large, "dependency " + rel, "dependency " + report, "dependency " + note}
				check := func() {
					t.Helper()
					w.CheckWorks()
					if got := w.Order(); !slices.Equal(got, sent) {
						t.Errorf("sent %v, want %v", got, sent)
					}
					if got := w.DeadOf(); !slices.Equal(got, dead) {
						t.Errorf("dead letters %v, want %v", got, dead)
					}
				}
				check()
				if known, err := w.Spool.LookupIDs([]string{rel, report, note}); err != nil || len(known) > 0 {
					t.Errorf("ids still know %v, %v", known, err)
				}

				w.Restart()
				w.BundleOf(dependent(later, 10, large))
				w.Start()
				w.Drive()
				dead = append(dead, "dependency "+later)
				check()

				w.Restart() // all come again, behind one that still waits
				w.Broker.Limit = 0
				w.Must(w.Spool.SaveMessageLimit(spool.MessageLimit{})) // as a retry does
				w.BundleOf(dependent(waiting, 10, large))
				w.BundleOf(again...)
				w.BundleOf(dependent(free, 10, large, report))
				w.Start()
				w.Drive()
				dead = append(dead, "dependency "+waiting)
				sent = append(sent, large, rel, report, note, free)
				check()

				w.Restart()
				w.BundleOf(dependent(after, 10, large))
				w.Start()
				w.Drive()
				sent = append(sent, after)
				check()
			})
		})
	}
}

// TestRefersToARetryThatWentFirst: a dead letter that a later run sent first does
// not count, even if OpenCTI's workers have not imported it yet and the process is
// new.
func TestRefersToARetryThatWentFirst(t *testing.T) {
	const large = "malware--00000000-0000-4000-8000-900000000002"
	const report = "report--00000000-0000-4000-8000-900000000003"
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.ReportsOK = true
		w.Broker.Limit = 2000
		w.BundleOf(dependent(large, 5000))
		w.Start()
		w.Drive()
		older := w.OpenRun(spool.ReasonSchedule)
		retried, err := w.Spool.Retry(w.Epoch(), time.Now(), []uint64{1}, nil)
		w.Must(err)
		recs, err := w.Spool.Records(retried.ID, 0, 10, 1<<20)
		w.Must(err)
		w.Must(w.Spool.CommitMap(w.Epoch(), time.Now(), spool.MapCommit{
			Run: retried.ID, Records: []uint64{recs[0].Seq}, Bundles: []spool.NewBundle{{Objects: []spool.BundleObject{dependent(large, 5000)}}},
			IDs: []spool.IDPut{{STIX: large, ID: spool.ID{Hash: [16]byte{1}, Run: retried.ID, At: time.Now()}}},
		}))
		w.Must(w.Spool.FinishMap(w.Epoch(), retried.ID, time.Now()))
		w.Broker.Limit = 0
		w.Live.Wakes.Deliver.Signal()
		w.Wait(time.Minute)
		if r, _ := w.Spool.Run(retried.ID); r.DoneAt.IsZero() {
			t.Fatalf("run %d is not done before run %d", retried.ID, older.ID)
		}
		w.Restart()
		w.Must(w.Spool.CommitMap(w.Epoch(), time.Now(), spool.MapCommit{
			Run: older.ID, Bundles: []spool.NewBundle{{Objects: []spool.BundleObject{dependent(report, 10, large)}}},
		}))
		w.Must(w.Spool.FinishMap(w.Epoch(), older.ID, time.Now()))
		w.Start()
		w.Drive()
		if got, want := w.Order(), []string{large, report}; !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v; dead letters %v", got, want, w.DeadOf())
		}
	})
}
