package threatmatch

import "time"

var dateForms = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04",
	"2006-01-02 15:04",
	"2006-01-02",
}

// date reads a date as platforms of this make write them: text in one of a
// few forms, UTC where no zone is given, or an object with such a text and a
// zone. Zero: none that can be read.
func date(value []byte) time.Time {
	zone := time.UTC
	if len(value) > 0 && value[0] == '{' {
		var inner []byte
		for key, v := range members(value) {
			switch key {
			case "date":
				inner = v
			case "timezone":
				if loc, err := time.LoadLocation(text(v)); err == nil {
					zone = loc
				}
			}
		}
		value = inner
	}
	s := text(value)
	for _, form := range dateForms {
		if t, err := time.ParseInLocation(form, s, zone); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
