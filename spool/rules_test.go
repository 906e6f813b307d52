package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// begin starts a run over datasets whose windows begin at from.
func begin(t *testing.T, s *Spool, spec RunSpec, from time.Time, datasets ...Dataset) Run {
	t.Helper()
	spec.Datasets = map[Dataset]time.Time{}
	for _, d := range datasets {
		spec.Datasets[d] = from
	}
	if spec.Reason == "" {
		spec.Reason = ReasonSchedule
	}
	return must(s.StartRun(1, t0, spec))
}

// finish ends a run that has nothing left.
func finish(t *testing.T, s *Spool, run Run) {
	t.Helper()
	ok(t, s.FinishFetch(1, run.ID, t0))
	ok(t, s.FinishMap(1, run.ID, t0))
	ok(t, s.FinishRun(1, run.ID, t0))
}

// A run that is done before an older one of its dataset does not move the confirmed watermark past the older one.
func TestConfirmedWaitsForOlderRuns(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	first := begin(t, s, RunSpec{Start: t0.Add(1 * time.Hour)}, t0, Alerts, IOCs)
	second := begin(t, s, RunSpec{Start: t0.Add(2 * time.Hour)}, t0, Alerts, Reports)
	third := begin(t, s, RunSpec{Start: t0.Add(3 * time.Hour), Reason: ReasonRepull}, t0, Reports)
	finish(t, s, second)
	w := must(s.Watermarks())
	if !w[Alerts].Confirmed.IsZero() || !w[Alerts].Fetched.Equal(second.Start) {
		t.Fatalf("alerts %+v while run %d is open", w[Alerts], first.ID)
	}
	if !w[Reports].Confirmed.Equal(second.Start) {
		t.Fatalf("reports %+v: a repull holds nothing back", w[Reports])
	}
	finish(t, s, first)
	w = must(s.Watermarks())
	if !w[Alerts].Confirmed.Equal(second.Start) || !w[IOCs].Confirmed.Equal(first.Start) {
		t.Fatalf("all done: %+v", w)
	}
	finish(t, s, third)
	if again := must(s.Watermarks()); !again[Reports].Confirmed.Equal(second.Start) || !again[Reports].Fetched.Equal(second.Start) {
		t.Fatalf("a repull moved the watermark: %+v", again)
	}
}

// A parked item holds its dataset back until it has arrived and what arrived is confirmed, or until it becomes a dead
// letter.
func TestParkedHoldsBack(t *testing.T) {
	for _, arrives := range []bool{true, false} {
		s := mustOpen(t, Options{ConnectorID: "c"})
		held := func() time.Time { return must(s.Watermarks())[Alerts].Held }
		first := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: item(Alerts, 1)}}}, t0.Add(-time.Hour), Alerts)
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 1), Run: first.ID, Keep: &TaskState{Tries: 10, Runs: 1}, Park: true}}))
		finish(t, s, first)
		if !held().Equal(t0.Add(-time.Hour)) {
			t.Fatalf("parked, but held is %v", held())
		}
		second := begin(t, s, RunSpec{Parked: true}, t0, Alerts)
		task := must(s.Task(item(Alerts, 1)))
		if task.Run != second.ID || task.Tries != 0 || task.Runs != 1 || !task.Parked.IsZero() {
			t.Fatalf("taken in as %+v", task)
		}
		if !held().Equal(t0.Add(-time.Hour)) {
			t.Fatalf("tried again, but held is %v", held())
		}
		o := Outcome{Task: item(Alerts, 1), Run: second.ID, Dead: &DeadLetter{Class: "refused"}}
		if arrives {
			o.Dead, o.Record = nil, &NewRecord{Dataset: Alerts, Source: "1", Body: []byte("{}")}
		}
		ok(t, s.SettleTasks(1, t0, []Outcome{o}))
		if held().IsZero() != !arrives {
			t.Fatalf("arrives %v, but held is %v", arrives, held())
		}
		if arrives {
			ok(t, s.CommitMap(1, t0, MapCommit{Run: second.ID, Records: []uint64{1}}))
		}
		finish(t, s, second)
		if !held().IsZero() {
			t.Fatalf("confirmed, but held is %v", held())
		}
	}
}

