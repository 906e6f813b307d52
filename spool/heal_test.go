package spool

import (
	"errors"
	"testing"
	"time"
)

// A page of IOCs has other objects than the previous page under the same source id, so it says nothing about them.
func TestPageHealsNoDeadLetter(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	page := TaskKey{Dataset: IOCs, Kind: TaskPage, Source: "1/indicator"}
	run := must(s.StartRun(1, t0, RunSpec{
		Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{IOCs: t0}, Tasks: []NewTask{{TaskKey: page}},
	}))
	settle := func() {
		t.Helper()
		ok(t, s.SettleTasks(1, t0, []Outcome{{
			Task: page, Run: run.ID, Keep: &TaskState{},
			Record: &NewRecord{Dataset: IOCs, Source: page.Source, Fetched: t0, Body: []byte(`{"objects":[]}`)},
		}}))
	}
	settle()
	recs := must(s.Records(run.ID, 0, 10, 1<<20))
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Records: []uint64{recs[0].Seq}, Dead: []DeadLetter{{
		Class: "element", Error: "no id", Dataset: IOCs, Source: page.Source, Payload: []byte(`{"type":"indicator"}`),
	}}}))
	settle()
	if d := must(s.DeadLetters(0, 10)); len(d) != 1 || !d[0].Healed.IsZero() {
		t.Errorf("dead letters %+v: the next page healed it", d)
	}
}

// An item that comes in pieces heals its dead letter with the last one.
func TestPieceOfAnItemHealsNoDeadLetter(t *testing.T) {
	s := newSpool(t)
	key := item(Alerts, 7)
	run := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: key}}}, t0, Alerts)
	for _, o := range []Outcome{
		{Keep: &TaskState{}, Note: &DeadLetter{Class: "refused"}},
		{Keep: &TaskState{}, Record: &NewRecord{Dataset: Alerts, Source: "7", Body: bodyOf(7)}},
		{Record: &NewRecord{Dataset: Alerts, Source: "7", Body: bodyOf(8)}},
	} {
		o.Task, o.Run = key, run.ID
		ok(t, s.SettleTasks(1, t0, []Outcome{o}))
		if healed := must(s.Stats()).Healed == 1; healed != (o.Keep == nil) {
			t.Errorf("healed %v, want it with the last piece alone", healed)
		}
	}
}

// However many objects of one item fail in the same way, and however often, each is one dead letter.
func TestManyEqualDeadLetters(t *testing.T) {
	s := newSpool(t)
	const objects, runs = 40, 4
	for range runs {
		run := begin(t, s, RunSpec{}, t0, Alerts)
		c := MapCommit{Run: run.ID}
		for n := range objects {
			c.Dead = append(c.Dead, DeadLetter{Class: "invalid", Attempts: 1, Dataset: Alerts, Source: "7", STIX: stixOf(n), Payload: bodyOf(n)})
		}
		ok(t, s.CommitMap(1, t0, c))
		finish(t, s, run)
	}
	all := allDead(t, s)
	if len(all) != objects {
		t.Errorf("%d letters, want %d", len(all), objects)
	}
	for _, d := range all {
		if d.Attempts != runs {
			t.Errorf("letter %d counts %d attempts, want %d", d.Key, d.Attempts, runs)
		}
	}
}

// A run that is done accepts nothing more.
func TestNothingIntoADoneRun(t *testing.T) {
	s := newSpool(t)
	run := begin(t, s, RunSpec{}, t0, Alerts)
	finish(t, s, run)
	before := must(digest(t.Context(), s.db))
	for name, c := range map[string]MapCommit{
		"a bundle":           {Bundles: []NewBundle{{Objects: []BundleObject{{STIX: stixOf(1), JSON: bodyOf(1)}}}}},
		"an object to wait":  {Wait: []Object{{STIX: stixOf(1), Watch: stixOf(2), JSON: bodyOf(1)}}},
		"a count of nothing": {Count: map[string]int64{"a": 1}},
	} {
		c.Run = run.ID
		if err := s.CommitMap(1, t0, c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if after := must(digest(t.Context(), s.db)); after != before {
		t.Error("something was changed")
	}
}

// What fails in the same way in every run, such as a list entry without an id, is one dead letter with a count.
func TestEqualDeadLettersAreOne(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	letter := func(at time.Time, payload string) {
		t.Helper()
		run := must(s.StartRun(1, at, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: at}}))
		ok(t, s.CommitMap(1, at, MapCommit{Run: run.ID, Dead: []DeadLetter{{
			Class: "element", Error: "no id", Attempts: 1, Dataset: Alerts, Source: "7", Payload: []byte(payload),
		}}}))
	}
	letter(t0, "a")
	letter(t0.Add(time.Hour), "b")
	letter(t0.Add(2*time.Hour), "a")
	d := must(s.DeadLetters(0, 10))
	if len(d) != 2 || d[0].Attempts != 2 || !d[0].First.Equal(t0) || !d[0].Last.Equal(t0.Add(2*time.Hour)) || d[0].Run != 3 {
		t.Fatalf("dead letters %+v", d)
	}
	if st := must(s.Stats()); st.Dead != 2 {
		t.Errorf("%d open dead letters", st.Dead)
	}
	must(s.Drop([]uint64{d[0].Key}, nil, nil))
	letter(t0.Add(3*time.Hour), "a")
	if d := must(s.DeadLetters(0, 10)); len(d) != 2 || d[1].Attempts != 1 {
		t.Errorf("dead letters %+v: a dropped one came back to life", d)
	}
}

