package platform_test

import (
	"testing"
	"time"

	"threatmatch-connector/internal/pipeline/pipelinetest"
	"threatmatch-connector/internal/pipeline/platform"
	"threatmatch-connector/spool"
)

func TestPlatformStateFollowsConfirmed(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Start()
		w.Soon()
		if w.State() != "null" {
			t.Errorf("state %s before the first run", w.State())
		}
		r := w.OpenRun(spool.ReasonSchedule, 5)
		w.Live.Wakes.Deliver.Signal()
		w.Wait(2 * time.Minute)
		if w.State() != "null" {
			t.Errorf("state %s while the run is mapped", w.State())
		}
		w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
		w.Live.Wakes.Deliver.Signal()
		w.Soon()
		want := `{"last_run":"` + r.Start.Format(platform.StateLayout) + `"}`
		if w.State() != want {
			t.Errorf("state %s, want %s at once", w.State(), want)
		}
	})
}

func TestPlatformStateOfDatasets(t *testing.T) {
	pipelinetest.InWorld(t, pipelinetest.Newest(), func(w *pipelinetest.World) {
		w.Must(w.ErrOf(w.Spool.AdoptState(w.Epoch(), nil)))
		from := time.Now().Add(-time.Hour)
		run := func(at time.Time, status map[spool.Dataset]spool.DatasetStatus) {
			spec := spool.RunSpec{Reason: spool.ReasonSchedule, Start: at, Datasets: map[spool.Dataset]time.Time{}}
			for d := range status {
				spec.Datasets[d] = from
			}
			r, err := w.Spool.StartRun(w.Epoch(), time.Now(), spec)
			w.Must(err)
			for d, s := range status {
				if s != spool.DatasetOK {
					w.Must(w.Spool.FailDataset(w.Epoch(), r.ID, d, s, "x"))
				}
			}
			w.Must(w.Spool.FinishFetch(w.Epoch(), r.ID, time.Now()))
			w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
			w.Must(w.Spool.FinishRun(w.Epoch(), r.ID, time.Now()))
		}
		state := func(enabled ...spool.Dataset) string {
			s, err := platform.StateText(w.Spool, enabled)
			w.Must(err)
			return s
		}
		one, two := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		run(one, map[spool.Dataset]spool.DatasetStatus{spool.Profiles: spool.DatasetOK, spool.Alerts: spool.DatasetFailed, spool.IOCs: spool.DatasetSkipped})
		f := func(t time.Time) string { return t.Format(platform.StateLayout) }
		stand := `","datasets":{"alerts":"` + f(from) + `","iocs":"` + f(from) + `","profiles":"` + f(one) + `"}}`
		// A dataset that never came through holds last_run at its window start.
		if got, want := state(spool.Profiles, spool.Alerts), `{"last_run":"`+f(from)+stand; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// One that is not offered, is switched off, or was never asked for, does not; it
		// goes on where it stands on a new volume.
		if got, want := state(spool.Profiles, spool.IOCs, spool.Reports), `{"last_run":"`+f(one)+stand; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := state(spool.Alerts); got != "null" {
			t.Errorf("a state %s of nothing confirmed", got)
		}
		run(two, map[spool.Dataset]spool.DatasetStatus{spool.Profiles: spool.DatasetOK, spool.Alerts: spool.DatasetOK, spool.IOCs: spool.DatasetOK})
		if got, want := state(spool.Profiles, spool.Alerts, spool.IOCs), `{"last_run":"`+f(two)+`"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// One that is parked in a later window does not move it on.
		profile := spool.TaskKey{Dataset: spool.Profiles, Kind: spool.TaskItem, Source: "9"}
		open, err := w.Spool.StartRun(w.Epoch(), time.Now(), spool.RunSpec{Reason: spool.ReasonSchedule, Start: two.Add(time.Hour),
			Datasets: map[spool.Dataset]time.Time{spool.Profiles: two.Add(time.Minute)},
			Tasks:    []spool.NewTask{{TaskKey: profile, Since: two.Add(time.Minute)}}})
		w.Must(err)
		w.Must(w.Spool.SettleTasks(w.Epoch(), time.Now(), []spool.Outcome{{Task: profile, Run: open.ID, Keep: &spool.TaskState{Runs: 1}, Park: true}}))
		if got, want := state(spool.Profiles), `{"last_run":"`+f(two)+`"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// A parked item holds its dataset back.
		r, err := w.Spool.StartRun(w.Epoch(), time.Now(), spool.RunSpec{Reason: spool.ReasonSchedule, Start: two.Add(time.Hour),
			Datasets: map[spool.Dataset]time.Time{spool.Alerts: one},
			Tasks:    []spool.NewTask{{TaskKey: spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskItem, Source: "7"}, Since: one}}})
		w.Must(err)
		w.Must(w.Spool.SettleTasks(w.Epoch(), time.Now(), []spool.Outcome{{
			Task: spool.TaskKey{Dataset: spool.Alerts, Kind: spool.TaskItem, Source: "7"}, Run: r.ID, Keep: &spool.TaskState{Runs: 1}, Park: true}}))
		w.Must(w.Spool.FinishFetch(w.Epoch(), r.ID, time.Now()))
		w.Must(w.Spool.FinishMap(w.Epoch(), r.ID, time.Now()))
		w.Must(w.Spool.FinishRun(w.Epoch(), r.ID, time.Now()))
		if got, want := state(spool.Alerts), `{"last_run":"`+f(one)+`","datasets":{"alerts":"`+f(one)+`","iocs":"`+f(two)+`","profiles":"`+f(two)+`"}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
