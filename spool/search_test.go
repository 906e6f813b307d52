package spool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func stixID(kind string, n int) string {
	return fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", kind, n)
}

// searched is a spool whose run has a record, a bundle with one of four messages confirmed and one given up, a
// waiting and a held object, and a dead letter.
func searched(t *testing.T) *Spool {
	t.Helper()
	s := mustOpen(t, Options{KeepRecords: 1 << 40})
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule, Tasks: []NewTask{
		{TaskKey: item(Alerts, 1)}, {TaskKey: item(Alerts, 2)},
	}}))
	for n := 1; n <= 2; n++ {
		body := fmt.Sprintf(`{"objects":[{"type":"malware","id": %q,"ref":%q,"name":"Agent %d","aliases":["Alias %d"]},{"name":7}]}`, stixID("malware", n), stixID("tool", 7), n, n)
		ok(t, s.SettleTasks(1, t0, []Outcome{{Task: item(Alerts, n), Run: run.ID, Record: &NewRecord{
			Dataset: Alerts, Source: fmt.Sprint(n), Fetched: t0, Body: []byte(body),
		}}}))
	}
	var b NewBundle
	for n := 1; n <= 4; n++ {
		id := stixID("malware", n)
		b.Objects = append(b.Objects, BundleObject{STIX: id, Dataset: Alerts, Source: "1", JSON: []byte(`{"id":"` + id + `","name":"Agent ` + fmt.Sprint(n) + `"}`)})
	}
	object := func(kind string) Object {
		id := stixID(kind, 1)
		return Object{STIX: id, Watch: stixID("tool", 9), Dataset: Alerts, Source: "1", JSON: []byte(`{"id":"` + id + `"}`)}
	}
	ok(t, s.CommitMap(1, t0, MapCommit{
		Run: run.ID, Records: []uint64{1}, Bundles: []NewBundle{b},
		IDs:  []IDPut{{STIX: stixID("malware", 1), ID: ID{Run: run.ID, At: t0, Kind: "malware"}}},
		Wait: []Object{object("relationship")}, Hold: []Object{object("sighting")},
		Dead: []DeadLetter{{Stage: StageMap, Class: "invalid", Run: run.ID, Dataset: Alerts, Source: "1", STIX: stixID("note", 1), Payload: []byte(`{}`)}},
	}))
	ok(t, s.SaveCursor(1, run.ID, 1, 1))
	ok(t, s.SkipMessage(1, run.ID, 1, 2, DeadLetter{Class: "too_large"}))
	return s
}

// all repeats a search with the least budget until its end.
func all(t *testing.T, s *Spool, bucket string, q Query) []Hit {
	t.Helper()
	var hits []Hit
	for after, calls := "", 0; ; calls++ {
		found, next, err := s.Search(bucket, q, after, 1)
		ok(t, err)
		hits = append(hits, found...)
		if next == "" || calls > 100 {
			return hits
		}
		after = next
	}
}

func TestSearchFindsByIDAndSource(t *testing.T) {
	s := searched(t)
	tests := []struct {
		bucket string
		q      Query
		want   string // the keys
	}{
		{"records", Query{STIX: stixID("malware", 2)}, "1/2"},
		{"records", Query{STIX: stixID("tool", 7)}, "1/2 refers"},
		{"records", Query{Source: "2"}, "1/2"},
		{"records", Query{Source: "2", Dataset: Profiles}, ""},
		{"kept", Query{STIX: stixID("malware", 1)}, "1767323045000/1/1"},
		{"bundles", Query{STIX: stixID("malware", 2)}, "1/1#1"},
		{"bundles", Query{Source: "1", Dataset: Alerts}, "1/1#0 1/1#1 1/1#2 1/1#3"},
		{"waiting", Query{STIX: stixID("relationship", 1)}, "1/1"},
		{"waiting", Query{Source: "1"}, "1/1"},
		{"held", Query{STIX: stixID("sighting", 1)}, "1"},
		{"dead", Query{STIX: stixID("malware", 3)}, "2"},
		{"dead", Query{Source: "1"}, "1 2"},
		{"dead", Query{Source: "nosuch"}, ""},
		{"records", Query{Name: "agent 2"}, "1/2"},
		{"records", Query{Name: "ALIAS 2"}, "1/2"},
		{"records", Query{Name: "Agent"}, ""},
		{"bundles", Query{Name: "Agent 3"}, "1/1#2"},
	}
	for _, tt := range tests {
		var keys []string
		for _, h := range all(t, s, tt.bucket, tt.q) {
			if tt.bucket == "bundles" {
				h.Key += fmt.Sprintf("#%d", h.Index)
			}
			if h.Refers {
				h.Key += " refers"
			}
			keys = append(keys, h.Key)
		}
		if got := strings.Join(keys, " "); got != tt.want {
			t.Errorf("%s %+v: %q, want %q", tt.bucket, tt.q, got, tt.want)
		}
	}
	hits := all(t, s, "bundles", Query{Source: "1"})
	if !hits[0].Confirmed || hits[1].Confirmed || !hits[2].Skipped || hits[2].Confirmed || hits[3].Skipped {
		t.Errorf("places %+v", hits)
	}
	if d := all(t, s, "dead", Query{STIX: stixID("malware", 3)})[0]; d.Dead == nil || d.Dead.Stage == "" || d.Dead.Class == "" || d.Source != "1" {
		t.Errorf("got dead letter %+v, want it with stage, class and source 1", d)
	}
	if r := all(t, s, "records", Query{Source: "2"})[0]; r.Dataset != Alerts || r.Source != "2" || r.Fetched.IsZero() {
		t.Errorf("got record %+v, want alerts/2 and when it was fetched", r)
	}
	if _, _, err := s.Search("ids", Query{STIX: "x"}, "", 1); err == nil {
		t.Error("a bucket that cannot be searched")
	}
}

