package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Period is a span of calendar time: years and months have no fixed length. The zero value is no time at all. A
// Period from Load is never negative.
type Period struct {
	Years, Months, Days int
	Clock               time.Duration // hours and smaller, and fractions of days
}

// Lengths that Approx uses for units without a fixed one.
const (
	day       = 24 * time.Hour
	monthDays = 30
	yearDays  = 365
)

// IsZero reports whether p is no time at all.
func (p Period) IsZero() bool { return p == Period{} }

// Before returns the time p before t, in UTC. A month ends on its last day at the latest: one month before 31 March is
// the last of February.
func (p Period) Before(t time.Time) time.Time {
	t = t.UTC()
	first := time.Date(t.Year(), t.Month(), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	month := first.AddDate(-p.Years, -p.Months, 0)
	last := month.AddDate(0, 1, -1).Day()
	return month.AddDate(0, 0, min(t.Day(), last)-1-p.Days).Add(-p.Clock)
}

// Approx returns p with a month counted as 30 days and a year as 365.
func (p Period) Approx() time.Duration {
	days := p.Years*yearDays + p.Months*monthDays + p.Days
	return time.Duration(days)*day + p.Clock
}

// String returns p in ISO 8601, for example "P1M" or "PT5M"; zero is "PT0S".
func (p Period) String() string {
	var b strings.Builder
	b.WriteByte('P')
	part := func(n int64, unit byte) {
		if n != 0 {
			b.WriteString(strconv.FormatInt(n, 10))
			b.WriteByte(unit)
		}
	}
	part(int64(p.Years), 'Y')
	part(int64(p.Months), 'M')
	part(int64(p.Days), 'D')
	if p.Clock == 0 {
		if b.Len() == 1 {
			return "PT0S"
		}
		return b.String()
	}
	b.WriteByte('T')
	part(int64(p.Clock/time.Hour), 'H')
	part(int64(p.Clock%time.Hour/time.Minute), 'M')
	if s := p.Clock % time.Minute; s != 0 {
		text := strconv.FormatInt(int64(s/time.Second), 10)
		if ns := s % time.Second; ns != 0 {
			text += "." + strings.TrimRight(fmt.Sprintf("%09d", ns), "0")
		}
		b.WriteString(text + "S")
	}
	return b.String()
}

// durationText returns d in ISO 8601.
func durationText(d time.Duration) string {
	return Period{Days: int(d / day), Clock: d % day}.String()
}

// isoPeriod matches ISO 8601 with years to seconds. The number of digits of each unit is limited so that no sum
// overflows a time.Duration (292 years). There is no look-ahead, since RE2 has none and the platform's form could not
// share it.
var isoPeriod = func() string {
	const f = `(?:[.,][0-9]{1,9})?`
	y, mo, w, d := `[0-9]{1,2}Y`, `[0-9]{1,3}M`, `[0-9]{1,3}`+f+`W`, `[0-9]{1,4}`+f+`D`
	h, mi, s := `[0-9]{1,5}`+f+`H`, `[0-9]{1,7}`+f+`M`, `[0-9]{1,9}`+f+`S`
	date, clock := someOf(y, mo, w, d), `T`+someOf(h, mi, s)
	return `P(?:` + date + `(?:` + clock + `)?|` + clock + `)`
}()

// clockPeriod matches HH:MM:SS, optionally after days, as Python prints and pydantic reads a timedelta.
const clockPeriod = `(?:[0-9]{1,4} ?(?:days|day|d),? ?)?[0-9]{1,3}:[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?`

// someOf matches the given parts in their order, at least one of them.
func someOf(parts ...string) string {
	var alternatives []string
	for i, first := range parts {
		for _, rest := range parts[i+1:] {
			first += `(?:` + rest + `)?`
		}
		alternatives = append(alternatives, first)
	}
	return `(?:` + strings.Join(alternatives, `|`) + `)`
}

const periodAllowed = `an ISO 8601 duration such as P1D, P1M, PT5M or PT1H30M, HH:MM:SS, or 0`

// periodPattern is what parsePeriod takes, for the schema.
var periodPattern = `0|` + isoPeriod + `|` + clockPeriod

var (
	periodShape = regexp.MustCompile(`^(?:` + periodPattern + `)$`)
	periodPart  = regexp.MustCompile(`([0-9]+)(?:[.,]([0-9]+))?([YMWDHS])`)
	clockShape  = regexp.MustCompile(`^(?:([0-9]+) ?(?:days|day|d),? ?)?([0-9]+):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?$`)
)

// parsePeriod reads a duration, in either case.
func parsePeriod(text string) (Period, error) {
	upper := strings.ToUpper(text)
	switch {
	case strings.HasPrefix(upper, "P") && periodShape.MatchString(upper):
		return isoValue(upper), nil
	case periodShape.MatchString(strings.ToLower(text)):
		return clockValue(strings.ToLower(text)), nil
	}
	return Period{}, &refusal{message: periodRefusal(upper), nearest: nearPeriod(text)}
}

func periodRefusal(upper string) string {
	switch {
	case strings.HasPrefix(upper, "-"), strings.HasPrefix(upper, "P-"):
		return "a duration cannot be negative"
	case numberShape.MatchString(upper):
		return "a number alone has no unit"
	}
	return "not a duration"
}

func isoValue(text string) Period {
	date, clock, _ := strings.Cut(text, "T")
	var p Period
	for _, m := range periodPart.FindAllStringSubmatch(date, -1) {
		n, _ := strconv.Atoi(m[1])
		switch m[3] {
		case "Y":
			p.Years += n
		case "M":
			p.Months += n
		case "W":
			p.Days += 7 * n
			p.Clock += fraction(m[2], 7*day)
		case "D":
			p.Days += n
			p.Clock += fraction(m[2], day)
		}
	}
	for _, m := range periodPart.FindAllStringSubmatch(clock, -1) {
		n, _ := strconv.Atoi(m[1])
		unit := map[string]time.Duration{"H": time.Hour, "M": time.Minute, "S": time.Second}[m[3]]
		p.Clock += time.Duration(n)*unit + fraction(m[2], unit)
	}
	return p
}

func clockValue(text string) Period {
	m := clockShape.FindStringSubmatch(text)
	if m == nil { // "0"
		return Period{}
	}
	number := func(s string) time.Duration {
		n, _ := strconv.Atoi(s)
		return time.Duration(n)
	}
	clock := number(m[2])*time.Hour + number(m[3])*time.Minute + number(m[4])*time.Second
	return Period{Days: int(number(m[1])), Clock: clock + fraction(m[5], time.Second)}
}

// fraction returns the part of unit that the digits after a decimal point stand for.
func fraction(digits string, unit time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range digits {
		unit /= 10
		sum += time.Duration(d-'0') * unit
	}
	return sum
}

var (
	numberShape = regexp.MustCompile(`^[0-9]+(?:\.[0-9]+)?$`)
	goDuration  = regexp.MustCompile(`^[0-9]+ ?([a-zA-Z]+)$`)
	leadDigits  = regexp.MustCompile(`^[0-9]+`)
)

// nearPeriod guesses what was meant, "" if it cannot.
func nearPeriod(text string) string {
	if near := guessPeriod(text); periodShape.MatchString(near) {
		return near
	}
	return ""
}

func guessPeriod(text string) string {
	text = strings.TrimPrefix(strings.TrimSpace(text), "-")
	upper := strings.ToUpper(text)
	if numberShape.MatchString(text) {
		return ""
	}
	if m := goDuration.FindStringSubmatch(text); m != nil {
		units := map[string]string{
			"ms": "", "s": "PT%sS", "sec": "PT%sS", "secs": "PT%sS", "second": "PT%sS", "seconds": "PT%sS",
			"m": "PT%sM", "min": "PT%sM", "mins": "PT%sM", "minute": "PT%sM", "minutes": "PT%sM",
			"h": "PT%sH", "hour": "PT%sH", "hours": "PT%sH", "d": "P%sD", "day": "P%sD", "days": "P%sD",
			"w": "P%sW", "week": "P%sW", "weeks": "P%sW", "month": "P%sM", "months": "P%sM",
		}
		if shape := units[strings.ToLower(m[1])]; shape != "" {
			return fmt.Sprintf(shape, leadDigits.FindString(text))
		}
	}
	for _, try := range []string{
		upper,
		strings.Replace(upper, "P", "PT", 1),
		"P" + upper, "PT" + upper,
	} {
		if periodShape.MatchString(try) && strings.HasPrefix(try, "P") {
			return try
		}
	}
	if d, err := time.ParseDuration(strings.ToLower(text)); err == nil && d > 0 {
		return durationText(d)
	}
	return ""
}
