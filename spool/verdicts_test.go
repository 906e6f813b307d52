package spool

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// TestOriginOnDisk: spools in use hold these numbers.
func TestOriginOnDisk(t *testing.T) {
	for origin, want := range map[string]Dataset{"07": Profiles, "17": Alerts, "27": Reports, "3": IOCs, "~7": ""} {
		if got, _ := cutOrigin(origin); got != want {
			t.Errorf("origin %q is of dataset %q, want %q", origin, got, want)
		}
	}
}

// deliveredRun makes a done run with a work, of one profile, 7, that brought the object.
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

// deliveredObject makes a done run with a work that brought the object.
func deliveredObject(t *testing.T, s *Spool, at time.Time, o BundleObject, modified time.Time) uint64 {
	t.Helper()
	r, err := s.StartRun(epochOf(t, s), at, RunSpec{Reason: ReasonRetry, Start: at})
	ok(t, err)
	ok(t, s.FinishFetch(r.Epoch, r.ID, at))
	deliver(t, s, r.ID, at, MapCommit{Bundles: []NewBundle{{Objects: []BundleObject{o}}},
		IDs: []IDPut{{STIX: o.STIX, ID: ID{Hash: [16]byte{1}, Modified: modified, Run: r.ID, At: at}}}})
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
	deliver(t, s, run, at, MapCommit{Records: []uint64{records[0].Seq},
		Bundles: []NewBundle{{Objects: []BundleObject{{STIX: stix, Dataset: Profiles, Source: "7", JSON: []byte("{}")}}}},
		IDs:     []IDPut{{STIX: stix, ID: ID{Hash: [16]byte{1}, Run: run, At: at}}}})
}

