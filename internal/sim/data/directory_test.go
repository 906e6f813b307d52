package data

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const bundle = `{"type":"bundle","id":"bundle--1","objects":[
{"type":"threat-actor","id":"threat-actor--1","name":"A","created":"2020-01-01T00:00:00Z","modified":"2020-01-01T00:00:00Z","created_by_ref":"identity--1"},
{"type":"identity","id":"identity--1","name":"I","created":"2020-01-01T00:00:00Z","modified":"2020-01-01T00:00:00Z"},
{"type":"malware","id":"malware--1","name":"M","created":"2020-01-02T00:00:00Z","modified":"2020-01-02T00:00:00Z"},
{"type":"relationship","id":"relationship--1","relationship_type":"uses","source_ref":"threat-actor--1","target_ref":"malware--1","created":"2020-01-01T00:00:00Z","modified":"2020-01-01T00:00:00Z"},
{"type":"relationship","id":"relationship--2","relationship_type":"targets","source_ref":"campaign--1","target_ref":"vulnerability--1","created":"2020-01-01T00:00:00Z","modified":"2020-01-01T00:00:00Z"},
{"type":"relationship","id":"relationship--3","relationship_type":"uses","source_ref":"campaign--1","target_ref":"malware--1","created":"2020-01-01T00:00:00Z","modified":"2020-01-01T00:00:00Z"},
{"type":"relationship","id":"relationship--4","relationship_type":"uses","source_ref":"malware--1","target_ref":"tool--404","created":"2020-01-01T00:00:00Z","modified":"2020-01-01T00:00:00Z"},
{"type":"campaign","id":"campaign--1","name":"C","created":"2020-01-01T00:00:00Z","modified":"2020-01-01T00:00:00Z"},
{"type":"vulnerability","id":"vulnerability--1","name":"V","created":"2020-01-01T00:00:00Z","modified":"2020-01-01T00:00:00Z"},
{"type":"course-of-action","id":"course-of-action--1","name":"alone","created":"2020-01-01T00:00:00Z","modified":"2020-01-01T00:00:00Z"},
{"type":"report","id":"report--1","name":"R","object_refs":["malware--1"],"created":"2020-01-03T00:00:00Z","modified":"2020-01-03T00:00:00Z"},
{"type":"indicator","id":"indicator--1","name":"old","pattern":"x","created":"2019-01-01T00:00:00Z","modified":"2019-01-01T00:00:00Z"},
{"type":"indicator","id":"indicator--1","name":"new","pattern":"x","created":"2019-01-01T00:00:00Z","modified":"2019-01-02T00:00:00Z"}
]}`

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadDirectory(dir); err == nil {
		t.Error("an empty directory is accepted")
	}
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(bundle), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := LoadDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[Dataset]int{Profiles: 2, Alerts: 1, Reports: 1, IOCs: 1}
	served := map[string]bool{}
	for ds, n := range want {
		if d.Count(ds) != n {
			t.Errorf("%d %s, want %d", d.Count(ds), ds, n)
		}
		for e := range d.Entries(ds) {
			objects, _ := d.Item(ds, e.ID)
			for _, raw := range objects {
				var o stixObject
				_ = json.Unmarshal(raw, &o) // was decoded before
				served[o.ID] = true
			}
		}
	}
	seq := d.Objects("indicator")
	if seq.Len() != 1 || seq.Time(0).Day() != 2 {
		t.Errorf("indicator of %v", seq.Time(0))
	}
	if len(served) != 11 {
		t.Errorf("served %v, want all but the indicator", slices.Sorted(maps.Keys(served)))
	}
	expected := Expected(d, All...)
	if _, ok := expected["relationship--4"]; ok || len(expected) != 11 {
		t.Errorf("expected %v", slices.Sorted(maps.Keys(expected)))
	}
}

// TestDirectoryWithOddTimes: whatever the times look like, everything is served
// and there is a date to import from.
func TestDirectoryWithOddTimes(t *testing.T) {
	for name, c := range map[string]struct {
		actor, address string
		earliest       string
	}{
		"epoch":        {`,"created":1772348889,"modified":1772348889`, `,"modified":"soon"`, "2026-03-01T07:08:09.000Z"},
		"Carbon":       {`,"modified":{"date":"2026-03-01 07:08:09","timezone":"UTC"}`, ``, "2026-03-01T07:08:09.000Z"},
		"no zone":      {`,"modified":"2026-03-01 07:08:09"`, ``, "2026-03-01T07:08:09.000Z"},
		"null date":    {`,"modified":"0000-00-00 00:00:00"`, ``, "1970-01-02T00:00:00.000Z"},
		"before dawn":  {`,"modified":"0001-01-01T00:00:00Z"`, ``, "1970-01-02T00:00:00.000Z"},
		"without any":  {``, ``, "1970-01-02T00:00:00.000Z"},
		"another kind": {`,"modified":[true]`, ``, "1970-01-02T00:00:00.000Z"},
	} {
		dir := t.TempDir()
		text := `{"objects":[{"type":"threat-actor","id":"threat-actor--1","name":"A"` + c.actor + `},{"type":"indicator","id":"indicator--1"` + c.address + `}]}`
		if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := LoadDirectory(dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := Stamp(d.Earliest()); got != c.earliest {
			t.Errorf("%s: got the earliest %s, want %s", name, got, c.earliest)
		}
		for e := range d.Entries(Profiles) {
			if e.Updated.Before(d.Earliest()) {
				t.Errorf("%s: item of %v is never listed", name, e.Updated)
			}
		}
		if seq := d.Objects("indicator"); seq.Len() != 1 || seq.Time(0).Before(d.Earliest()) {
			t.Errorf("%s: got %d indicators", name, seq.Len())
		}
	}
}
