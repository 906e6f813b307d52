// Package moment reads and writes points in time. It is the only reader of times in answers, objects and stored
// states. It is pure.
package moment

import (
	"strings"
	"time"
)

// Layout is the form in which times are written: UTC, milliseconds, Z.
const Layout = "2006-01-02T15:04:05.000Z"

// Format writes t by Layout, truncated to the millisecond.
func Format(t time.Time) string { return t.UTC().Format(Layout) }

// A Reading is what a text says about a point in time.
type Reading struct {
	// Time is in UTC. A text without a zone counts as UTC.
	Time time.Time
	// Unit is the resolution that the digits show: a millisecond, microsecond or
	// nanosecond for fractions of a second, else a second, minute, day, month (31
	// days) or year (366 days).
	Unit time.Duration
	// Layout is a layout of package time that writes other times as the text does; "" if the text names a zone or is
	// an epoch.
	Layout string
}

// Strict reports whether text is a time in UTC exactly as RFC 3339 writes it, with T and Z in upper case. Package
// time's own parser is laxer: it accepts hours of one digit and a comma before the fraction.
func Strict(text string) bool {
	_, ok := parseStrict(text)
	return ok
}

// parseStrict reads the form that nearly every time has, at a fraction of the cost of parseISO.
func parseStrict(text string) (Reading, bool) {
	const seconds = len("2006-01-02T15:04:05")
	if len(text) <= seconds || text[:4] == "0000" || text[13] != ':' || text[seconds] == ',' || text[len(text)-1] != 'Z' {
		return Reading{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return Reading{}, false
	}
	return Reading{Time: at, Unit: unit(max(0, len(text)-seconds-len(".Z")))}, true
}

// Parse reads a point in time in any of the forms that platforms are known to write: RFC 3339 with any number of
// digits; +0000 or +02 for the zone; UTC; no zone; a blank or t for T; no seconds, no time of day, no day, no month;
// epoch seconds or finer; RFC 2822; and the JSON of a Carbon object. It returns false for anything else, and for
// dates that do not exist.
func Parse(text string) (Reading, bool) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return Reading{}, false
	case text[0] == '{':
		return parseCarbon(text)
	}
	for _, parse := range []func(string) (Reading, bool){parseStrict, parseISO, parseEpoch, parseMail} {
		if r, ok := parse(text); ok && r.Time.Year() >= 1 && r.Time.Year() <= 9999 {
			return r, true
		}
	}
	return Reading{}, false
}
