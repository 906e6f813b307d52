package moment

import (
	"encoding/json"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // Carbon names zones, and an image may lack the database of zones
)

var epoch = regexp.MustCompile(`^(\d{9,19})(?:\.(\d+))?$`)

// parseEpoch reads seconds, milliseconds, microseconds or nanoseconds since 1970. The size of the number tells which:
// from 1973 to 5138 they cannot be mistaken for each other.
func parseEpoch(text string) (Reading, bool) {
	if f, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, "eE") {
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	m := epoch.FindStringSubmatch(text)
	if m == nil {
		return Reading{}, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n < 1e8 {
		return Reading{}, false
	}
	digits := 0 // of the second, within n
	for scale := int64(1e11); n >= scale && digits < 9; scale *= 1000 {
		digits += 3
	}
	if digits == 0 {
		nanos, _ := strconv.ParseInt((m[2] + "000000000")[:9], 10, 64) // digits only
		return Reading{Time: time.Unix(n, nanos).UTC(), Unit: unit(len(m[2]))}, true
	}
	perSecond := int64(1)
	for range digits {
		perSecond *= 10
	}
	return Reading{Time: time.Unix(n/perSecond, n%perSecond*(1e9/perSecond)).UTC(), Unit: unit(digits)}, true
}

// mailZones are the named zones of RFC 2822, whose offsets package time does not know.
var mailZones = map[string]string{
	"UT": "+0000", "UTC": "+0000", "GMT": "+0000", "Z": "+0000", "EST": "-0500", "EDT": "-0400", "CST": "-0600",
	"CDT": "-0500", "MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}

// parseMail reads RFC 2822.
func parseMail(text string) (Reading, bool) {
	if i := strings.LastIndexByte(text, ' '); i >= 0 {
		name := strings.ToUpper(text[i+1:])
		if offset, ok := mailZones[name]; ok {
			text = text[:i+1] + offset
		} else if name != "" && name[0] >= 'A' && name[0] <= 'Z' {
			return Reading{}, false
		}
	}
	t, err := mail.ParseDate(text)
	if err != nil {
		return Reading{}, false
	}
	return Reading{Time: t.UTC(), Unit: time.Second}, true
}

// parseCarbon reads {"date": …, "timezone_type": …, "timezone": …}, where the
// zone is an offset, an abbreviation or a name.
func parseCarbon(text string) (Reading, bool) {
	var c struct {
		Date string `json:"date"`
		Zone string `json:"timezone"`
	}
	if json.Unmarshal([]byte(text), &c) != nil || strings.HasPrefix(strings.TrimSpace(c.Date), "{") {
		return Reading{}, false
	}
	r, ok := Parse(c.Date)
	if !ok || c.Zone == "" || r.Layout == "" {
		return r, ok
	}
	if at, ok := parseISO(r.Time.Format("2006-01-02T15:04:05.000000000") + c.Zone); ok {
		return Reading{Time: at.Time, Unit: r.Unit}, true
	}
	loc, err := time.LoadLocation(c.Zone)
	if err != nil || c.Zone == "Local" {
		return Reading{}, false
	}
	t := r.Time
	t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), loc)
	return Reading{Time: t.UTC(), Unit: r.Unit}, true
}

// ParseJSON reads a JSON value: a string, a number or a Carbon object.
func ParseJSON(raw []byte) (Reading, bool) {
	if len(raw) > 0 && raw[0] == '"' {
		if r, ok := parseStrict(string(raw[1:max(1, len(raw)-1)])); ok && raw[len(raw)-1] == '"' {
			return r, true
		}
		var text string
		if json.Unmarshal(raw, &text) != nil || strings.HasPrefix(strings.TrimSpace(text), "{") {
			return Reading{}, false
		}
		return Parse(text)
	}
	return Parse(string(raw))
}
