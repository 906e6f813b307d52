package pipelinetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"threatmatch-connector/internal/threatmatch"
	"time"
)

// Pager is a server of dated objects that pages like the API. It accepts queries
// only in the forms that the reference client sends.
type Pager struct {
	Objects   []threatmatch.PageObject // ascending
	Times     []time.Time              // of the objects
	Size      int
	Exclusive bool
	Shuffle   *rand.Rand
	Trunc     time.Duration  // resolution to which it truncates the bound; zero: exact
	Rough     bool           // it also truncates the objects' timestamps
	Local     *time.Location // time zone of texts without a zone; nil: UTC
	Layouts   []string       // layouts of texts without a zone that it accepts
	Asked     []string
}

// bound reads a query.
func (p *Pager) bound(after string) time.Time {
	if at, err := time.Parse(Millis, after); err == nil && at.Format(Millis) == after {
		return at
	}
	for i, o := range p.Objects {
		if o.Modified == after {
			return p.Times[i]
		}
	}
	for _, layout := range p.Layouts {
		if at, err := time.ParseInLocation(layout, after, cmp.Or(p.Local, time.UTC)); err == nil && at.Format(layout) == after {
			return at
		}
	}
	panic("asked in a form that the reference client never sends: " + after)
}

func (p *Pager) Page(after string) threatmatch.Page {
	p.Asked = append(p.Asked, after)
	bound := p.bound(after)
	if p.Trunc > 0 {
		bound = bound.Truncate(p.Trunc)
	}
	var out threatmatch.Page
	var objects []threatmatch.PageObject
	for i, o := range p.Objects {
		at := p.Times[i]
		if p.Rough {
			at = at.Truncate(p.Trunc)
		}
		if at.Before(bound) || p.Exclusive && at.Equal(bound) {
			continue
		}
		if len(objects) == p.Size {
			out.More = true
			break
		}
		objects = append(objects, o)
	}
	if p.Shuffle != nil {
		p.Shuffle.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
	}
	raw := make([]string, len(objects))
	for i, o := range objects {
		raw[i] = string(o.Raw)
	}
	out.Objects = slices.Values(objects)
	out.Bytes = fmt.Appendf(nil, `{"objects":[%s],"more":%v}`, strings.Join(raw, ","), out.More)
	return out
}

func (p *Pager) Add(n int, at time.Time, form string) {
	for range n {
		p.AddAs(at.Truncate(resolution(form)), write(at.In(cmp.Or(p.Local, time.UTC)), form))
	}
}

func (p *Pager) AddAs(at time.Time, modified string) {
	id := fmt.Sprintf("indicator--%05d", len(p.Objects))
	o := threatmatch.PageObject{ID: id, Modified: modified}
	o.Raw = fmt.Appendf(nil, `{"id":%q,"modified":%q}`, o.ID, o.Modified)
	p.Objects, p.Times = append(p.Objects, o), append(p.Times, at)
}

// EpochForm and MillisForm are forms that package time has no layout for.
const EpochForm, MillisForm = "epoch", "epoch milliseconds"

func write(at time.Time, form string) string {
	switch form {
	case EpochForm:
		return fmt.Sprint(at.Unix())
	case MillisForm:
		return fmt.Sprint(at.UnixMilli())
	}
	return at.Format(form)
}

// resolution returns the resolution of a form.
func resolution(form string) time.Duration {
	switch {
	case form == MillisForm || strings.Contains(form, ".000Z") || strings.HasSuffix(form, ".000"):
		return time.Millisecond
	case strings.Contains(form, ".000000"):
		return time.Microsecond
	case form == EpochForm || strings.Contains(form, ":05"):
		return time.Second
	}
	return time.Minute
}

const Millis, Micros, Secs = "2006-01-02T15:04:05.000Z", "2006-01-02T15:04:05.000000Z", "2006-01-02T15:04:05Z"

var PageEpoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
