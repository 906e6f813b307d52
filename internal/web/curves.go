package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// The coordinate space of the curves; the browser stretches it.
const (
	curveW = 1000
	curveH = 100
)

// history is the last hour or day as curves.
type history struct {
	frame
	Day              bool
	From, Middle, To time.Time
	Curves           []curve
	Events           []event
	Empty            bool
}

// curve is one small chart.
type curve struct {
	Title string
	Top   string // the value at its upper edge
	Lines []line
	Bands []band
	Marks []band
}

type line struct {
	Name, Now string
	Number    int // which line of the curve, for its style
	Path      string
}

// band is a section of the time axis.
type band struct {
	X, W float64
	What string
}

// event is something that happened in the time shown; From is the start of an
// outage.
type event struct {
	From, To time.Time
	What     string
	outage   bool
}

func (s *site) curves(r *http.Request) (string, any, error) {
	h, err := s.history.get(s.now(), 2*time.Second, s.src.History)
	if err != nil {
		return "", nil, err
	}
	v := historyOf(h, s.now(), r.FormValue("of") == "day")
	v.frame = s.frame("Hour and day", "history", 15*time.Second)
	return "history.html", v, nil
}

func historyOf(h inspect.History, now time.Time, day bool) history {
	samples, span, every := h.Hour, time.Hour, 15*time.Second
	if day {
		samples, span, every = h.Day, 24*time.Hour, 5*time.Minute
	}
	v := history{Day: day, From: now.Add(-span), Middle: now.Add(-span / 2), To: now, Empty: len(samples) == 0}
	samples = slices.DeleteFunc(slices.Clone(samples), func(s inspect.Sample) bool { return s.At.Before(v.From) || s.At.After(now) })
	v.Events = eventsOf(h, samples, v.From, every)
	p := plot{v.From, span, every, samples}
	v.Curves = p.curves()
	for i := range v.Curves {
		for _, e := range v.Events {
			if b := (band{p.x(e.From), max(p.x(e.To)-p.x(e.From), 2), e.What}); e.outage {
				v.Curves[i].Bands = append(v.Curves[i].Bands, b)
			} else {
				v.Curves[i].Marks = append(v.Curves[i].Marks, b)
			}
		}
	}
	return v
}

// eventsOf returns starts, resets and outages, oldest first.
func eventsOf(h inspect.History, samples []inspect.Sample, from time.Time, every time.Duration) []event {
	var all []event
	if h.Began.After(from) {
		all = append(all, event{h.Began, h.Began, "the connector started", false})
	}
	for _, s := range samples {
		if s.Reset {
			all = append(all, event{s.At, s.At, "the state was reset on OpenCTI", false})
		}
		if len(s.NotReady) == 0 {
			continue
		}
		what, begin := strings.Join(s.NotReady, ", ")+" not ready", s.At.Add(-every)
		last := slices.IndexFunc(all, func(e event) bool { return e.outage && e.What == what && s.At.Sub(e.To) < 2*every })
		if last >= 0 {
			all[last].To = s.At
			continue
		}
		all = append(all, event{begin, s.At, what, true})
	}
	slices.SortStableFunc(all, func(a, b event) int { return a.From.Compare(b.From) })
	return all
}

// plot turns samples into lines.
type plot struct {
	from    time.Time
	span    time.Duration
	every   time.Duration
	samples []inspect.Sample
}

func (p plot) x(t time.Time) float64 {
	return min(max(float64(t.Sub(p.from))/float64(p.span)*curveW, 0), curveW)
}

// series is a line before it is drawn.
type series struct {
	name string
	of   func(inspect.Sample) float64 // negative: unknown
}

func (p plot) curves() []curve {
	speed := func(v float64) string { return arrow{Rate: v}.Text() + "/s" }
	count := func(v float64) string { return short(int64(v)) }
	bytes := func(v float64) string { return inspect.Size(int64(v)) }
	age := func(v float64) string { return took(time.Duration(v) * time.Second) }
	var behind []series
	for i, d := range spool.Datasets() { // the order of Sample.Behind
		behind = append(behind, series{string(d), func(s inspect.Sample) float64 {
			if i >= len(s.Behind) {
				return -1
			}
			return float64(s.Behind[i])
		}})
	}
	type S = inspect.Sample
	return []curve{
		p.draw("Requests to ThreatMatch", speed,
			series{"answered", func(s S) float64 { return s.OK }}, series{"refused (4xx)", func(s S) float64 { return s.Refused }},
			series{"failed (5xx)", func(s S) float64 { return s.Failed }}, series{"no response", func(s S) float64 { return s.None }}),
		p.draw("To RabbitMQ", speed,
			series{"objects mapped", func(s S) float64 { return s.Objects }}, series{"messages confirmed", func(s S) float64 { return s.Confirmed }}),
		p.draw("To fetch and to map", count,
			series{"requests to make", func(s S) float64 { return float64(s.Tasks) }}, series{"records", func(s S) float64 { return float64(s.Records) }}),
		p.draw("To send", count,
			series{"waiting and held", func(s S) float64 { return float64(s.Waiting) }}, series{"messages", func(s S) float64 { return float64(s.Messages) }}),
		p.draw("Spool", bytes,
			series{"in use", func(s S) float64 { return float64(s.Live) }}, series{"on disk", func(s S) float64 { return float64(s.File) }}),
		p.draw("Oldest to map or send", age, series{"age", func(s S) float64 { return float64(s.Oldest) }}),
		p.draw("Age of what is confirmed", age, behind...),
	}
}

func (p plot) draw(title string, text func(float64) string, all ...series) curve {
	top := 0.0
	for _, s := range all {
		for _, at := range p.samples {
			top = max(top, s.of(at))
		}
	}
	c := curve{Title: title, Top: text(top)}
	for i, s := range all {
		l := line{Name: s.name, Now: "–", Number: i + 1}
		var path strings.Builder
		var before time.Time
		for _, at := range p.samples {
			v := s.of(at)
			if v < 0 {
				continue
			}
			command := "L"
			if before.IsZero() || at.At.Sub(before) > 2*p.every {
				command = "M" // there is no data in between
			}
			y := curveH - 2.0
			if top > 0 {
				y -= v / top * (curveH - 4)
			}
			_, _ = fmt.Fprintf(&path, "%s%.1f %.1f", command, p.x(at.At), y)
			if command == "M" {
				path.WriteString("h0.5") // a single sample is drawn as a dot
			}
			before, l.Now = at.At, text(v)
		}
		l.Path = path.String()
		c.Lines = append(c.Lines, l)
	}
	return c
}

// took formats a duration in its two largest units.
func took(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	switch days := d / (24 * time.Hour); {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