// last_run is held back by the oldest of what was parked, whether it is still asked for or has arrived, in any order.
func TestOldestHoldsBack(t *testing.T) {
	s := newSpool(t)
	from := []time.Time{t0.Add(-time.Hour), t0.Add(-3 * time.Hour), t0.Add(-2 * time.Hour)}
	for n, at := range from {
		r := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: item(Alerts, n)}}}, at, Alerts)
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, n), Run: r.ID, Keep: &TaskState{Runs: 1}, Park: true}}))
		finish(t, s, r)
	}
	run := begin(t, s, RunSpec{Parked: true}, t0, Alerts)
	for n := range from {
		rec := &NewRecord{Dataset: Alerts, Source: fmt.Sprint(n), Body: bodyOf(n)}
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, n), Run: run.ID, Record: rec}}))
		if got := must(s.Watermarks())[Alerts].Held; !got.Equal(from[1]) {
			t.Errorf("item %d arrived: held at %v, want %v", n, got, from[1])
		}
	}
}

// A dataset that fails in one run keeps its requests in another.
func TestFailedDatasetOfOneRun(t *testing.T) {
	s := newSpool(t)
	page, other := TaskKey{IOCs, TaskPage, "1/indicator"}, TaskKey{IOCs, TaskPage, "2/indicator"}
	first := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: page}}}, t0, IOCs)
	second := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: other}}}, t0, IOCs)
	ok(t, s.FailDataset(1, second.ID, IOCs, DatasetFailed, "down"))
	if in := [2]uint64{must(s.Task(page)).Run, must(s.Task(other)).Run}; in != [2]uint64{first.ID, 0} {
		t.Errorf("the pages are in runs %v, want %d and none", in, first.ID)
	}
}

// A dataset that was switched off takes in no more of its parked items, where an earlier step left some.
func TestSwitchedOffTakesNothingIn(t *testing.T) {
	s := newSpool(t)
	first := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: item(Alerts, 1)}}}, t0, Alerts)
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 1), Run: first.ID, Keep: &TaskState{Runs: 1}, Park: true}}))
	run := begin(t, s, RunSpec{}, t0, Alerts)
	ok(t, s.changeRun("leave a step", frees(), 1, run.ID, func(_ *txn, r *storedRun) error {
		r.TakeIn = map[Dataset]seqs{Alerts: {Through: 10}}
		return nil
	}))
	must(s.DropDataset(1, Alerts))
	ok(t, s.FinishFetch(1, run.ID, t0))
	if got := must(s.Task(item(Alerts, 1))); got.Parked.IsZero() {
		t.Errorf("the item is in run %d, want it parked", got.Run)
	}
}

// A failed dataset's page keeps its cursor for the next run, and starts over if that run's window begins earlier.
func TestPagesGoOn(t *testing.T) {
	page := TaskKey{IOCs, TaskPage, "1/indicator"}
	for _, c := range []struct {
		from time.Time
		want string
	}{{t0, "far"}, {t0.Add(-time.Minute), "new"}} {
		s := mustOpen(t, Options{ConnectorID: "c"})
		first := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: page, Cursor: []byte("start")}}}, t0, IOCs)
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: page, Run: first.ID, Keep: &TaskState{Cursor: []byte("far"), Tries: 4}}}))
		ok(t, s.FailDataset(1, first.ID, IOCs, DatasetFailed, "down"))
		if w := must(s.Watermarks()); !w[IOCs].Held.IsZero() {
			t.Error("a page holds last_run back")
		}
		finish(t, s, first)
		if w := must(s.Watermarks()); !w[IOCs].Fetched.IsZero() {
			t.Errorf("the watermark of a failed dataset moved: %+v", w[IOCs])
		}
		second := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: page, Cursor: []byte("new")}}}, c.from, IOCs)
		if task := must(s.Task(page)); task.Run != second.ID || string(task.Cursor) != c.want || task.Tries != 0 {
			t.Errorf("from %v: %+v", c.from, task)
		}
	}
}

