package moment

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

var iso = regexp.MustCompile(`^(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:([Tt]| +)(\d\d?):(\d\d)(?::(\d\d)(?:([.,])(\d+))?)?` +
	`(?: *([Zz]|[Uu][Tt][Cc]|[Gg][Mm][Tt]|[+-]\d\d(?::?\d\d)?))?)?)?)?$`)

// parseISO reads the extended form of ISO 8601 and variants of it.
func parseISO(text string) (Reading, bool) {
	m := iso.FindStringSubmatch(text)
	if m == nil {
		return Reading{}, false
	}
	year, month, day := number(m[1], 0), number(m[2], 1), number(m[3], 1)
	hour, minute, second := number(m[5], 0), number(m[6], 0), number(m[7], 0)
	nanos, _ := strconv.Atoi((m[9] + "000000000")[:9])
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if date.Day() != day || date.Month() != time.Month(month) || minute > 59 || second > 60 || // a leap second
		hour > 24 || hour == 24 && minute+second+nanos > 0 {
		return Reading{}, false
	}
	offset, ok := zone(m[10])
	if !ok {
		return Reading{}, false
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC).Add(-offset)
	resolution, layout := isoForm(m)
	if m[10] != "" {
		layout = ""
	}
	return Reading{Time: at, Unit: resolution, Layout: layout}, true
}

func number(digits string, otherwise int) int {
	if digits == "" {
		return otherwise
	}
	n, _ := strconv.Atoi(digits) // a few digits
	return n
}

const day = 24 * time.Hour

// isoForm returns the resolution of a text, and its layout without a zone.
func isoForm(m []string) (resolution time.Duration, layout string) {
	resolution, layout = 366*day, "2006"
	for _, part := range [...]struct {
		digits, layout string
		resolution     time.Duration
	}{
		{m[2], "-01", 31 * day}, {m[3], "-02", day}, {m[5], m[4] + "15:04", time.Minute}, {m[7], ":05", time.Second},
		{m[9], m[8] + strings.Repeat("0", min(len(m[9]), 9)), unit(len(m[9]))},
	} {
		if part.digits != "" {
			resolution, layout = part.resolution, layout+part.layout
		}
	}
	return resolution, layout
}

// unit is the resolution of a fraction of a second with that many digits.
func unit(digits int) time.Duration {
	switch {
	case digits == 0:
		return time.Second
	case digits <= 3:
		return time.Millisecond
	case digits <= 6:
		return time.Microsecond
	}
	return time.Nanosecond
}

// zone reads Z, UTC, GMT, +02, +0200 and +02:00. No zone means UTC.
func zone(text string) (time.Duration, bool) {
	if text == "" || text[0] != '+' && text[0] != '-' {
		return 0, true
	}
	digits := strings.ReplaceAll(text[1:], ":", "")
	hours, minutes := number(digits[:2], 0), number(digits[2:], 0)
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if text[0] == '-' {
		offset = -offset
	}
	return offset, true
}
