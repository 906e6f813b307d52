// Package paging decides what to request next when IOCs are paged by date.
package paging

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"threatmatch-connector/internal/threatmatch"
)

// IOCs are paged by date: a request asks for what was modified after a time, and
// the time of the last object on the page is where to continue. Equal timestamps,
// and not knowing whether the comparison includes its bound, make a naive loop lose
// objects or run in circles. So:
//
//   - The next page is requested from a millisecond before the last timestamp
//     (earlier still if the page was out of order), and what was already taken
//     is dropped by id and timestamp.
//   - Where the server writes times without a zone, or has more objects in one
//     millisecond than fit on a page, we send back the server's own text: the
//     last timestamp on the page but one.
//   - That page must show again something that was taken before. If it does not,
//     the question steps back; if that does not help, the dataset fails.
//   - The same question is repeated as long as it returns something new.
//   - When it does not, although the server says that there is more, the question
//     moves on in growing steps, and what may lie in between is reported as a gap.
//
// Apart from the steps back, the question never moves back, and for one question
// the set of objects taken only grows: paging ends on every finite server.

// Cursor is the paging position of one group and type. It is stored as JSON in the
// task.
type Cursor struct {
	Group string    `json:"group"`
	Type  string    `json:"type"`
	From  time.Time `json:"from"`  // the start of the window
	After time.Time `json:"after"` // the next question
	// Text is the next question where it is not After in the usual form.
	Text string `json:"text,omitempty"`
	// Layout is the layout of the server's texts if they have no zone. All times
	// are then by the clock of those texts, whatever it is.
	Layout string       `json:"layout,omitempty"`
	Until  time.Time    `json:"until,omitzero"` // nothing later is wanted; zero: no limit
	Last   time.Time    `json:"last"`           // the latest timestamp so far; initially the start of the window
	Unit   int64        `json:"unit"`           // nanoseconds: the resolution that the server's timestamps show
	Seen   []seenObject `json:"seen"`           // objects taken, except those before both Back and After
	Full   int          `json:"full"`           // the largest number of objects on a page so far
	// Again means that the next page must show something that was taken before.
	Again bool `json:"again,omitempty"`
	Rough bool `json:"rough,omitempty"` // the server compares by the second
	// Back is the previous question, which a step back repeats; nil: none.
	Back *question `json:"back,omitempty"`
	// Stepped is how often the question stepped back since something new arrived.
	Stepped int `json:"stepped,omitempty"`
	// Doubt means that the question moved on past a page without anything new. It
	// is a gap if the next page shows nothing that was taken before, even when
	// requested from a second earlier.
	Doubt bool `json:"doubt,omitempty"`
	// Gap is where the question began to move on past full or empty pages.
	Gap     time.Time `json:"gap,omitzero"`
	GapFull bool      `json:"gap_full,omitempty"` // one of those pages was full
	Pages   int       `json:"pages,omitempty"`    // pages taken so far
	// Form is cursorForm, or 0 for a cursor stored by an earlier version.
	Form int `json:"form,omitempty"`
}

// cursorForm is the form of cursors that know about texts without a zone. Earlier
// ones read such texts as UTC and requested that.
const cursorForm = 2

// question is one value of the parameter modifiedAfter.
type question struct {
	At   time.Time `json:"at"`
	Text string    `json:"text,omitempty"` // "": At in the usual form
}

// seenObject identifies one object taken.
type seenObject struct {
	Key string `json:"k"` // see objectSum
	At  int64  `json:"t"` // Unix nanoseconds
}

// Gap is a span in which the server may hold more than it returned.
type Gap struct{ From, To time.Time }

// Step is the result of one page.
type Step struct {
	Fresh      Fresh
	Gap        *Gap
	Done       bool
	OutOfOrder bool
	Stalled    bool // the server says that there is more, but returned nothing new
	// Failed says why the dataset cannot continue in this run, without any text from
	// the page; "" if it can.
	Failed string
	// Unread describes timestamps that cannot be read.
	Unread Unread
	// Many is the number of pages taken, set at manyPages and each time that
	// doubles; else 0.
	Many int
}

// manyPages is more than most accounts have. A server may never come to an end
// although its times keep rising, and only an operator can tell.
const manyPages = 1 << 13

func New(group, stixType string, from time.Time) Cursor {
	from = from.UTC().Truncate(time.Millisecond)
	return Cursor{Group: group, Type: stixType, From: from, After: from, Last: from, Unit: int64(time.Millisecond), Form: cursorForm}
}

