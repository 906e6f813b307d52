package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPeriodReads(t *testing.T) {
	for text, want := range map[string]Period{
		"0":                {},
		"P1D":              {Days: 1},
		"p1d":              {Days: 1},
		"P1M":              {Months: 1},
		"PT1M":             {Clock: time.Minute},
		"P1Y2M3W4DT5H6M7S": {Years: 1, Months: 2, Days: 25, Clock: 5*time.Hour + 6*time.Minute + 7*time.Second},
		"PT0S":             {},
		"P0D":              {},
		"PT0.5S":           {Clock: 500 * time.Millisecond},
		"PT1,5H":           {Clock: 90 * time.Minute},
		"P0.5D":            {Clock: 12 * time.Hour},
		"PT36H":            {Clock: 36 * time.Hour},
		"01:30:00":         {Clock: 90 * time.Minute},
		"1 day, 02:00:00":  {Days: 1, Clock: 2 * time.Hour},
		"2 Days 00:00:01":  {Days: 2, Clock: time.Second},
		"1d,00:00:00.25":   {Days: 1, Clock: 250 * time.Millisecond},
		"00:00:00":         {},
	} {
		got, err := parsePeriod(text)
		if err != nil || got != want {
			t.Errorf("parsePeriod(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestPeriodRefusesAndGuesses(t *testing.T) {
	for text, near := range map[string]string{
		"":                       "",
		"P":                      "",
		"PT":                     "",
		"P1DT":                   "",
		"P1H":                    "PT1H",
		"1D":                     "P1D",
		"5m":                     "PT5M",
		"24h":                    "PT24H",
		"1h30m":                  "PT1H30M",
		"7 days":                 "P7D",
		"-P1D":                   "P1D",
		"P30":                    "",
		"30":                     "",
		"10:30":                  "",
		"daily":                  "",
		"P1D ":                   "P1D",
		"PT1.S":                  "",
		"P99999999999999999999D": "",
	} {
		_, err := parsePeriod(text)
		r, ok := err.(*refusal)
		if !ok {
			t.Errorf("parsePeriod(%q) = %v, want a refusal", text, err)
			continue
		}
		if r.nearest != near {
			t.Errorf("parsePeriod(%q): nearest %q, want %q", text, r.nearest, near)
		}
	}
}

func TestPeriodStringReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Period{
			Years: rapid.IntRange(0, 99).Draw(t, "years"), Months: rapid.IntRange(0, 999).Draw(t, "months"),
			Days:  rapid.IntRange(0, 9999).Draw(t, "days"),
			Clock: time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "clock")),
		}
		got, err := parsePeriod(p.String())
		if err != nil || got != p {
			t.Fatalf("%s reads as %+v, %v; want %+v", p, got, err, p)
		}
	})
}

func TestLargestPeriodDoesNotOverflow(t *testing.T) {
	p, err := parsePeriod("P99Y999M999.9W9999.9DT99999.9H9999999.9M999999999.9S")
	if err != nil || p.Approx() <= 0 || p.Clock <= 0 {
		t.Errorf("%+v (%v), %v", p, p.Approx(), err)
	}
}

func TestPeriodIsCalendarTime(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ from, period, to string }{
		{"2026-02-15T10:00:00Z", "P1M", "2026-01-15T10:00:00Z"},
		{"2026-03-31T10:00:00Z", "P1M", "2026-02-28T10:00:00Z"},
		{"2028-03-31T10:00:00Z", "P1M", "2028-02-29T10:00:00Z"},
		{"2028-02-29T00:00:00Z", "P1Y", "2027-02-28T00:00:00Z"},
		{"2027-03-01T01:00:00Z", "P3MT2H", "2026-11-30T23:00:00Z"},
		{"2026-03-01T00:00:00+02:00", "P1D", "2026-02-27T22:00:00Z"},
	} {
		p, err := parsePeriod(c.period)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Before(at(c.from)); !got.Equal(at(c.to)) || got.Location() != time.UTC {
			t.Errorf("%s before %s = %s, want %s", c.period, c.from, got, c.to)
		}
	}
}

func TestStart(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"P30D":                      "2026-03-01T12:00:00Z",
		"P1M":                       "2026-02-28T12:00:00Z",
		"0":                         "2026-03-31T12:00:00Z",
		"2025-01-01":                "2025-01-01T00:00:00Z",
		"2010-01-01 00:00":          "2010-01-01T00:00:00Z",
		"2025-01-01T08:30:15":       "2025-01-01T08:30:15Z",
		"2025-01-01t08:30:15.5z":    "2025-01-01T08:30:15.5Z",
		"2025-01-01T08:30+02:00":    "2025-01-01T06:30:00Z",
		"2025-01-01 08:30:00+0200":  "2025-01-01T06:30:00Z",
		"2024-02-29":                "2024-02-29T00:00:00Z",
		"2025-06-01T08:00:00-05:30": "2025-06-01T13:30:00Z",
	} {
		s, err := parseStart(text)
		if err != nil {
			t.Errorf("parseStart(%q): %v", text, err)
			continue
		}
		if got := s.Resolve(now).Format(time.RFC3339Nano); got != want {
			t.Errorf("%q resolves to %s, want %s", text, got, want)
		}
		if again, err := parseStart(s.String()); err != nil || again != s {
			t.Errorf("%q prints as %q, which reads as %v, %v", text, s, again, err)
		}
	}
	for _, text := range []string{"", "yesterday", "2025-02-30", "2025-02-29", "2025-13-01", "01/02/2025", "2025-01-01T25:00", "-P30D", "2025-1-1", "2025-01-01 ", "20250101", "P30"} {
		if s, err := parseStart(text); err == nil {
			t.Errorf("parseStart(%q) = %s, want a refusal", text, s)
		}
	}
}

func TestEveryDateThatExistsIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[12][0-9]{3}-[01][0-9]-[0-3][0-9]`).Draw(t, "date")
		_, want := time.Parse(time.DateOnly, text)
		if _, got := parseStart(text); (got == nil) != (want == nil) {
			t.Fatalf("%s: %v, want %v", text, got, want)
		}
	})
}
