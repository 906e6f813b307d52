package paging

import (
	"fmt"
	"iter"
	"time"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/threatmatch"
)

// timestamps summarises the timestamps of a page.
type timestamps struct {
	count    int  // of objects
	readable bool // at least one of them can be read
	limit    time.Time
	first    time.Time // the earliest
	top      question
	earlier  question      // the latest before top, earlier still by as much as the page is out of order; zero: none
	back     time.Duration // how far the page falls back behind its latest so far
	unit     int64         // nanoseconds: the resolution shown by the digits, no coarser than a millisecond
	layout   string        // of times without a zone; "" if all have one
	unread   Unread
}

// Unread describes timestamps that cannot be read.
type Unread struct {
	Count int
	First string // one of them with its object's id, truncated
}

// readPage reads the timestamps of a page. Those after limit are ignored.
func readPage(page threatmatch.Page, limit time.Time) timestamps {
	d := timestamps{limit: limit, unit: int64(time.Millisecond)}
	for o := range objects(page) {
		d.count++
		r, ok := modifiedAt(o.Modified)
		if !ok {
			if d.unread.Count++; d.unread.Count == 1 {
				d.unread.First = fmt.Sprintf("%.300s modified %.100q", o.ID, o.Modified)
			}
			continue
		}
		d.readable = true
		if r.Layout != "" {
			d.layout = r.Layout
		}
		if r.Time.After(limit) {
			continue
		}
		d.unit = min(d.unit, int64(r.Unit))
		d.back = max(d.back, d.top.At.Sub(r.Time))
		if r.Time.After(d.top.At) {
			d.top = question{At: r.Time, Text: o.Modified}
		}
		if d.first.IsZero() || r.Time.Before(d.first) {
			d.first = r.Time
		}
	}
	for o := range objects(page) {
		if at := d.at(o); at.Before(d.top.At) && !at.After(d.top.At.Add(-d.back)) && at.After(d.earlier.At) {
			d.earlier = question{At: at, Text: o.Modified}
		}
	}
	return d
}

// at returns an object's time, zero if it has no usable one.
func (d *timestamps) at(o threatmatch.PageObject) time.Time {
	if r, ok := modifiedAt(o.Modified); ok && !r.Time.After(d.limit) {
		return r.Time
	}
	return time.Time{}
}

func objects(page threatmatch.Page) iter.Seq[threatmatch.PageObject] {
	if page.Objects == nil {
		return func(func(threatmatch.PageObject) bool) {}
	}
	return page.Objects
}

// modifiedAt reads an object's timestamp. It returns false if the timestamp is not
// usable.
func modifiedAt(text string) (moment.Reading, bool) {
	r, ok := moment.Parse(text)
	return r, ok && r.Time.Year() >= 1970 && r.Time.Year() <= 2200
}
