package mapstage

import (
	"testing"
	"time"

	"threatmatch-connector/spool"
)

// A mapped item can be found by its id, with its run and number of objects,
// including those skipped as known. The pieces of a large item are added up, its
// details count as the item, and a body that cannot be mapped counts as no objects.
func TestItemsAreNoted(t *testing.T) {
	w := newTestWorld(t, Options{})
	run := w.startRun(spool.ReasonSchedule)
	settle := func(source string, bodies ...string) {
		t.Helper()
		key := spool.TaskKey{Dataset: spool.Profiles, Kind: spool.TaskItem, Source: source}
		w.check(w.sp.SettleTasks(w.epoch(), w.now(), []spool.Outcome{{Task: w.lists[run], Run: run, Keep: &spool.TaskState{}, Add: []spool.NewTask{{TaskKey: key}}}}))
		for i, body := range bodies {
			o := spool.Outcome{Task: key, Run: run, Record: &spool.NewRecord{Dataset: spool.Profiles, Source: source, Fetched: w.now(), Body: []byte(body)}}
			if i < len(bodies)-1 {
				o.Keep = &spool.TaskState{}
			}
			w.check(w.sp.SettleTasks(w.epoch(), w.now(), []spool.Outcome{o}))
		}
	}
	settle("7", `{"objects":[`+sobj(ident(1))+`,`+sobj(ident(2))+`]}`, `{"objects":[`+sobj(ident(3))+`]}`)
	settle(spool.DetailsOf("8"), `{"objects":[`+sobj(ident(1))+`]}`)
	settle("9", `{"objects":7}`)
	w.endFetch(run)
	w.work()
	w.deliver(-1)
	for source, want := range map[string]int{"7": 3, "8": 1, "9": 0} {
		got, err := w.sp.Items(spool.Profiles, source)
		w.check(err)
		if len(got) != 1 || got[0].Objects != want || got[0].Run != run || got[0].At.IsZero() {
			t.Errorf("item %s: got %+v, want %d objects in run %d", source, got, want, run)
		}
	}
	if got, err := w.sp.Items(spool.Profiles, "10"); err != nil || len(got) > 0 {
		t.Errorf("an item that never came: got %+v, %v, want none", got, err)
	}
}

// Collecting records of a run that is still being fetched holds nothing up, and the
// status does not suggest that it does.
func TestGatheringIsNoTrouble(t *testing.T) {
	w := newTestWorld(t, Options{MaxWait: time.Minute})
	run := w.startRun(spool.ReasonSchedule)
	w.record(run, sobj(ident(1)))
	if _, err := w.m.runOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.m.runOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := w.m.Status.Snapshot()[stageName]; s.State != "idle" || s.Detail != "for more records of run 1" {
		t.Errorf("got %q, %q, want idle, for more records of run 1", s.State, s.Detail)
	}
}
