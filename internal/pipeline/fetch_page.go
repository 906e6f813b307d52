package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"threatmatch-connector/internal/threatmatch"
)

// IOCs are paged by date: one asks for what was modified after a time, and the
// time of the last object on the page is where to go on. Timestamps that are
// equal, and a comparison of which nobody knows whether it includes its bound,
// make that loop lose objects or turn in circles. So:
//
//   - the next page is asked for from a millisecond before the last timestamp
//     (earlier still when the page was out of order), and what was already
//     taken is dropped by id and timestamp;
//   - that page must show again what stood at the last timestamp; if it does
//     not, the server compares more roughly, and a second is asked back;
//   - the same question is repeated as long as it brings something new;
//   - when it does not, although the server says that there is more, the
//     question moves on in growing steps, and what may lie between is told as
//     a gap.
//
// But for that one second the question never moves back, and at one question
// the set of objects taken only grows: paging ends on every server that is finite.

// pageCursor is where the paging of one group and type stands. It is stored as JSON in the task.
type pageCursor struct {
	Group string    `json:"group"`
	Type  string    `json:"type"`
	After time.Time `json:"after"` // what is asked next
	Last  time.Time `json:"last"`  // the greatest timestamp so far; at first the window's start
	Unit  int64     `json:"unit"`  // nanoseconds: the resolution that the server's timestamps show
	Seen  []pageKey `json:"seen"`  // objects taken whose timestamp is not before After
	Full  int       `json:"full"`  // the most objects that a page had
	// Again: the next page must show something that was taken before.
	Again bool `json:"again,omitempty"`
	Rough bool `json:"rough,omitempty"` // the server compares by the second
	// Gap is where the question began to be moved on past full or empty pages.
	Gap     time.Time `json:"gap,omitzero"`
	GapFull bool      `json:"gap_full,omitempty"` // one of them was full
}

// pageKey stands for one object taken.
type pageKey struct {
	Key string `json:"k"`
	At  int64  `json:"t"` // Unix nanoseconds
}

// pageGap is a span of which the server may hold more than it gave.
type pageGap struct{ From, To time.Time }

// pageTurn is what one page brought.
type pageTurn struct {
	Fresh      []threatmatch.PageObject
	Gap        *pageGap
	Done       bool
	OutOfOrder bool
	Stalled    bool // the server says that there is more, but gave nothing new
}

func newPageCursor(group, stixType string, from time.Time) pageCursor {
	from = from.UTC().Truncate(time.Millisecond)
	return pageCursor{Group: group, Type: stixType, After: from, Last: from, Unit: int64(time.Millisecond)}
}

// asked returns After as the API takes it: with milliseconds, and finer only where needed.
func (c *pageCursor) asked() string {
	form := "2006-01-02T15:04:05.000Z"
	switch ns := c.After.Nanosecond(); {
	case ns%int(time.Microsecond) != 0:
		form = "2006-01-02T15:04:05.000000000Z"
	case ns%int(time.Millisecond) != 0:
		form = "2006-01-02T15:04:05.000000Z"
	}
	return c.After.UTC().Format(form)
}

// turn takes a page in and moves the cursor. Timestamps later than a day from
// now are taken for nonsense: they do not move it.
func (c *pageCursor) turn(page threatmatch.Page, now time.Time) pageTurn {
	limit := now.Add(24 * time.Hour)
	var t pageTurn
	seen := make(map[string]bool, len(c.Seen))
	for _, k := range c.Seen {
		seen[k.Key] = true
	}
	var running time.Time  // greatest so far on this page
	var back time.Duration // how far the page falls back behind it
	var undated []int      // indices in c.Seen of what has no timestamp
	progress, again := false, false
	for _, o := range page.Objects {
		at, unit := modifiedAt(o.Modified)
		if !at.IsZero() && !at.After(limit) {
			back = max(back, running.Sub(at))
			running = later(running, at)
			c.Unit = min(c.Unit, unit)
		}
		key := objectKey(o)
		if seen[key] {
			again = true
			continue
		}
		seen[key] = true
		if at.IsZero() {
			undated = append(undated, len(c.Seen))
		}
		c.Seen = append(c.Seen, pageKey{Key: key, At: at.UnixNano()})
		t.Fresh = append(t.Fresh, o)
		progress = progress || o.ID != ""
	}
	last := c.Last
	c.Last = later(last, running)
	for _, i := range undated {
		c.Seen[i].At = c.Last.UnixNano()
	}
	c.Full = max(c.Full, len(page.Objects))
	t.OutOfOrder = back > 0
	if c.Again && !again && !c.Rough {
		c.Again, c.Rough, c.Last = false, true, last
		c.After = c.before(0)
		return t
	}
	c.move(&t, page, progress, back, limit)
	return t
}