// An outcome for a task of another run, or one that is settled already, is ignored completely.
func TestStaleOutcome(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	run := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: item(Alerts, 1)}}}, t0, Alerts)
	o := Outcome{Task: item(Alerts, 1), Run: run.ID, Record: &NewRecord{Dataset: Alerts, Source: "1"}, Count: map[string]int64{"n": 1}}
	ok(t, s.SettleTasks(1, t0, []Outcome{o, o}))
	o.Run++
	ok(t, s.SettleTasks(1, t0, []Outcome{o}))
	st := must(s.Stats())
	if got := must(s.Run(run.ID)); st.Records != 1 || got.Counters["n"] != 1 {
		t.Fatalf("%d records, counters %v", st.Records, got.Counters)
	}
}

// Each dead letter goes back to its stage. If one cannot, the retry is refused and nothing goes back.
func TestRetryGoesBackToTheStage(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	run := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: item(Alerts, 1)}, {TaskKey: item(Alerts, 2)}}}, t0, Alerts)
	gap := &DeadLetter{Class: "gap", Dataset: IOCs, Source: "1/indicator"}
	ok(t, s.SettleTasks(1, t0, []Outcome{
		{Task: item(Alerts, 1), Run: run.ID, Dead: &DeadLetter{Class: "refused"}, Note: gap},
		{Task: item(Alerts, 2), Run: run.ID, Keep: &TaskState{Runs: 3}, Park: true},
	}))
	answer := `{"objects":[{"type":"x"}],"more":false}`
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Dead: []DeadLetter{
		{Class: "invalid", Dataset: Alerts, Source: "3", STIX: stixOf(3), Payload: []byte(`{"id":"3"}`)},
		{Class: "panic", Dataset: Alerts, Source: "4", Payload: []byte(answer)},
		{Class: "invalid", Dataset: Alerts, Source: "5", Payload: []byte("no json")},
	}}))
	if _, err := s.Retry(1, t0, []uint64{1, 2}, nil); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "dead letter 2") {
		t.Fatalf("a gap was taken back: %v", err)
	}
	if _, err := s.Retry(1, t0, nil, nil); !errors.Is(err, ErrInvalid) {
		t.Fatalf("a retry of nothing: %v", err)
	}
	if open := must(s.OpenRuns()); len(open) != 1 {
		t.Fatalf("the refused retry left %d runs", len(open))
	}
	kept := must(s.Retry(1, t0, []uint64{1, 3, 4, 5}, []TaskKey{item(Alerts, 2)}))
	if kept.Reason != ReasonRetry || kept.Datasets[Alerts].Status != DatasetOK || !kept.FetchedAt.Equal(t0) {
		t.Fatalf("%+v, want a run that has nothing to fetch", kept)
	}
	if _, more, err := s.StartQueued(1, t0, true, 0); err != nil || more {
		t.Fatalf("another run of what is in the spool: %v, %v", more, err)
	}
	retry, _, err := s.StartQueued(1, t0, false, 0)
	if err != nil || retry.Reason != ReasonRetry || retry.Datasets[Alerts].Status != DatasetListed || !retry.FetchedAt.IsZero() {
		t.Fatalf("%+v, %v; want a run that fetches", retry, err)
	}
	if open := must(s.OpenTasks(retry.ID)); open[Alerts][TaskItem] != 2 {
		t.Fatalf("tasks %v", open)
	}
	var bodies []string
	for _, r := range must(s.Records(kept.ID, 0, 9, 1<<20)) {
		bodies = append(bodies, string(r.Body))
	}
	if want := `{"objects":[{"id":"3"}]}|` + answer + `|no json`; strings.Join(bodies, "|") != want {
		t.Fatalf("records %q", bodies)
	}
	letters := must(s.DeadLetters(0, 9))
	for i, healed := range []bool{false, false, true, true, true} {
		if l := letters[i]; l.Healed.IsZero() == healed || l.RetryRun != []uint64{retry.ID, 0, kept.ID, kept.ID, kept.ID}[i] {
			t.Errorf("dead letter %d: healed %v, retried in run %d", l.Key, l.Healed, l.RetryRun)
		}
	}
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 1), Run: retry.ID, Record: &NewRecord{Dataset: Alerts, Source: "1"}}}))
	if l := must(s.DeadLetters(0, 1))[0]; l.Healed.IsZero() {
		t.Error("its record came, but the dead letter is not healed")
	}
}

