package spool

import (
	"errors"
	"testing"
	"time"
)

var pageOne = TaskKey{Dataset: IOCs, Kind: TaskPage, Source: "1/indicator"}

// A skipped dataset continues after the span: its requests are gone, its open run ends with it failed, the other
// watermarks move as usual, and the span is a dead letter.
func TestSkip(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	first := begin(t, s, RunSpec{Start: t0}, t0.Add(-48*time.Hour), Alerts, IOCs)
	finish(t, s, first)
	from, to := t0.Add(-10*time.Minute), t0.Add(7*time.Hour+13*time.Second)
	left := TaskKey{Dataset: IOCs, Kind: TaskPage, Source: "1/malware"}
	second := begin(t, s, RunSpec{Start: t0.Add(9 * time.Hour), Tasks: []NewTask{
		{TaskKey: list(Alerts)}, {TaskKey: item(Alerts, 3)}, {TaskKey: pageOne, Cursor: []byte("here")},
	}}, from, Alerts, IOCs)
	again := begin(t, s, RunSpec{Reason: ReasonRepull, Start: t0.Add(9 * time.Hour), Tasks: []NewTask{{TaskKey: left}}}, from, IOCs)
	got := must(s.Skip(1, t0.Add(10*time.Hour), IOCs, to))
	if got.Tasks != 1 || !got.From.Equal(from) || !got.To.Equal(to) || got.Dead == 0 {
		t.Errorf("skipped %+v, want one task from %v to %v", got, from, to)
	}
	if _, err := s.Task(pageOne); !errors.Is(err, ErrNotFound) {
		t.Errorf("its page: %v, want none", err)
	}
	if task := must(s.Task(left)); task.Run != again.ID {
		t.Errorf("the page of the repull is in run %d, want %d", task.Run, again.ID)
	}
	if r := must(s.Run(second.ID)); r.Datasets[IOCs].Status != DatasetFailed || r.Datasets[IOCs].Detail == "" || r.Datasets[Alerts].Status != DatasetOpen {
		t.Errorf("run %+v, want iocs failed, alerts open", r.Datasets)
	}
	letters := must(s.DeadLetters(0, 9))
	if len(letters) != 1 || letters[0].Key != got.Dead || letters[0].Class != "gap" || letters[0].Stage != StageFetch ||
		letters[0].Dataset != IOCs || len(letters[0].Payload) == 0 {
		t.Errorf("letters %+v", letters)
	}
	if err := s.Enqueue(1, ReasonRetry, []uint64{got.Dead}, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("retried: %v, want it refused: it names no item", err)
	}
	if w := must(s.Watermarks())[IOCs]; !w.Fetched.Equal(to) || !w.Previous.Equal(t0) || !w.Confirmed.Equal(t0) {
		t.Errorf("iocs stand at %+v, want fetched %v, and what is confirmed to wait for run %d", w, to, second.ID)
	}
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: list(Alerts), Run: second.ID}, {Task: item(Alerts, 3), Run: second.ID}}))
	finish(t, s, second)
	w := must(s.Watermarks())
	if !w[IOCs].Fetched.Equal(to) || !w[IOCs].Confirmed.Equal(to) || !w[Alerts].Confirmed.Equal(second.Start) {
		t.Errorf("after the run %+v, want iocs at %v, alerts at %v", w, to, second.Start)
	}
}

// The confirmed watermark does not pass what an older run still delivers, and does not fall back if that run confirms
// less.
func TestSkipWaitsForWhatIsDelivered(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	run := begin(t, s, RunSpec{Start: t0.Add(2 * time.Hour)}, t0, IOCs)
	ok(t, s.FinishFetch(1, run.ID, t0))
	later := begin(t, s, RunSpec{Start: t0.Add(5 * time.Hour), Tasks: []NewTask{{TaskKey: pageOne}}}, t0.Add(2*time.Hour), IOCs)
	to := t0.Add(4*time.Hour + 7*time.Minute)
	must(s.Skip(1, t0, IOCs, to.Add(-11*time.Minute)))
	must(s.Skip(1, t0, IOCs, to)) // the first was not far enough
	if w := must(s.Watermarks())[IOCs]; !w.Confirmed.IsZero() || !w.Fetched.Equal(to) {
		t.Errorf("%+v while run %d is not delivered", w, run.ID)
	}
	finish(t, s, run)
	if w := must(s.Watermarks())[IOCs]; !w.Confirmed.Equal(run.Start) {
		t.Errorf("confirmed %v, want %v: run %d is not done", w.Confirmed, run.Start, later.ID)
	}
	finish(t, s, later)
	if w := must(s.Watermarks())[IOCs]; !w.Confirmed.Equal(to) {
		t.Errorf("confirmed %v, want %v", w.Confirmed, to)
	}
}

// A dataset that never got through can be skipped, too: the next request begins there.
func TestSkipOfTheFirstImport(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	from := t0.Add(-1000 * time.Hour)
	run := begin(t, s, RunSpec{Start: t0, Tasks: []NewTask{{TaskKey: pageOne}}}, from, IOCs)
	ok(t, s.FailDataset(1, run.ID, IOCs, DatasetFailed, "refused"))
	finish(t, s, run)
	got := must(s.Skip(1, t0, IOCs, t0.Add(-time.Hour)))
	if !got.From.Equal(from) || got.Tasks != 1 {
		t.Errorf("%+v, want the left-behind page dropped, from %v", got, from)
	}
	if w := must(s.Watermarks())[IOCs]; !w.Fetched.Equal(t0.Add(-time.Hour)) || !w.Confirmed.Equal(w.Fetched) {
		t.Errorf("got watermark %+v, want both an hour before the start", w)
	}
}

func TestSkipRefused(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	refused := func(why string, d Dataset, to time.Time) {
		t.Helper()
		if _, err := s.Skip(1, t0, d, to); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want it refused", why, err)
		}
	}
	refused("no run", IOCs, t0)
	finish(t, s, begin(t, s, RunSpec{Start: t0.Add(time.Hour)}, t0, IOCs))
	begin(t, s, RunSpec{Start: t0.Add(3 * time.Hour)}, t0, IOCs)
	begin(t, s, RunSpec{Start: t0.Add(9 * time.Hour), Reason: ReasonRepull}, t0, IOCs)
	refused("never asked for", Alerts, t0)
	refused("where it stands", IOCs, t0.Add(time.Hour))
	refused("before it", IOCs, t0)
	refused("later than any run asked for", IOCs, t0.Add(3*time.Hour+time.Nanosecond))
	if _, err := s.Skip(2, t0, IOCs, t0.Add(2*time.Hour)); !errors.Is(err, ErrEpoch) {
		t.Errorf("another epoch: %v", err)
	}
	must(s.Skip(1, t0, IOCs, t0.Add(3*time.Hour)))
	_, _, err := s.Reset(t0)
	ok(t, err)
	if _, err := s.Skip(2, t0, IOCs, t0.Add(2*time.Hour)); !errors.Is(err, ErrInvalid) {
		t.Errorf("after a reset: %v, want it refused: no run has asked", err)
	}
}
