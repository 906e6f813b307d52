package moment

import (
	"fmt"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	exact := at("2026-03-01T07:08:09.123456789Z")
	whole := exact.Truncate(time.Second)
	for _, row := range []struct {
		text   string
		want   time.Time
		unit   time.Duration
		layout string
	}{
		{"2026-03-01T07:08:09Z", whole, time.Second, ""},
		{"2026-03-01T07:08:09.1Z", at("2026-03-01T07:08:09.1Z"), time.Millisecond, ""},
		{"2026-03-01T07:08:09.123Z", exact.Truncate(time.Millisecond), time.Millisecond, ""},
		{"2026-03-01T07:08:09.123456Z", exact.Truncate(time.Microsecond), time.Microsecond, ""},
		{"2026-03-01T07:08:09.1234567891234Z", exact, time.Nanosecond, ""},
		{"2026-03-01T09:08:09+02:00", whole, time.Second, ""},
		{"2026-03-01T07:08:09+0000", whole, time.Second, ""},
		{"2026-03-01T02:38:09-0430", whole, time.Second, ""},
		{"2026-03-01T09:08:09+02", whole, time.Second, ""},
		{"2026-03-01 09:08:09 +0200", whole, time.Second, ""},
		{"2026-03-01 07:08:09 UTC", whole, time.Second, ""},
		{"2026-03-01 07:08:09UTC", whole, time.Second, ""},
		{"2026-03-01t07:08:09z", whole, time.Second, ""},
		{"2026-03-01 07:08:09", whole, time.Second, "2006-01-02 15:04:05"},
		{"2026-03-01T07:08:09", whole, time.Second, "2006-01-02T15:04:05"},
		{"2026-03-01T07:08:09.123456", exact.Truncate(time.Microsecond), time.Microsecond, "2006-01-02T15:04:05.000000"},
		{"2026-03-01T7:08:09.000Z", whole, time.Millisecond, ""},
		{"2026-03-01T07:08:09,123Z", exact.Truncate(time.Millisecond), time.Millisecond, ""},
		{" 2026-03-01T07:08:09Z\n", whole, time.Second, ""},
		{"2026-03-01T07:08Z", at("2026-03-01T07:08:00Z"), time.Minute, ""},
		{"2026-03-01 07:08", at("2026-03-01T07:08:00Z"), time.Minute, "2006-01-02 15:04"},
		{"2026-03-01", at("2026-03-01T00:00:00Z"), day, "2006-01-02"},
		{"2026-3-1", at("2026-03-01T00:00:00Z"), day, "2006-01-02"},
		{"2026-03", at("2026-03-01T00:00:00Z"), 31 * day, "2006-01"},
		{"2026", at("2026-01-01T00:00:00Z"), 366 * day, "2006"},
		{"2026-03-01T24:00:00Z", at("2026-03-02T00:00:00Z"), time.Second, ""},
		{"2016-12-31T23:59:60Z", at("2017-01-01T00:00:00Z"), time.Second, ""},
		{fmt.Sprint(exact.Unix()), whole, time.Second, ""},
		{fmt.Sprint(exact.UnixMilli()), exact.Truncate(time.Millisecond), time.Millisecond, ""},
		{fmt.Sprint(exact.UnixMicro()), exact.Truncate(time.Microsecond), time.Microsecond, ""},
		{fmt.Sprint(exact.UnixNano()), exact, time.Nanosecond, ""},
		{fmt.Sprint(exact.Unix()) + ".123456", exact.Truncate(time.Microsecond), time.Microsecond, ""},
		{"1.772348889e9", whole, time.Second, ""},
		{"Sun, 01 Mar 2026 07:08:09 +0000", whole, time.Second, ""},
		{"Sun, 1 Mar 2026 08:08:09 +0100", whole, time.Second, ""},
		{"01 Mar 2026 07:08:09 GMT", whole, time.Second, ""},
		{"Sun, 01 Mar 2026 02:08:09 EST", whole, time.Second, ""},
		{`{"date":"2026-03-01 07:08:09.123456","timezone_type":3,"timezone":"UTC"}`, exact.Truncate(time.Microsecond), time.Microsecond, ""},
		{`{"date":"2026-07-01 09:08:09.000000","timezone_type":3,"timezone":"Europe/Berlin"}`, at("2026-07-01T07:08:09Z"), time.Microsecond, ""},
		{`{"date":"2026-03-01 08:08:09","timezone_type":1,"timezone":"+01:00"}`, whole, time.Second, ""},
		{`{"date":"2026-03-01 02:08:09","timezone_type":2,"timezone":"EST"}`, whole, time.Second, ""},
		{`{"date":"2026-03-01 07:08:09"}`, whole, time.Second, "2006-01-02 15:04:05"},
	} {
		got, ok := Parse(row.text)
		if !ok || !got.Time.Equal(row.want) || got.Unit != row.unit || got.Layout != row.layout {
			t.Errorf("%q: got %v %v unit %v layout %q, want %v unit %v layout %q",
				row.text, ok, got.Time, got.Unit, got.Layout, row.want, row.unit, row.layout)
		}
		if row.layout != "" && row.text[0] != '{' && len(row.text) == len(row.layout) && row.want.Format(row.layout) != row.text {
			t.Errorf("%q: its layout writes %q", row.text, row.want.Format(row.layout))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "soon", "now", "0", "1", "20260301", "-5", "NaN", "Inf", "1e300", "99999999999999999999", "12345678",
		"0000-00-00 00:00:00", "0000-01-01T00:00:00Z", "2026-02-30", "2026-13-01", "2026-00-01", "2026-03-01T25:00:00Z", "2026-03-01T24:00:01Z",
		"2026-03-01T07:60:00Z", "2026-03-01T07:08:61Z", "2026-03-01T07:08:09+24:00", "2026-03-01T07:08:09+02:60", "2026-03-01T07:08:09 Mars",
		"9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "Sun, 01 Mar 2026 07:08:09 XYZ", "Sun, 99 Mar 2026 07:08:09 +0000",
		"{", "{}", `{"date":null}`, `{"date":"soon"}`, `{"date":{"date":"2026-03-01"}}`, `{"date":"{\"date\":\"2026\"}"}`,
		`{"date":"2026-03-01 07:08:09","timezone":"Mars/Phobos"}`, `{"date":"2026-03-01 07:08:09","timezone":"Local"}`, "[]", "true", "null",
	} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q was read as %v", text, got.Time)
		}
	}
}