// NewSpan returns a cursor for what was modified at one time. Other objects on its
// pages are taken too.
func NewSpan(group, stixType string, at time.Time) Cursor {
	c := New(group, stixType, at.Add(-time.Millisecond))
	c.Until = at.UTC()
	return c
}

// Resume reads a stored cursor. If it cannot be read, the window starts again: what
// arrives twice is recognised by its id.
func Resume(stored []byte, group, stixType string, from time.Time) Cursor {
	var c Cursor
	if json.Unmarshal(stored, &c) != nil || c.Type == "" || c.After.IsZero() || c.Form != cursorForm && !c.Again {
		return New(group, stixType, from)
	}
	if c.Form != cursorForm {
		c.From = from // used if the first page does not show what was taken before
	}
	return c
}

// Query returns the question as it is sent.
func (c *Cursor) Query() string { return c.question().text() }

func (c *Cursor) question() question { return question{At: c.After, Text: c.Text} }

func (q question) text() string {
	if q.Text != "" {
		return q.Text
	}
	return threatmatch.ModifiedAfter(q.At)
}

func (c *Cursor) ask(q question) { c.After, c.Text = q.At, q.Text }

// at returns the question for a time, without a zone if the server's texts have
// none.
func (c *Cursor) at(t time.Time) question {
	if c.Layout != "" {
		return question{At: t, Text: t.Format(c.Layout)}
	}
	return question{At: t.Truncate(time.Millisecond)}
}

// How many different objects are remembered: for pages that others follow,
// including those taken before that can come again; and for a last page.
const (
	mostSeen = 100_000
	mostLast = 1 << 20
)

// Take processes a page and moves the cursor. Timestamps more than a day after now
// are ignored: they do not move it.
func (c *Cursor) Take(page threatmatch.Page, now time.Time) Step {
	before, limit := *c, now.Add(24*time.Hour)
	dates := readPage(page, limit)
	t := Step{Unread: dates.unread, OutOfOrder: dates.back > 0}
	if c.Pages++; c.Pages >= manyPages && c.Pages&(c.Pages-1) == 0 {
		t.Many = c.Pages
	}
	seen := make(map[objectSum]struct{}, len(c.Seen))
	for _, k := range c.Seen {
		seen[k.sum()] = struct{}{}
	}
	rougher := c.Doubt && c.Stepped == 0 && c.Layout == "" && !c.Rough
	if (c.Again || rougher) && !shows(page, seen) {
		asked := threatmatch.ModifiedAfter(c.After)
		if !c.stepBack() {
			t.Failed = "the page after " + asked + " shows nothing of what the server returned before around that time"
			*c = New(c.Group, c.Type, c.From)
		}
		return t
	}
	c.Form = cursorForm
	if c.Doubt && c.Gap.IsZero() && !shows(page, seen) {
		c.Gap = c.Last
	}
	c.follow(dates)
	progress, most := false, mostLast
	if page.More {
		most = mostSeen
	}
	for o := range objects(page) {
		sum := sumOf(o)
		_, again := seen[sum]
		t.Fresh.note(!again)
		if again {
			continue
		}
		if seen[sum] = struct{}{}; len(seen) > most {
			*c = before
			return Step{Failed: fmt.Sprintf("ThreatMatch returned more than %d different objects for one request, after %s", most, threatmatch.ModifiedAfter(c.After))}
		}
		if !page.More {
			progress = progress || o.ID != ""
			continue // nothing is requested after it
		}
		at := dates.at(o)
		if at.IsZero() {
			at = c.Last
		}
		// What is older than the question is forgotten, and would be new again and again.
		progress = progress || o.ID != "" && !at.Before(c.oldest())
		c.Seen = append(c.Seen, seenObject{Key: sum.text(), At: at.UnixNano()})
	}
	c.Full = max(c.Full, dates.count)
	if dates.count > 0 && !dates.readable {
		t.Failed = "no time of the page can be read: the log shows the first of them"
		return t
	}
	c.move(&t, page, progress, dates, limit)
	return t
}

// shows reports whether the page contains something that was taken before.
func shows(page threatmatch.Page, seen map[objectSum]struct{}) bool {
	for o := range objects(page) {
		if _, again := seen[sumOf(o)]; again {
			return true
		}
	}
	return false
}

