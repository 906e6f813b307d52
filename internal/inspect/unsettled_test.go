package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"threatmatch-connector/spool"
)

var testTime = time.Date(2026, 3, 7, 4, 13, 57, 0, time.UTC)

// troubledSpool has a run with a failing request, parked items and dead letters of
// two classes, one of them healed; and objects that refer to each other.
func troubledSpool(t *testing.T) *spool.Spool {
	t.Helper()
	s, err := spool.Open(t.Context(), spool.Options{Dir: t.TempDir(), ConnectorID: "c", Now: func() time.Time { return testTime }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	item := func(id string) spool.TaskKey {
		return spool.TaskKey{Dataset: spool.Reports, Kind: spool.TaskItem, Source: id}
	}
	spec := spool.RunSpec{Reason: spool.ReasonSchedule, Datasets: map[spool.Dataset]time.Time{spool.Reports: testTime}}
	for id := range 5 {
		spec.Tasks = append(spec.Tasks, spool.NewTask{TaskKey: item(fmt.Sprint(id))})
	}
	_, err = s.AdoptState(1, nil)
	run, rerr := s.StartRun(1, testTime, spec)
	if err := errors.Join(err, rerr); err != nil {
		t.Fatal(err)
	}
	failed := func(tries int, due time.Time, class string) *spool.TaskState {
		return &spool.TaskState{Tries: tries, Due: due, LastClass: class, FirstTry: testTime, LastError: "answered something"}
	}
	var dead []spool.DeadLetter
	for i := range 23 {
		dead = append(dead, spool.DeadLetter{Stage: spool.StageMap, Class: "invalid", Dataset: spool.Reports, Source: "9", STIX: fmt.Sprintf("malware--%d", i), Error: "no name", Payload: fmt.Append(nil, i)})
	}
	dead = append(dead, spool.DeadLetter{Stage: spool.StageMap, Class: "cycle", Dataset: spool.Reports, Source: "4", Payload: []byte("{}")})
	err = s.SettleTasks(1, testTime, []spool.Outcome{
		{Task: item("0"), Run: run.ID, Keep: &spool.TaskState{Waived: 3, Due: testTime.Add(time.Minute), LastClass: "server", FirstTry: testTime, LastError: "answered something"}},
		{Task: item("1"), Run: run.ID, Keep: failed(7, testTime.Add(time.Second), "server")},
		{Task: item("2"), Run: run.ID, Keep: failed(2, time.Time{}, "refused"), Park: true},
		{Task: item("3"), Run: run.ID, Record: &spool.NewRecord{Dataset: spool.Reports, Source: "3", Fetched: testTime, Body: []byte(
			`{"objects":[{"type":"report","id":"report--1","object_refs":["malware--x","tool--2"]},{"type":"relationship","id":"relationship--1","source_ref":"tool--2","target_ref":"report--1"}]}`)}},
	})
	held := spool.Object{STIX: "relationship--2", Watch: "tool--2", Dataset: spool.Reports, JSON: []byte(`{"id":"relationship--2","source_ref":"report--1","target_ref":"tool--2"}`)}
	err = errors.Join(err, s.CommitMap(1, testTime, spool.MapCommit{Run: run.ID, Dead: dead, Hold: []spool.Object{held}, Bundles: []spool.NewBundle{{Objects: []spool.BundleObject{
		{STIX: "sighting--1", JSON: []byte(`{"id":"sighting--1","sighting_of_ref":"report--1","note":"tool--2"}`)},
	}}}}))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUnsettled(t *testing.T) {
	u, err := FromSpool(troubledSpool(t)).Unsettled()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range u.Groups {
		got = append(got, fmt.Sprintf("%s %s %s: %d, %d tries, next %s, %d named, first %s", g.Kind, g.Class, g.Dataset, g.Count, g.Tries, g.Next.Format("05"), len(g.First), g.First[0].Key))
	}
	want := []string{
		"failing server reports: 2, 7 tries, next 58, 2 named, first reports/1",
		"parked refused reports: 1, 2 tries, next 00, 1 named, first reports/2",
		"dead invalid reports: 23, 0 tries, next 00, 20 named, first 1", "dead cycle reports: 1, 0 tries, next 00, 1 named, first 24",
	}
	if !slices.Equal(got, want) || u.Looked != 27 || u.All != 27 {
		t.Errorf("got %q, %d of %d, want %q, 27 of 27", got, u.Looked, u.All, want)
	}
	if of := u.Groups[2].First[0].Of; of != "malware--0" {
		t.Errorf("got a dead letter of %q, want malware--0", of)
	}
}

// TestReferencesBothWays: what an object refers to, and what refers to it, wherever
// that is; another property that contains the id does not count.
func TestReferencesBothWays(t *testing.T) {
	i := FromSpool(troubledSpool(t))
	for id, want := range map[string][2][]Reference{
		"report--1": {
			{{"object_refs", "malware--x"}, {"object_refs", "tool--2"}},
			{{"sighting_of_ref", "sighting--1"}, {"source_ref", "relationship--2"}, {"target_ref", "relationship--1"}},
		},
		"tool--2": {nil, {{"object_refs", "report--1"}, {"source_ref", "relationship--1"}, {"target_ref", "relationship--2"}}},
	} {
		f, err := i.Find(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if o := f.Objects[0]; !slices.Equal(o.RefersTo, want[0]) || !slices.Equal(o.ReferredBy, want[1]) {
			t.Errorf("%s: got references to %v and from %v, want %v and %v", id, o.RefersTo, o.ReferredBy, want[0], want[1])
		}
	}
}
