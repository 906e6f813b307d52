package config

import (
	"regexp"
	"strings"
	"time"
)

// Start is where the first import begins: a point in time, or a period before now. The zero value resolves to now.
type Start struct {
	at   time.Time
	back Period
}

// ParseStart reads what threatmatch.import_from_date takes: a date, or a period before now.
func ParseStart(text string) (Start, error) { return parseStart(trim(text)) }

// Resolve returns the point in time, in UTC. A relative start is counted back from now; an absolute one is returned
// as it is, even if it is after now.
func (s Start) Resolve(now time.Time) time.Time {
	if !s.at.IsZero() {
		return s.at
	}
	return s.back.Before(now)
}

// String returns s as ISO 8601.
func (s Start) String() string {
	if s.at.IsZero() {
		return s.back.String()
	}
	return s.at.Format(time.RFC3339Nano)
}

// datePattern matches dates that exist, in the years 1000 to 2999, including leap days.
const datePattern = `(?:` +
	`[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))` +
	`|(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:12|16|20|24|28)00)-02-29)`

const timePattern = `(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?`

const zonePattern = `(?:Z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])`

const startAllowed = `an ISO 8601 date or time (2025-01-01, 2025-01-01T08:00:00Z, "2025-01-01 08:00"; UTC without a zone), ` +
	`or an ISO 8601 duration before now (P30D)`

var (
	startPattern = `0|` + isoPeriod + `|` + clockPeriod + `|` + datePattern + `(?:[T ]` + timePattern + zonePattern + `?)?`
	startShape   = regexp.MustCompile(`^(?:` + startPattern + `)$`)
)

// parseStart reads an absolute date or time, or a duration.
func parseStart(text string) (Start, error) {
	upper := strings.ToUpper(text)
	if p, err := parsePeriod(text); err == nil {
		return Start{back: p}, nil
	} else if !startShape.MatchString(upper) {
		r := &refusal{message: "neither a date nor a duration", nearest: nearPeriod(text)}
		if strings.HasPrefix(text, "-") {
			r.message = "a duration before now is written without a minus sign"
		}
		return Start{}, r
	}
	upper = strings.Replace(upper, " ", "T", 1)
	for _, layout := range []string{
		"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05.999999999",
		"2006-01-02T15:04Z07:00", "2006-01-02T15:04:05.999999999Z07:00",
		"2006-01-02T15:04Z0700", "2006-01-02T15:04:05.999999999Z0700",
	} {
		if t, err := time.ParseInLocation(layout, upper, time.UTC); err == nil {
			return Start{at: t.UTC()}, nil
		}
	}
	return Start{}, &refusal{message: "not a date that can be used"}
}
