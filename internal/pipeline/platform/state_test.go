package platform

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"threatmatch-connector/spool"
)

func TestParseState(t *testing.T) {
	at := time.Date(2025, 8, 11, 6, 45, 52, 0, time.UTC)
	for _, c := range []struct {
		name, text string
		last       time.Time
		alerts     time.Time
	}{
		{"none", "", time.Time{}, time.Time{}},
		{"null", "null", time.Time{}, time.Time{}},
		{"no object", `"x"`, time.Time{}, time.Time{}},
		{"list", `[1]`, time.Time{}, time.Time{}},
		{"cut off", `{"last_run": "2025`, time.Time{}, time.Time{}},
		{"empty object", `{}`, time.Time{}, time.Time{}},
		{"ISO as Python writes it", `{"last_run": "2025-08-11T06:45:52+00:00"}`, at, at},
		{"with microseconds", `{"last_run": "2025-08-11T06:45:52.123456+00:00"}`, at.Add(123456 * time.Microsecond), at.Add(123456 * time.Microsecond)},
		{"other offset", `{"last_run": "2025-08-11T08:45:52+02:00"}`, at, at},
		{"Z", `{"last_run": "2025-08-11T06:45:52Z"}`, at, at},
		{"no zone", `{"last_run": "2025-08-11T06:45:52"}`, at, at},
		{"a space", `{"last_run": "2025-08-11 06:45:52"}`, at, at},
		{"minutes", `{"last_run": "2025-08-11 06:45"}`, at.Truncate(time.Minute), at.Truncate(time.Minute)},
		{"day", `{"last_run": "2025-08-11"}`, at.Truncate(24 * time.Hour), at.Truncate(24 * time.Hour)},
		{"epoch seconds", `{"last_run": 1754894752}`, at, at},
		{"epoch with fraction", `{"last_run": 1754894752.9}`, at, at},
		{"epoch as text", `{"last_run": "1754894752"}`, at, at},
		{"datasets", `{"last_run":"2025-08-11T06:45:52+00:00","datasets":{"alerts":"2025-08-12T06:45:52+00:00"}}`, at, at.AddDate(0, 0, 1)},
		{"only datasets", `{"datasets":{"alerts":1754894752}}`, time.Time{}, at},
		{"junk", `{"last_run": {"a":1}, "datasets":{"alerts":"soon"}}`, time.Time{}, time.Time{}},
		{"negative", `{"last_run": -5}`, time.Time{}, time.Time{}},
		{"datasets of another shape", `{"last_run": 1754894752, "datasets": [1]}`, at, at},
		{"beyond all years", `{"last_run": 1e300}`, time.Time{}, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := parseState(c.text)
			if !s.LastRun.Equal(c.last) || !s.at(spool.Alerts).Equal(c.alerts) {
				t.Errorf("parseState(%s) = %+v", c.text, s)
			}
		})
	}
}

func TestStateText(t *testing.T) {
	at := time.Date(2026, 3, 24, 10, 0, 0, 999, time.FixedZone("x", 3600))
	for _, c := range []struct {
		name  string
		marks map[spool.Dataset]time.Time
		want  string
	}{
		{"none", nil, "null"},
		{"equal", map[spool.Dataset]time.Time{spool.Alerts: at, spool.IOCs: at.UTC()}, `{"last_run":"2026-03-24T09:00:00+00:00"}`},
		{"equal in seconds", map[spool.Dataset]time.Time{spool.Alerts: at, spool.IOCs: at.Add(time.Millisecond)}, `{"last_run":"2026-03-24T09:00:00+00:00"}`},
		{"different", map[spool.Dataset]time.Time{spool.Alerts: at, spool.IOCs: at.Add(time.Hour)},
			`{"last_run":"2026-03-24T09:00:00+00:00","datasets":{"alerts":"2026-03-24T09:00:00+00:00","iocs":"2026-03-24T10:00:00+00:00"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := stateOf(c.marks, all).text(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func all(spool.Dataset) bool { return true }

// TestStateRoundTrip: the state that is sent reads back as the same positions, in
// whole seconds and never later.
func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marks := map[spool.Dataset]time.Time{}
		for _, d := range spool.Datasets() {
			if rapid.Bool().Draw(t, string(d)) {
				marks[d] = time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
			}
		}
		got := parseState(stateOf(marks, all).text())
		for d, want := range marks {
			if at := got.at(d); !at.Equal(want.Truncate(time.Second)) {
				t.Fatalf("%s: %s became %s", d, want, at)
			}
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add(`{"last_run": "2025-08-11T06:45:52+00:00"}`)
	f.Add(`{"last_run": 1754894752, "datasets": {"alerts": "x"}}`)
	f.Add("null")
	f.Fuzz(func(t *testing.T, text string) {
		s := parseState(text)
		if canonicalState(text) == "" && (!s.LastRun.IsZero() || s.Datasets != nil) {
			t.Fatalf("no state, but %+v", s)
		}
		if again := parseState(s.text()); !s.LastRun.IsZero() && !again.LastRun.Equal(s.LastRun.Truncate(time.Second)) {
			t.Fatalf("%s became %s", s.LastRun, again.LastRun)
		}
		if c := canonicalState(text); c != canonicalState(c) {
			t.Fatalf("canonical form of %q is not stable", text)
		}
	})
}
