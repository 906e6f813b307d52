package stix

import "time"

// TimeFormat is how OpenCTI stores instants: UTC, milliseconds, Z.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// FormatTime writes t as OpenCTI stores it.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeFormat) }

// ParseTime reads an instant as STIX writes it, and the forms that PHP
// applications write instead: a blank for the T, no zone (UTC), a date alone.
func ParseTime(s string) (time.Time, bool) {
	if len(s) < len(time.DateOnly) {
		return time.Time{}, false
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00",
		time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// FormatUnix writes seconds since 1970 as FormatTime does.
func FormatUnix(seconds int64) string { return FormatTime(time.Unix(seconds, 0)) }