// A dead letter and a parked item of the same source id may be named together.
func TestRetryOfBoth(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	run := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: item(Alerts, 1)}}}, t0, Alerts)
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 1), Run: run.ID, Keep: &TaskState{}, Park: true, Note: &DeadLetter{Class: "x"}}}))
	retry := must(s.Retry(1, t0, []uint64{1}, []TaskKey{item(Alerts, 1)}))
	if open := must(s.OpenTasks(retry.ID)); open[Alerts][TaskItem] != 1 {
		t.Fatalf("tasks %v", open)
	}
}

// A message that is given up removes its own entry from ids, not that of a later copy, nor what the platform is known
// to have.
func TestSkippedMessageIsUnknown(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	run := begin(t, s, RunSpec{}, t0, Alerts)
	var b NewBundle
	var puts []IDPut
	for n, of := range []uint64{run.ID, run.ID + 1, 0} {
		b.Objects = append(b.Objects, BundleObject{STIX: stixOf(n), Dataset: Alerts, Source: "s", JSON: bodyOf(n)})
		puts = append(puts, IDPut{STIX: stixOf(n), ID: ID{Run: of}})
	}
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Bundles: []NewBundle{b}, IDs: puts}))
	for n := range 3 {
		ok(t, s.SkipMessage(1, run.ID, 1, 2-n, DeadLetter{Class: "too_large", Error: "406"}))
		ok(t, s.SkipMessage(1, run.ID, 1, 2-n, DeadLetter{Class: "too_large", Error: "406"}))
	}
	known := must(s.LookupIDs([]string{stixOf(0), stixOf(1), stixOf(2)}))
	if _, own := known[stixOf(0)]; own || len(known) != 2 {
		t.Fatalf("known: %v", known)
	}
	letters := must(s.DeadLetters(0, 9))
	if len(letters) != 3 || letters[2].STIX != stixOf(0) || string(letters[2].Payload) != string(bodyOf(0)) || letters[2].Dataset != Alerts {
		t.Fatalf("%d dead letters: %+v", len(letters), letters)
	}
	if b := must(s.NextBundle()); b.Confirmed != 3 {
		t.Fatalf("the cursor is at %d, want 3", b.Confirmed)
	}
	ok(t, s.EndBundle(1, run.ID, 1, Work{}, nil))
}

// A forgotten run's entries are unknown at once, however many, and stay so; what is published again is known.
func TestForgetRun(t *testing.T) {
	s := mustOpen(t, Options{Dir: fastDir(t), ConnectorID: "c"})
	run, other := begin(t, s, RunSpec{}, t0, Alerts), begin(t, s, RunSpec{}, t0, Alerts)
	const n = 100
	c := MapCommit{Run: run.ID}
	for i := range n {
		c.IDs = append(c.IDs, IDPut{STIX: stixOf(i), ID: ID{Run: run.ID, At: t0}})
	}
	ok(t, s.CommitMap(1, t0, c))
	ok(t, s.ForgetRun(1, run.ID))
	ok(t, s.CommitMap(1, t0, MapCommit{Run: other.ID, IDs: []IDPut{{STIX: stixOf(n), ID: ID{Run: other.ID, At: t0.Add(time.Hour)}}}}))
	if known := must(s.LookupIDs([]string{stixOf(0), stixOf(n - 1), stixOf(n)})); len(known) != 1 {
		t.Fatalf("known: %v, want the other run's only", known)
	}
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, IDs: []IDPut{{STIX: stixOf(7), ID: ID{Run: run.ID, At: t0.Add(time.Hour)}}}}))
	if known := must(s.LookupIDs([]string{stixOf(7)})); len(known) != 1 {
		t.Fatal("what was published again is not known")
	}
	must(s.Prune(t0, t0.Add(time.Minute)))
	must(s.Prune(t0, t0.Add(time.Minute)))
	if st, marks := must(s.Stats()), rows(t, s, bktIDs, subForgotten); st.IDs != 2 || marks != 0 {
		t.Fatalf("%d entries and %d marks are left, want 2 and 0", st.IDs, marks)
	}
}

