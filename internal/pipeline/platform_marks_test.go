package pipeline

import (
	"testing"
	"time"

	"threatmatch-connector/spool"
)

func TestPlatformStateFollowsConfirmed(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.start()
		w.soon()
		if w.state() != "null" {
			t.Errorf("state %s before the first run", w.state())
		}
		r := w.openRun(spool.ReasonSchedule, 5)
		w.live.wakes.Deliver.Signal()
		time.Sleep(2 * time.Minute)
		if w.state() != "null" {
			t.Errorf("state %s while the run is mapped", w.state())
		}
		w.must(w.sp.FinishMap(w.epoch(), r.ID, time.Now()))
		w.live.wakes.Deliver.Signal()
		w.soon()
		want := `{"last_run":"` + r.Start.Format(stateTime) + `"}`
		if w.state() != want {
			t.Errorf("state %s, want %s at once", w.state(), want)
		}
	})
}

func TestPlatformStateOfDatasets(t *testing.T) {
	inWorld(t, newest(), func(w *world) {
		w.must(w.errOf(w.sp.AdoptState(w.epoch(), nil)))
		from := time.Now().Add(-time.Hour)
		run := func(at time.Time, status map[spool.Dataset]spool.DatasetStatus) {
			spec := spool.RunSpec{Reason: spool.ReasonSchedule, Start: at, Datasets: map[spool.Dataset]time.Time{}}
			for d := range status {
				spec.Datasets[d] = from
			}
			r, err := w.sp.StartRun(w.epoch(), time.Now(), spec)
			w.must(err)
			for d, s := range status {
				if s != spool.DatasetOK {
					w.must(w.sp.FailDataset(w.epoch(), r.ID, d, s, "x"))
				}
			}
			w.must(w.sp.FinishFetch(w.epoch(), r.ID, time.Now()))
			w.must(w.sp.FinishMap(w.epoch(), r.ID, time.Now()))
			w.must(w.sp.FinishRun(w.epoch(), r.ID, time.Now()))
		}
		state := func(enabled ...spool.Dataset) string {
			s, err := currentState(w.sp, enabled)
			w.must(err)
			return s.text()
		}
		one, two := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		run(one, map[spool.Dataset]spool.DatasetStatus{spool.Profiles: spool.DatasetOK, spool.Alerts: spool.DatasetFailed, spool.IOCs: spool.DatasetSkipped})
		f := func(t time.Time) string { return t.Format(stateTime) }
		// A dataset that never came through holds last_run at its window start.
		if got, want := state(spool.Profiles, spool.Alerts), `{"last_run":"`+f(from)+`","datasets":{"alerts":"`+f(from)+`","profiles":"`+f(one)+`"}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// One that is not offered, or was never asked for, does not.
		if got, want := state(spool.Profiles, spool.IOCs, spool.Reports), `{"last_run":"`+f(one)+`"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := state(spool.Alerts); got != "null" {
			t.Errorf("a state %s of nothing confirmed", got)
		}
		run(two, map[spool.Dataset]spool.DatasetStatus{spool.Profiles: spool.DatasetOK, spool.Alerts: spool.DatasetOK, spool.IOCs: spool.DatasetOK})
		if got, want := state(spool.Profiles, spool.Alerts, spool.IOCs), `{"last_run":"`+f(two)+`"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// A parked item holds its dataset back.
		r, err := w.sp.StartRun(w.epoch(), time.Now(), spool.RunSpec{Reason: spool.ReasonSchedule, Start: two.Add(time.Hour),
			Datasets: map[spool.Dataset]time.Time{spool.Alerts: one},
			Tasks:    []spool.NewTask{{TaskKey: spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskItem, Source: "7"}, Since: one}}})
		w.must(err)
		w.must(w.sp.SettleTasks(w.epoch(), time.Now(), []spool.Outcome{{
			Task: spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskItem, Source: "7"}, Run: r.ID, Keep: &spool.TaskState{Runs: 1}, Park: true}}))
		w.must(w.sp.FinishFetch(w.epoch(), r.ID, time.Now()))
		w.must(w.sp.FinishMap(w.epoch(), r.ID, time.Now()))
		w.must(w.sp.FinishRun(w.epoch(), r.ID, time.Now()))
		if got, want := state(spool.Alerts), `{"last_run":"`+f(one)+`"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
