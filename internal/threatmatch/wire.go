package threatmatch

import (
	"time"

	"threatmatch-connector/internal/moment"
)

// What the client sends has exactly the form that the platform's reference client sends: internal/sim/forms has the
// table, and the stand-in refuses anything else.

// dateSinceLayout is in UTC, like moment.Layout.
const dateSinceLayout = "2006-01-02 15:04"

// earliest is the earliest time that is ever asked for: nothing on the platform is older.
var earliest = time.Unix(0, 0).UTC()

// dateSince formats the time for a list request, truncated to the minute.
func dateSince(t time.Time) string {
	if t.Before(earliest) {
		t = earliest
	}
	return t.UTC().Format(dateSinceLayout)
}

// ModifiedAfter formats the time for a page request. It truncates to the millisecond, so that nothing in between is
// skipped.
func ModifiedAfter(t time.Time) string {
	if t.Before(earliest) {
		t = earliest
	}
	return moment.Format(t)
}
