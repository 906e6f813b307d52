package paging

import (
	"fmt"
	"time"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/threatmatch"
)

// timestamps is what the timestamps of a page say.
type timestamps struct {
	at       []time.Time // of each object; zero where it has none that can be used
	readable bool        // one of them can be read
	first    time.Time   // the least
	top      question
	earlier  question      // the greatest before top, out of order as much earlier; zero: none
	back     time.Duration // how far the page falls back behind its greatest so far
	unit     int64         // nanoseconds: the resolution that the digits show, no coarser than a millisecond
	layout   string        // of a text without zone; "" if each has one
	unread   []string
}

// readPage reads the timestamps of a page. Those after limit are nonsense.
func readPage(page threatmatch.Page, limit time.Time) timestamps {
	d := timestamps{at: make([]time.Time, len(page.Objects)), unit: int64(time.Millisecond)}
	for i, o := range page.Objects {
		r, ok := modifiedAt(o.Modified)
		if !ok {
			d.unread = append(d.unread, fmt.Sprintf("%s modified %.100q", o.ID, o.Modified))
			continue
		}
		d.readable = true
		if r.Layout != "" {
			d.layout = r.Layout
		}
		if r.Time.After(limit) {
			continue
		}
		d.at[i] = r.Time
		d.unit = min(d.unit, int64(r.Unit))
		d.back = max(d.back, d.top.At.Sub(r.Time))
		if r.Time.After(d.top.At) {
			d.top = question{At: r.Time, Text: o.Modified}
		}
		if d.first.IsZero() || r.Time.Before(d.first) {
			d.first = r.Time
		}
	}
	for i, at := range d.at {
		if at.Before(d.top.At) && !at.After(d.top.At.Add(-d.back)) && at.After(d.earlier.At) {
			d.earlier = question{At: at, Text: page.Objects[i].Modified}
		}
	}
	return d
}

// modifiedAt reads an object's timestamp. False: none that is usable.
func modifiedAt(text string) (moment.Reading, bool) {
	r, ok := moment.Parse(text)
	return r, ok && r.Time.Year() >= 1970 && r.Time.Year() <= 2200
}
