package spool

import (
	"errors"
	"testing"
	"time"
)

// deliveredRun is a done run of one profile, 7, that brought the object, with a work.
func deliveredRun(t *testing.T, s *Spool, at time.Time, stix string, anew bool) uint64 {
	t.Helper()
	epoch := epochOf(t, s)
	item := TaskKey{Dataset: Profiles, Kind: TaskItem, Source: "7"}
	r, err := s.StartRun(epoch, at, RunSpec{Reason: ReasonRetry, Start: at, Datasets: map[Dataset]time.Time{Profiles: at},
		Tasks: []NewTask{{TaskKey: item, Since: at, Anew: anew}}})
	if err != nil {
		t.Fatal(err)
	}
	mapRun(t, s, r.ID, at, stix)
	return r.ID
}

// mapRun fetches, maps and delivers the run's one item.
func mapRun(t *testing.T, s *Spool, run uint64, at time.Time, stix string) {
	t.Helper()
	epoch := epochOf(t, s)
	ok(t, s.SettleTasks(epoch, at, []Outcome{{Task: TaskKey{Profiles, TaskItem, "7"}, Run: run, Record: &NewRecord{Dataset: Profiles, Source: "7", Fetched: at, Body: []byte("{}")}}}))
	ok(t, s.FinishFetch(epoch, run, at))
	records, err := s.Records(run, 0, 10, 1<<20)
	ok(t, err)
	ok(t, s.CommitMap(epoch, at, MapCommit{Run: run, Records: []uint64{records[0].Seq},
		Bundles: []NewBundle{{[]BundleObject{{STIX: stix, Dataset: Profiles, Source: "7", JSON: []byte("{}")}}}},
		IDs:     []IDPut{{STIX: stix, ID: ID{Hash: [16]byte{1}, Run: run, At: at}}}}))
	ok(t, s.FinishMap(epoch, run, at))
	b, err := s.NextBundle()
	ok(t, err)
	ok(t, s.SaveCursor(epoch, run, b.Seq, 1))
	ok(t, s.FinishBundle(epoch, run, b.Seq))
	ok(t, s.SaveWork(epoch, run, Work{ID: "work", Status: WorkProcessed}))
	ok(t, s.FinishRun(epoch, run, at))
}

func epochOf(t *testing.T, s *Spool) uint64 {
	t.Helper()
	m, err := s.Meta()
	if err != nil {
		t.Fatal(err)
	}
	return m.Epoch
}

func TestVerdict(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	at := time.Date(2024, 3, 5, 7, 11, 13, 170e6, time.UTC)
	const id = "malware--6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	run := deliveredRun(t, s, at, id, false)
	due, _, all, err := s.WatchedWorks(at, 20)
	if err != nil || all != 1 || len(due) != 1 || due[0].Run != run || due[0].ID != "work" {
		t.Fatalf("watched: got %+v of %d (%v), want the work of run %d", due, all, err, run)
	}
	letter := DeadLetter{Class: "rejected", Error: "no", Attempts: 1, STIX: id, Payload: []byte(`{"id":"x"}`), First: at, Last: at}
	if err := s.SaveVerdict(at, due[0], []DeadLetter{letter}, true); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveVerdict(at, due[0], nil, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("a second end: got %v, want ErrNotFound", err)
	}
	got := oneLetter(t, s)
	if got.Stage != StagePlatform || got.Dataset != Profiles || got.Source != "7" || !got.Healed.IsZero() {
		t.Fatalf("got %+v, want an open letter of stage platform that names profiles/7", got)
	}

	retried, err := s.Retry(epochOf(t, s), at, []uint64{got.Key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !oneLetter(t, s).Healed.IsZero() {
		t.Error("it is healed before the item came again")
	}
	mapRun(t, s, retried.ID, at, id)
	if oneLetter(t, s).Healed.IsZero() {
		t.Error("it is open after its object went out again")
	}
	due, _, _, _ = s.WatchedWorks(at, 20)
	if err := s.SaveVerdict(at, due[0], []DeadLetter{letter}, false); err != nil {
		t.Fatal(err)
	}
	if got := oneLetter(t, s); !got.Healed.IsZero() || got.Attempts != 2 {
		t.Errorf("refused again: got %+v, want it open with 2 attempts", got)
	}
	if problems, err := s.Verify(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("verify: %v %v", problems, err)
	}

	if _, _, err := s.Reset(at); err != nil {
		t.Fatal(err)
	}
	if _, _, all, err := s.WatchedWorks(at, 20); err != nil || all != 0 {
		t.Errorf("after a reset: got %d works (%v), want 0", all, err)
	}
	if err := s.SaveVerdict(at, due[0], nil, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("a verdict from before the reset: got %v, want ErrNotFound", err)
	}
}

// TestVerdictAfterALaterCopy: the object went out again before anybody looked.
func TestVerdictAfterALaterCopy(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	at := time.Date(2024, 3, 5, 7, 11, 13, 170e6, time.UTC)
	const id = "malware--6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	deliveredRun(t, s, at, id, false)
	deliveredRun(t, s, at, id, true)
	due, _, _, err := s.WatchedWorks(at, 1)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	if err := s.SaveVerdict(at, due[0], []DeadLetter{{Class: "rejected", Error: "no", STIX: id, Payload: []byte("{}")}}, true); err != nil {
		t.Fatal(err)
	}
	if oneLetter(t, s).Healed.IsZero() {
		t.Error("it is open, though a later run sent the object again")
	}
}

func oneLetter(t *testing.T, s *Spool) DeadLetter {
	t.Helper()
	all, err := s.DeadLetters(0, 10)
	if err != nil || len(all) != 1 {
		t.Fatalf("dead letters: got %d (%v), want 1", len(all), err)
	}
	return all[0]
}