func TestParseJSON(t *testing.T) {
	want := time.Date(2026, 3, 1, 7, 8, 9, 0, time.UTC)
	for _, raw := range []string{`"2026-03-01T07:08:09Z"`, `"1772348889"`, `1772348889`, `1772348889000`, `1772348889.0`, `1.772348889E9`,
		`"2026-03-01T07:08:09\u005a"`, `{"timezone":"UTC","timezone_type":3,"date":"2026-03-01 07:08:09.000000"}`} {
		if got, ok := ParseJSON([]byte(raw)); !ok || !got.Time.Equal(want) {
			t.Errorf("%s: got %v %v, want %v", raw, got.Time, ok, want)
		}
	}
	for _, raw := range []string{"", "null", "true", "[]", `""`, `"`, `"{\"date\":\"2026\"}"`} {
		if got, ok := ParseJSON([]byte(raw)); ok {
			t.Errorf("%s was read as %v", raw, got.Time)
		}
	}
}

func TestStrict(t *testing.T) {
	for text, want := range map[string]bool{
		"2026-03-01T07:08:09Z": true, "2026-03-01T07:08:09.123456789Z": true, "2026-03-01T07:08:09+02:00": false,
		"2026-03-01T7:08:09Z": false, "2026-03-01T07:08:09,1Z": false, "2026-03-01t07:08:09z": false, "2026-03-01 07:08:09Z": false,
		"2026-03-01T07:08:09": false, "2026-03-01T07:08:09+0200": false, "2026-02-30T07:08:09Z": false, "2026-03-01T07:08:60Z": false,
		"2026-03-01T07:08:09.Z": false, "2026-03-01T24:00:00Z": false, "12026-03-01T07:08:09Z": false, "2026-03-01T07:08:09Z\n": false,
	} {
		if got := Strict(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestFormatRoundsDown(t *testing.T) {
	for in, want := range map[string]string{
		"2026-10-29T08:19:59.098871147Z": "2026-10-29T08:19:59.098Z",
		"2026-10-29T08:19:59.999999999Z": "2026-10-29T08:19:59.999Z",
		"1969-12-31T23:59:59.999999999Z": "1969-12-31T23:59:59.999Z",
		"2026-10-29T09:19:59+01:00":      "2026-10-29T08:19:59.000Z",
	} {
		at, err := time.Parse(time.RFC3339Nano, in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Format(at); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// FuzzParse: whatever is read can be written, and reads the same again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"2026-03-01T07:08:09.123Z", "1772348889", "Sun, 01 Mar 2026 07:08:09 GMT", `{"date":"2026-03-01","timezone":"+02"}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := Parse(text)
		if !ok {
			return
		}
		written := Format(got.Time)
		again, ok := Parse(written)
		if !ok || !Strict(written) || !again.Time.Equal(got.Time.Truncate(time.Millisecond)) {
			t.Errorf("%q was read as %v and written as %q", text, got.Time, written)
		}
	})
}