// rows counts the rows of a bucket.
func rows(t *testing.T, s *Spool, names ...string) (n int) {
	ok(t, s.view("count", func(tx *txn) error {
		b := tx.tx.Bucket([]byte(names[0]))
		for _, name := range names[1:] {
			b = b.Bucket([]byte(name))
		}
		return b.ForEach(func(_, _ []byte) error { n++; return nil })
	}))
	return n
}

// ids not seen for long are removed, the others stay.
func TestPruneForgotten(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	run := begin(t, s, RunSpec{}, t0, Alerts)
	for i := range 10 {
		at := t0.Add(time.Duration(i) * time.Hour)
		ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, IDs: []IDPut{{STIX: stixOf(i), ID: ID{Run: run.ID, At: at}}}}))
	}
	// Seen again, so it is not old any more.
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, IDs: []IDPut{{STIX: stixOf(0), ID: ID{Run: run.ID, At: t0.Add(9 * time.Hour)}}}}))
	got := must(s.Prune(t0, t0.Add(5*time.Hour)))
	if got[PrunedForgotten] != 4 {
		t.Fatalf("got %v, want four ids forgotten", got)
	}
	if known := must(s.LookupIDs([]string{stixOf(0), stixOf(1), stixOf(4), stixOf(5)})); len(known) != 2 {
		t.Fatalf("known: %v", known)
	}
}

// At most a thousand runs are remembered; open ones are never forgotten.
func TestOldRunsAreForgotten(t *testing.T) {
	s := mustOpen(t, Options{Dir: fastDir(t), ConnectorID: "c"})
	first := begin(t, s, RunSpec{}, t0, Alerts)
	ok(t, s.update("many runs", frees(), func(t *txn) error {
		for range maxRuns + 5 {
			r, err := t.runs().add(t0, RunSpec{Reason: ReasonOnce})
			if err != nil {
				return err
			}
			r.FetchedAt, r.MappedAt, r.DoneAt = t0, t0, t0
			t.runs().del(numKey(pfxOpen, r.ID))
		}
		return nil
	}))
	last := begin(t, s, RunSpec{}, t0, Alerts)
	finish(t, s, last)
	runs := must(s.Runs(0, 2000))
	if len(runs) != maxRuns || runs[0].ID != last.ID || runs[len(runs)-1].ID != first.ID {
		t.Fatalf("%d runs from %d to %d", len(runs), runs[0].ID, runs[len(runs)-1].ID)
	}
}

// What the spool cannot hold is refused completely.
func TestRefused(t *testing.T) {
	s := mustOpen(t, Options{ConnectorID: "c"})
	run := begin(t, s, RunSpec{Tasks: []NewTask{{TaskKey: item(Alerts, 1)}}}, t0, Alerts)
	before := must(digest(t.Context(), s.db))
	long := strings.Repeat("x", MaxID+1)
	commit := func(c MapCommit) error { c.Run = run.ID; return s.CommitMap(1, t0, c) }
	settle := func(o Outcome) error {
		o.Task, o.Run = item(Alerts, 1), run.ID
		return s.SettleTasks(1, t0, []Outcome{o})
	}
	_, startErr := s.StartRun(1, t0, RunSpec{Tasks: []NewTask{{TaskKey: TaskKey{Kind: TaskItem}}}})
	for name, err := range map[string]error{
		"a bundle without objects":     commit(MapCommit{Bundles: []NewBundle{{}}}),
		"an id that is too long":       commit(MapCommit{IDs: []IDPut{{STIX: long}}}),
		"a waiting object's long id":   commit(MapCommit{Wait: []Object{{STIX: long}}}),
		"a held object without an id":  commit(MapCommit{Hold: []Object{{Watch: "x"}}}),
		"a long id that is waited for": commit(MapCommit{Wait: []Object{{STIX: "x", Watch: long}}}),
		"a long source id of a task":   settle(Outcome{Add: []NewTask{{TaskKey: TaskKey{Alerts, TaskItem, long}}}}),
		"a long source id of a record": settle(Outcome{Record: &NewRecord{Dataset: Alerts, Source: long}}),
		"a task without a dataset":     startErr,
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"a run":    s.Count(1, 99, nil),
		"a record": commit(MapCommit{Records: []uint64{99}}),
		"a bundle": s.SaveCursor(1, run.ID, 99, 1),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s that is not there: %v", name, err)
		}
	}
	if after := must(digest(t.Context(), s.db)); after != before {
		t.Error("something was changed")
	}
	// A dead letter may have any source id: nothing of it may be lost.
	ok(t, commit(MapCommit{Dead: []DeadLetter{{Class: "x", Dataset: Alerts, Source: long, STIX: long}}}))
	if d := must(s.DeadLetters(0, 1))[0]; d.Source != long || d.STIX != long {
		t.Error("a dead letter lost its source id")
	}
}