// stepBack moves the question back: by a second, for servers that compare more
// coarsely, then to the previous question. It returns false if neither helped. A
// cursor of an earlier form starts its window again.
func (c *Cursor) stepBack() bool {
	c.Stepped++
	switch {
	case c.Form != cursorForm:
		*c = New(c.Group, c.Type, c.From)
	case c.Stepped == 1 && c.Layout == "" && !c.Rough:
		c.Rough = true
		c.ask(question{At: c.before(0)})
	case c.Stepped <= 2 && c.Back != nil:
		c.Stepped = 2
		c.ask(*c.Back)
	default:
		return false
	}
	return true
}

// follow updates the cursor from the page's timestamps.
func (c *Cursor) follow(dates timestamps) {
	c.Unit = min(c.Unit, dates.unit)
	switch {
	case c.Layout == "" && dates.layout != "":
		// From here on all times are by the clock of the server's texts.
		c.ask(question{At: dates.first.Add(-time.Nanosecond), Text: c.Query()})
		c.Layout, c.Last, c.Rough, c.Back = dates.layout, dates.top.At, false, nil
	case c.Stepped == 2:
		c.Last, c.Rough = dates.top.At, false // the objects at Last have gone
	default:
		c.Last = later(c.Last, dates.top.At)
	}
}

// move decides on the next question.
func (c *Cursor) move(t *Step, page threatmatch.Page, progress bool, dates timestamps, limit time.Time) {
	asked := c.question()
	next, further := c.next(dates)
	switch {
	case !page.More:
		t.Done = true
	case progress:
		if further {
			c.ask(next)
		}
	default:
		t.Stalled = true
		c.ask(c.stepPast(asked, dates))
		if c.Gap.IsZero() && (c.Rough || !c.After.Before(c.Last)) {
			c.Gap = c.Last
		}
		c.GapFull = c.GapFull || dates.count > 0 && dates.count >= c.Full
		t.Done = c.After.After(limit)
	}
	t.Done = t.Done || !c.Until.IsZero() && c.After.After(c.Until)
	if !c.Gap.IsZero() && (progress || t.Done && c.GapFull) {
		t.Gap = &Gap{From: c.Gap, To: asked.At}
	}
	if progress {
		c.Gap, c.GapFull, c.Stepped = time.Time{}, false, 0
	}
	again := c.After.Before(c.Last) && c.After.After(asked.At)
	c.Again, c.Doubt = again && !t.Stalled, again && t.Stalled
	if c.After.After(asked.At) {
		c.Back = &asked
		c.forget()
	}
}

// next returns the question after a page with something new, and false if it would
// not move forward.
func (c *Cursor) next(dates timestamps) (question, bool) {
	q := question{At: c.before(dates.back)}
	if c.Layout != "" || c.fine() && !q.At.After(c.After) {
		q = dates.earlier
	}
	return q, q.At.After(c.After)
}

// fine reports whether the server's timestamps are finer than a millisecond.
func (c *Cursor) fine() bool { return c.Unit < int64(time.Millisecond) && !c.Rough }

// before returns the time to ask from, so that the page includes the objects of the
// last timestamp, whether or not the server's comparison includes its bound.
func (c *Cursor) before(back time.Duration) time.Time {
	if c.Rough {
		return c.Last.Truncate(time.Second).Add(-time.Second - back)
	}
	return c.Last.Truncate(time.Millisecond).Add(-time.Millisecond - back)
}

// stepPast returns the next question after one that returned nothing new.
func (c *Cursor) stepPast(asked question, dates timestamps) question {
	var steps []question
	if c.Layout == "" {
		steps = append(steps, question{At: c.before(0)})
	}
	if c.Layout != "" || c.fine() {
		steps = append(steps, dates.earlier, dates.top, c.at(c.Last.Add(time.Duration(c.Unit))))
	}
	for _, d := range []time.Duration{0, time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		steps = append(steps, c.at(c.Last.Add(d)))
	}
	for _, q := range steps {
		if q.At.After(asked.At) && q.text() != asked.text() {
			return q
		}
	}
	return c.at(asked.At.Add(24 * time.Hour))
}

// forget drops objects that neither the next question nor a step back can return
// again.
func (c *Cursor) forget() {
	from := c.oldest()
	kept := c.Seen[:0]
	for _, k := range c.Seen {
		if k.At >= from.UnixNano() {
			kept = append(kept, k)
		}
	}
	c.Seen = kept
}

// oldest is the time before which no object is remembered.
func (c *Cursor) oldest() time.Time {
	if c.Back != nil && c.Back.At.Before(c.After) {
		return c.Back.At
	}
	return c.After
}

func later(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }
