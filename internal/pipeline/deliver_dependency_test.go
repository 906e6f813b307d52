package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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

// bundleOf adds a run with one bundle of the objects.
func (w *world) bundleOf(objects ...spool.BundleObject) {
	w.t.Helper()
	r := w.openRun(spool.ReasonSchedule)
	c := spool.MapCommit{Run: r.ID, Bundles: []spool.NewBundle{{Objects: objects}}}
	for _, o := range objects {
		c.IDs = append(c.IDs, spool.IDPut{STIX: o.STIX, ID: spool.ID{Run: r.ID, At: time.Now()}})
	}
	w.must(w.sp.CommitMap(w.epoch(), time.Now(), c))
	w.must(w.sp.FinishMap(w.epoch(), r.ID, time.Now()))
}

// deadOf returns deliver's dead letters as class and object, oldest first.
func (w *world) deadOf() []string {
	w.t.Helper()
	letters, err := w.sp.DeadLetters(0, 100)
	w.must(err)
	var out []string
	for _, d := range letters {
		out = append(out, d.Class+" "+d.STIX)
		if d.Class == "dependency" && !strings.Contains(d.Error, "which is a dead letter") {
			w.t.Errorf("reason %q", d.Error)
		}
	}
	return out
}

// TestDeliverSkipsWhatRefersToADeadLetter: OpenCTI would refuse it, and nobody would know.
func TestDeliverSkipsWhatRefersToADeadLetter(t *testing.T) {
	id := func(kind string, n int) string { return fmt.Sprintf("%s--00000000-0000-4000-8000-9%011d", kind, n) }
	small, large, last := id("malware", 1), id("malware", 2), id("malware", 3)
	rel, report, note := id("relationship", 4), id("report", 5), id("note", 6)
	later, waiting, free, after := id("report", 7), id("report", 8), id("report", 9), id("report", 10)
	for _, p := range profiles() {
		t.Run(p.name, func(t *testing.T) {
			inWorld(t, p, func(w *world) {
				w.reportsOK = true
				w.mq.limit = 2000
				again := []spool.BundleObject{
					dependent(large, 5000), dependent(rel, 10, large, small), dependent(report, 10, small, large), dependent(note, 10, report),
				}
				w.bundleOf(slices.Concat([]spool.BundleObject{dependent(small, 10)}, again, []spool.BundleObject{dependent(last, 10)})...)
				w.start()
				w.drive()
				sent := []string{small, last}
				dead := []string{"too_large " + large, "dependency " + rel, "dependency " + report, "dependency " + note}
				check := func() {
					t.Helper()
					w.checkWorks()
					if got := w.order(); !slices.Equal(got, sent) {
						t.Errorf("sent %v, want %v", got, sent)
					}
					if got := w.deadOf(); !slices.Equal(got, dead) {
						t.Errorf("dead letters %v, want %v", got, dead)
					}
				}
				check()
				if known, err := w.sp.LookupIDs([]string{rel, report, note}); err != nil || len(known) > 0 {
					t.Errorf("ids still know %v, %v", known, err)
				}

				w.reborn()
				w.bundleOf(dependent(later, 10, large))
				w.start()
				w.drive()
				dead = append(dead, "dependency "+later)
				check()

				w.reborn() // all come again, behind one that still waits
				w.mq.limit = 0
				w.bundleOf(dependent(waiting, 10, large))
				w.bundleOf(again...)
				w.bundleOf(dependent(free, 10, large, report))
				w.start()
				w.drive()
				dead = append(dead, "dependency "+waiting)
				sent = append(sent, large, rel, report, note, free)
				check()

				w.reborn()
				w.bundleOf(dependent(after, 10, large))
				w.start()
				w.drive()
				sent = append(sent, after)
				check()
			})
		})
	}
}