// camel finds names in Go's style in JSON.
var camel = regexp.MustCompile(`"[A-Z][A-Za-z]*":`)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	return string(must(json.Marshal(v)))
}

// Listings are stable JSON, each row can be shown by its key, and paging with the last key sees every row once.
func TestListAndShow(t *testing.T) {
	o := putFile(t, filled(t))
	s := must(Open(t.Context(), Options{Dir: o.Dir, ReadOnly: true}))
	defer func() { ok(t, s.Close()) }()
	for _, bucket := range Buckets() {
		all := must(s.List(bucket, "", 1<<20))
		if len(all) == 0 && bucket != bktCursors && bucket != bktGone {
			t.Errorf("%s is empty, so this shows nothing", bucket)
		}
		var paged []string
		for after := ""; ; {
			page := must(s.List(bucket, after, 3))
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				paged = append(paged, e.Key)
			}
			after = page[len(page)-1].Key
		}
		for i, e := range all {
			if i >= len(paged) || paged[i] != e.Key {
				t.Fatalf("%s: paging gives %d rows, listing %d", bucket, len(paged), len(all))
			}
			if e.Fields["error_reading"] != nil {
				t.Errorf("%s %s: %v", bucket, e.Key, e.Fields)
			}
			if name := camel.FindString(asJSON(t, e.Fields)); name != "" {
				t.Errorf("%s %s: a field is named %s", bucket, e.Key, name)
			}
			shown, _, err := s.Show(bucket, e.Key)
			if err != nil || asJSON(t, shown) != asJSON(t, e) {
				t.Errorf("%s %s: shown as %v, %v", bucket, e.Key, shown, err)
			}
		}
	}
	if _, err := s.List("nothing", "", 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("a bucket that is not there: %v", err)
	}
	if _, _, err := s.Show(bktRuns, "x"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a key that is none: %v", err)
	}
	if _, _, err := s.Show(bktRuns, "99999"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a run that is not there: %v", err)
	}
}

// An item that is asked for twice before it is fetched is requested from ThreatMatch once.
func TestRetryAskedTwice(t *testing.T) {
	s := newSpool(t)
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Tasks: []NewTask{{TaskKey: item(Alerts, 1)}}}))
	ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, 1), Run: run.ID, Dead: &DeadLetter{Class: "refused", Dataset: Alerts, Source: "1"}}}))
	ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Dead: []DeadLetter{{Class: "element", Dataset: Alerts, Source: "2", Payload: bodyOf(2)}}}))
	var keys []uint64
	for _, d := range must(s.DeadLetters(0, 10)) {
		keys = append(keys, d.Key)
	}
	if len(keys) != 2 {
		t.Fatalf("%d letters, want 2", len(keys))
	}
	must(s.Retry(1, t0, keys, nil))
	must(s.Retry(1, t0, keys, nil))
	for {
		if _, found, err := s.StartQueued(1, t0, false, 0); err != nil || !found {
			ok(t, err)
			break
		}
	}
	asked := 0
	for _, r := range must(s.OpenRuns()) {
		due, _, err := s.ReadyTasks(r.ID, t0, 10, func(TaskKey) bool { return false })
		ok(t, err)
		asked += len(due)
	}
	if asked != 1 {
		t.Errorf("the item is to be asked for %d times, want once", asked)
	}
}