// deliver ends a run that the commit maps completely.
func deliver(t *testing.T, s *Spool, run uint64, at time.Time, c MapCommit) {
	t.Helper()
	epoch := epochOf(t, s)
	c.Run = run
	ok(t, s.CommitMap(epoch, at, c))
	ok(t, s.FinishMap(epoch, run, at))
	b, err := s.NextBundle()
	ok(t, err)
	ok(t, s.SaveCursor(epoch, run, b.Seq, 1))
	ok(t, s.EndBundle(epoch, run, b.Seq, Work{}, nil))
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

	if st, err := s.Stats(); err != nil || st.Dead != 1 || st.Rejected != 1 {
		t.Errorf("stats: got %d dead letters, %d of them refused (%v), want 1 and 1", st.Dead, st.Rejected, err)
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
	if st, err := s.Stats(); err != nil || st.Dead != 0 || st.Rejected != 0 {
		t.Errorf("stats: got %d dead letters, %d of them refused (%v), want none", st.Dead, st.Rejected, err)
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

// TestWorksAfterTheClockWasSetBack: a work that seems to be put off for longer than any is
// is read, and not when the clock has caught up.
func TestWorksAfterTheClockWasSetBack(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	at := time.Date(2024, 3, 5, 7, 11, 13, 170e6, time.UTC)
	run := deliveredRun(t, s, at, "malware--6ba7b810-9dad-41d1-80b4-00c04fd430c8", false)
	for _, c := range []struct {
		due  time.Duration
		want int
	}{{longestDue, 0}, {longestDue + time.Second, 1}, {400 * longestDue, 1}} {
		ok(t, s.SaveVerdict(at, WatchedWork{Run: run, ID: "work", Since: at, Due: at.Add(c.due)}, nil, false))
		due, next, _, err := s.WatchedWorks(at, 20)
		if err != nil || len(due) != c.want || next.IsZero() == (c.want == 0) {
			t.Errorf("put off for %v: %d are due, the next at %v (%v); want %d", c.due, len(due), next, err, c.want)
		}
	}
}

// TestVerdictAfterALaterCopy: the object was sent again before the verdict was read.
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

// TestRejectedIsCountedAnew: a file of a version that did not count what was refused.
func TestRejectedIsCountedAnew(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	at := time.Date(2024, 3, 5, 7, 11, 13, 170e6, time.UTC)
	const id = "malware--6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	run := deliveredRun(t, s, at, id, false)
	ok(t, s.SaveVerdict(at, WatchedWork{Run: run}, []DeadLetter{{Class: "rejected", Error: "no", STIX: id}, {Class: "rejected", Error: "no"}}, true))
	ok(t, s.update("forget the counter", frees(), func(t *txn) error {
		t.counters().Rejected = nil
		return nil
	}))
	_, err := s.Drop([]uint64{1}, nil, nil)
	ok(t, err)
	if st, err := s.Stats(); err != nil || st.Rejected != 1 {
		t.Errorf("got %d refused (%v), want 1 of 2 after one was dropped", st.Rejected, err)
	}
}

// TestRefusedIOC: the page of its time is asked for again, as a list of its own.
func TestRefusedIOC(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	at := time.Date(2024, 3, 5, 7, 11, 13, 170e6, time.UTC)
	modified := at.Add(-31 * 24 * time.Hour)
	const id, stranger = "indicator--6ba7b810-9dad-41d1-80b4-00c04fd430c8", "indicator--6ba7b810-9dad-41d1-80b4-00c04fd430c9"
	run := deliveredObject(t, s, at, BundleObject{STIX: id, Dataset: IOCs, JSON: []byte("{}")}, modified)
	ok(t, s.SaveVerdict(at, WatchedWork{Run: run}, []DeadLetter{{Class: "rejected", Error: "no", STIX: id}, {Class: "rejected", Error: "no", STIX: stranger}}, true))
	letters, err := s.DeadLetters(0, 10)
	ok(t, err)
	if letters[0].NoRetry != "" || letters[1].NoRetry == "" {
		t.Fatalf("got %q and %q, want that the first can be retried and a stranger cannot", letters[0].NoRetry, letters[1].NoRetry)
	}
	if _, err := s.Retry(epochOf(t, s), at, []uint64{letters[1].Key}, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("a retry of a stranger: got %v, want ErrInvalid", err)
	}
	retried, err := s.Retry(epochOf(t, s), at, []uint64{letters[0].Key}, nil)
	ok(t, err)
	task, err := s.Task(TaskKey{IOCs, TaskList, SpanOf(modified)})
	if err != nil || task.Run != retried.ID || !task.Since.Equal(modified) || !task.Anew || !IsSpan(task.TaskKey) {
		t.Errorf("got %+v (%v), want a list of run %d since %v", task, err, retried.ID, modified)
	}
	page := TaskKey{IOCs, TaskPage, SpanOf(modified) + "/g/indicator"}
	ok(t, s.SettleTasks(epochOf(t, s), at, []Outcome{{Task: task.TaskKey, Run: retried.ID, Add: []NewTask{{TaskKey: page, Since: modified}}}}))
	ok(t, s.FailDataset(epochOf(t, s), retried.ID, IOCs, DatasetFailed, "refused"))
	if _, err := s.Task(page); !errors.Is(err, ErrNotFound) {
		t.Errorf("its page stands there after the dataset failed: %v", err)
	}
	if problems, err := s.Verify(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("verify: %v %v", problems, err)
	}
}

// TestLargeObjectsAreRemembered: those whose ids a worker's refusal may lack.
func TestLargeObjectsAreRemembered(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c1"})
	at := time.Date(2024, 3, 5, 7, 11, 13, 170e6, time.UTC)
	for i, c := range []struct {
		text string
		want bool
	}{
		{strings.Repeat("a", 44_000), false}, {strings.Repeat("a", 50_000), true},
		{strings.Repeat("я", 7_000), false}, {strings.Repeat("я", 8_300), true},
		{strings.Repeat("漢", 8_300), true}, {strings.Repeat("😀", 4_200), true}, {strings.Repeat(",", 25_000), true},
	} {
		id := fmt.Sprint("report--", i)
		run := deliveredObject(t, s, at, BundleObject{STIX: id, Dataset: Alerts, Source: "7", JSON: []byte(`{"description":"` + c.text + `"}`)}, at)
		all, _, _, err := s.WatchedWorks(at, 100)
		ok(t, err)
		last := all[len(all)-1]
		if got := slices.Contains(last.Large, id); last.Run != run || got != c.want {
			t.Errorf("%d bytes of %.4s: remembered %v, want %v", len(c.text), c.text, got, c.want)
		}
	}
}

// TestDamagedWatchOfAWork: all that the run knows of its work is taken from it.
func TestDamagedWatchOfAWork(t *testing.T) {
	s := must(Open(t.Context(), Options{Dir: fastDir(t), ConnectorID: "c", noReserve: true}))
	defer func() { ok(t, s.Close()) }()
	large := BundleObject{STIX: "report--1", Dataset: Alerts, Source: "7", JSON: bytes.Repeat([]byte("a"), 50_000)}
	run := deliveredObject(t, s, t0, large, t0)
	whole, _, _, err := s.WatchedWorks(t0, 10)
	ok(t, err)
	ok(t, s.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bktRuns)).Put(numKey(pfxWork, run), []byte("damaged"))
	}))
	got, _, _, err := s.WatchedWorks(t0.Add(time.Hour), 10)
	ok(t, err)
	if !reflect.DeepEqual(got, whole) || len(got) != 1 || len(got[0].Large) != 1 {
		t.Errorf("got %+v, want %+v", got, whole)
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