// move decides what is asked next.
func (c *pageCursor) move(t *pageTurn, page threatmatch.Page, progress bool, back time.Duration, limit time.Time) {
	asked := c.After
	switch {
	case !page.More:
		t.Done = true
	case progress:
		c.After = later(c.After, c.before(back))
	default:
		t.Stalled = true
		c.After = c.stepPast(asked)
		if c.Gap.IsZero() && (c.Rough || !c.After.Before(c.Last)) {
			c.Gap = c.Last
		}
		c.GapFull = c.GapFull || len(page.Objects) > 0 && len(page.Objects) >= c.Full
		t.Done = c.After.After(limit)
	}
	if !c.Gap.IsZero() && (progress || t.Done && c.GapFull) {
		t.Gap = &pageGap{From: c.Gap, To: asked}
	}
	if progress {
		c.Gap, c.GapFull = time.Time{}, false
	}
	c.Again = c.After.Before(c.Last) && c.After.After(asked)
	if t.Done {
		c.Seen = nil
	} else if c.After.After(asked) {
		c.forget()
	}
}

// before returns from where to ask so that neither an inclusive nor an
// exclusive server leaves out objects of the last timestamp.
func (c *pageCursor) before(back time.Duration) time.Time {
	if c.Rough {
		return c.Last.Truncate(time.Second).Add(-time.Second - back)
	}
	return c.Last.Truncate(time.Millisecond).Add(-time.Millisecond - back)
}

// stepPast returns the next question after one that brought nothing new.
func (c *pageCursor) stepPast(asked time.Time) time.Time {
	unit := time.Duration(c.Unit)
	steps := []time.Time{c.before(0), c.Last.Add(-unit), c.Last, c.Last.Add(unit)}
	for _, d := range []time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		steps = append(steps, c.Last.Add(d))
	}
	for _, s := range steps {
		if s.After(asked) {
			return s
		}
	}
	return asked.Add(24 * time.Hour)
}

// forget drops what the next question cannot bring again.
func (c *pageCursor) forget() {
	kept := c.Seen[:0]
	for _, k := range c.Seen {
		if k.At >= c.After.UnixNano() {
			kept = append(kept, k)
		}
	}
	c.Seen = kept
}

// freshBody returns the page's body, or one of only what is new on it; nil if nothing is.
func (t *pageTurn) freshBody(page threatmatch.Page) []byte {
	switch len(t.Fresh) {
	case 0:
		return nil
	case len(page.Objects):
		return page.Bytes
	}
	var b bytes.Buffer
	b.WriteString(`{"objects":[`)
	for i, o := range t.Fresh {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(o.Raw)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// objectKey tells objects and their versions apart; an element without an id by its bytes.
func objectKey(o threatmatch.PageObject) string {
	text := o.ID + "\x00" + o.Modified
	if o.ID == "" {
		text = "\x00" + string(o.Raw)
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// modifiedAt reads an object's timestamp and the resolution that its digits
// show, no coarser than a millisecond. Zero: none that is usable.
func modifiedAt(text string) (time.Time, int64) {
	at, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "T", 1))
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05.999999999", strings.Replace(text, " ", "T", 1))
	}
	if err != nil || at.Year() < 1970 || at.Year() > 2200 {
		return time.Time{}, int64(time.Millisecond)
	}
	at = at.UTC()
	digits := 0
	if _, fraction, ok := strings.Cut(text, "."); ok {
		digits = len(fraction) - len(strings.TrimLeft(fraction, "0123456789"))
	}
	switch {
	case digits <= 3:
		return at, int64(time.Millisecond)
	case digits <= 6:
		return at, int64(time.Microsecond)
	}
	return at, int64(time.Nanosecond)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