// A dead letter that is retried and fails again is the same dead letter.
func TestRetriedLetterThatFailsAgainIsOpen(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}}))
	letter := DeadLetter{Class: "element", Error: "no id", Attempts: 1, Dataset: Alerts, Source: "7", Payload: []byte("{}")}
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Dead: []DeadLetter{letter}}))
	key := must(s.DeadLetters(0, 10))[0].Key
	for try := 2; try < 5; try++ {
		again := must(s.Retry(1, t0, []uint64{key}, nil))
		if st := must(s.Stats()); st.Dead != 0 || st.Healed != 1 {
			t.Fatalf("%d open, %d healed while it is tried again", st.Dead, st.Healed)
		}
		recs := must(s.Records(again.ID, 0, 10, 1<<20))
		ok(t, s.CommitMap(1, t0, MapCommit{Run: again.ID, Records: []uint64{recs[0].Seq}, Dead: []DeadLetter{letter}}))
		d := must(s.DeadLetters(0, 10))
		if len(d) != 1 || d[0].Key != key || !d[0].Healed.IsZero() || d[0].Attempts != try || d[0].Run != again.ID {
			t.Fatalf("dead letters %+v", d)
		}
		if st := must(s.Stats()); st.Dead != 1 || st.Healed != 0 {
			t.Fatalf("%d open, %d healed", st.Dead, st.Healed)
		}
		if problems := must(s.Verify(t.Context())); len(problems) > 0 {
			t.Fatal(problems)
		}
	}
}

// A retry whose run is removed by a reset, or whose work was deleted, heals nothing.
func TestRetryThatCameToNothingLeavesTheLetterOpen(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}}))
	letter := DeadLetter{Class: "invalid", Attempts: 1, Dataset: Alerts, Source: "7", STIX: "malware--1", Payload: []byte("{}")}
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Dead: []DeadLetter{letter}}))
	key := must(s.DeadLetters(0, 10))[0].Key
	open := func(want int64) {
		t.Helper()
		if st := must(s.Stats()); st.Dead != want || st.Dead+st.Healed != 1 {
			t.Errorf("%d open, %d healed, want %d open", st.Dead, st.Healed, want)
		}
		if problems := must(s.Verify(t.Context())); len(problems) > 0 {
			t.Fatal(problems)
		}
	}
	retry := must(s.Retry(1, t0, []uint64{key}, nil))
	open(0)
	ok(t, s.ForgetRun(1, retry.ID))
	open(1)
	must(s.Retry(1, t0, []uint64{key}, nil))
	open(0)
	_, _, err := s.Reset(t0)
	ok(t, err)
	open(1)
}

// An answer without the object does not heal the object's dead letter; the object does.
func TestObjectHealsItsLetter(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	item := TaskKey{Dataset: Alerts, Kind: TaskItem, Source: "7"}
	run := must(s.StartRun(1, t0, RunSpec{
		Reason: ReasonSchedule, Datasets: map[Dataset]time.Time{Alerts: t0}, Tasks: []NewTask{{TaskKey: item}},
	}))
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Dead: []DeadLetter{{
		Class: "invalid", Dataset: Alerts, Source: "7", STIX: "malware--1", Payload: []byte("{}"),
	}}}))
	ok(t, s.SettleTasks(1, t0, []Outcome{{
		Task: item, Run: run.ID, Record: &NewRecord{Dataset: Alerts, Source: "7", Fetched: t0, Body: []byte(`{"objects":[]}`)},
	}}))
	if d := must(s.DeadLetters(0, 10)); !d[0].Healed.IsZero() {
		t.Error("healed by an answer without it")
	}
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Bundles: []NewBundle{{Objects: []BundleObject{
		{STIX: "malware--1", Dataset: Alerts, Source: "7", JSON: []byte("{}")},
	}}}}))
	if d := must(s.DeadLetters(0, 10)); d[0].Healed.IsZero() {
		t.Error("not healed by the object itself")
	}
}