func TestTraceReadsTheIndices(t *testing.T) {
	s := searched(t)
	if tr := must(s.Trace(stixID("malware", 1))); tr.Known == nil || tr.Known.Run != 1 || tr.Forgotten || tr.Held != nil || len(tr.Waiting) > 0 {
		t.Errorf("known: %+v", tr)
	}
	if tr := must(s.Trace(stixID("relationship", 1))); tr.Known != nil || len(tr.Waiting) != 1 || tr.Waiting[0].Run != 1 {
		t.Errorf("waiting: %+v", tr)
	}
	if tr := must(s.Trace(stixID("sighting", 1))); tr.Held == nil || tr.Held.Watch != stixID("tool", 9) {
		t.Errorf("held: %+v", tr)
	}
	if tr := must(s.Trace(stixID("tool", 1))); tr.Known != nil || tr.Held != nil || len(tr.Waiting) > 0 {
		t.Errorf("unknown: %+v", tr)
	}
}

// Whatever the budget, an export gives everything that is not confirmed, once.
func TestExportGivesWhatIsHeldBackOnce(t *testing.T) {
	s := searched(t)
	want := map[string][]string{
		"records": {"1/2"},
		"waiting": {stixID("relationship", 1)}, "held": {stixID("sighting", 1)},
		"bundles": {stixID("malware", 2), stixID("malware", 4)},
		"dead":    {stixID("note", 1), stixID("malware", 3)},
	}
	for _, bucket := range Exportable() {
		for _, budget := range []int64{0, 1, 60, 1 << 20} {
			var got []string
			for after := ""; ; {
				out, next, err := s.Export(bucket, after, max(budget, 1))
				ok(t, err)
				for _, x := range out {
					if x.Error != "" || len(x.Body) == 0 {
						t.Errorf("%s: %+v", bucket, x)
					}
					if bucket == "records" {
						x.STIX = x.Key
					}
					got = append(got, x.STIX)
				}
				if next == "" {
					break
				}
				after = next
			}
			if !slices.Equal(got, want[bucket]) {
				t.Errorf("%s with budget %d: %v, want %v", bucket, budget, got, want[bucket])
			}
		}
	}
	if _, _, err := s.Export("ids", "", 1); err == nil {
		t.Error("a bucket that cannot be exported")
	}
}

// A listing of large entries is limited by bytes and can be continued.
func TestListGoesOnBehindLargeEntries(t *testing.T) {
	s := mustOpen(t, Options{})
	run := must(s.StartRun(1, t0, RunSpec{Reason: ReasonSchedule}))
	body := make([]byte, listBudget/2)
	_, _ = rand.NewChaCha8([32]byte{}).Read(body) // does not compress
	for i := range 5 {
		body[0] = byte(i)
		ok(t, s.CommitMap(1, t0, MapCommit{Run: run.ID, Dead: []DeadLetter{{Stage: StageMap, Payload: body}}}))
	}
	var keys []string
	for after := ""; ; {
		page := must(s.List("dead", after, 10))
		if len(page) == 0 {
			break
		}
		if len(page) > 2 {
			t.Errorf("a page of %d entries", len(page))
		}
		for _, e := range page {
			keys = append(keys, e.Key)
		}
		after = keys[len(keys)-1]
	}
	if got := strings.Join(keys, " "); got != "1 2 3 4 5" {
		t.Errorf("keys %s", got)
	}
}
