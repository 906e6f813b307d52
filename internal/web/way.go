package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"threatmatch-connector/internal/inspect"
)

// way is the data flow: boxes, and an arrow after each but the last.
type way struct {
	Boxes  []box
	Arrows []arrow
}

// box is one station of the data flow.
type box struct {
	Name  string
	Look  string // stuck, grey (waits for what is stuck), or ""
	State string
	Since time.Time // when State began; zero if unknown
	Bar   *bar      // nil: it stores nothing, or its limit is unknown
}

// bar shows how full something is.
type bar struct {
	Used, Limit int64 // bytes
	Decimal     bool  // shown in MB, like OpenCTI's threshold
}

// Share is between 0 and 1.
func (b bar) Share() float64 { return min(1, float64(max(b.Used, 0))/float64(b.Limit)) }

func (b bar) String() string {
	if b.Decimal {
		return fmt.Sprintf("%.0f MB of %.0f MB", float64(b.Used)/1e6, float64(b.Limit)/1e6)
	}
	return inspect.Size(b.Used) + " of " + inspect.Size(b.Limit)
}

// arrow is the flow between two boxes; Unit is "" if it is not measured.
type arrow struct {
	Rate float64 // per second, over the last minute
	Unit string
}

// Text formats the rate, with one decimal if it is small.
func (a arrow) Text() string {
	if a.Rate < 10 && a.Rate != 0 {
		return strconv.FormatFloat(a.Rate, 'f', 1, 64)
	}
	return strconv.FormatFloat(a.Rate, 'f', 0, 64)
}

// The stations that are not stages of ours, by their names on the page.
const (
	atSource  = "ThreatMatch"
	atRecords = "records"
	atWaiting = "waiting and held"
	atBundles = "bundles"
	atBroker  = "RabbitMQ"
	atOpenCTI = "OpenCTI"
)

func wayOf(s inspect.Status) way {
	stuck := stuckBoxes(s)
	stage := func(name string) box {
		if st, ok := s.Stage(name); ok {
			return box{Name: name, State: st.State, Since: st.Since}
		}
		return box{Name: name, State: "not running"}
	}
	p := s.Spool
	stored := func(name, what string, n int64, oldest time.Time, buckets ...string) box {
		b := box{Name: name, State: plural(n, what), Since: oldest}
		if p.MaxBytes > 0 {
			b.Bar = &bar{Limit: p.MaxBytes}
			for _, k := range buckets {
				b.Bar.Used += p.Bytes[k]
			}
		}
		return b
	}
	waiting := stored(atWaiting, "", 0, oldestOf(p, "waiting", "held"), "waiting", "held")
	waiting.State = short(p.Waiting) + " waiting, " + short(p.Held) + " held"
	w := way{Boxes: []box{
		source(s), stage("fetch"), stored(atRecords, "record", p.Records, oldestOf(p, "records"), "records"), stage("map"),
		waiting, stored(atBundles, "message", p.Messages, oldestOf(p, "bundles"), "bundles"), stage("deliver"), broker(s), openCTI(s),
	}}
	for i := range w.Boxes {
		b := &w.Boxes[i]
		switch {
		case stuck[b.Name]:
			b.Look = "stuck"
		case len(stuck) > 0 && idle(b.State):
			b.Look = "grey"
		}
	}
	w.Arrows = make([]arrow, len(w.Boxes)-1)
	if r := s.Rates; r != nil {
		w.Arrows[0], w.Arrows[2] = arrow{r.Requests, "responses/s"}, arrow{r.Records, "records/s"}
		w.Arrows[4], w.Arrows[6] = arrow{r.Objects, "objects/s"}, arrow{r.Messages, "messages/s"}
	}
	return w
}

// idle reports whether a stage in this state does nothing.
func idle(state string) bool {
	switch state {
	case "idle", "waiting", "paused", "retrying":
		return true
	}
	return false
}

// stuckBoxes returns the stations at which data is held up.
func stuckBoxes(s inspect.Status) map[string]bool {
	at := map[string]bool{}
	for part := range s.NotReady {
		switch {
		case s.Spool.IsPaused(part):
			at[part] = true
		case part == "fetch" && sourceDown(s):
			at[atSource] = true
		case part == "fetch" && full(s):
			at[atWaiting] = true
		case part == "deliver" && s.Broker != "" && s.Broker != "connected":
			at[atBroker] = true
		case part == "platform":
			at[atOpenCTI] = true
		case part == "fetch", part == "map", part == "deliver":
			at[part] = true
		}
	}
	if s.Broker == "blocked" || s.Broker == "nacked" {
		at[atBroker] = true
	}
	if q := s.Queue; q != nil && q.Threshold > 0 && q.Bytes > q.Threshold {
		at[atOpenCTI] = true
	}
	return at
}

// sourceDown reports whether fetch is not ready because ThreatMatch is down or
// refuses it: fetch's reasons for both start with its name.
func sourceDown(s inspect.Status) bool { return strings.HasPrefix(s.NotReady["fetch"], atSource+" ") }

// full reports whether fetch waits for room in the spool.
func full(s inspect.Status) bool {
	return s.Spool.MaxBytes > 0 && s.Spool.LiveBytes > s.Spool.MaxBytes/5*4
}

func source(s inspect.Status) box {
	b := box{Name: atSource, State: "not asked"}
	switch {
	case sourceDown(s):
		fetch, _ := s.Stage("fetch")
		b.State, b.Since = "no response, or refused", fetch.Since
	case s.Running && len(s.Failing) > 0:
		b.State = "some requests fail"
	case s.Rates != nil && s.Rates.Requests > 0:
		b.State = "answers"
	}
	return b
}

func broker(s inspect.Status) box {
	state := s.Broker
	if i := strings.IndexAny(state, ";,("); i >= 0 { // the reason is too long for the box
		state = strings.TrimSpace(state[:i])
	}
	if state == "" {
		state = "not used"
		if !s.Running {
			state = "not connected"
		}
	}
	return box{Name: atBroker, State: state}
}

// openCTI describes the queue and the open works.
func openCTI(s inspect.Status) box {
	b := box{Name: atOpenCTI, State: "no open work"}
	works := int64(0)
	for _, r := range s.Runs {
		if r.Work.ID != "" {
			works++
		}
	}
	if works > 0 {
		b.State = plural(works, "open work")
	}
	if st, ok := s.Stage("platform"); ok && s.NotReady["platform"] != "" {
		b.State, b.Since = st.State, st.Since
	}
	if q := s.Queue; q != nil && q.Threshold > 0 {
		b.Bar = &bar{q.Bytes, q.Threshold, true}
	}
	return b
}

func oldestOf(p inspect.Stats, buckets ...string) time.Time {
	var at time.Time
	for _, k := range buckets {
		if t, ok := p.Oldest[k]; ok && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return short(n) + " " + what + "s"
}

// short formats a count so that it fits into a box.
func short(n int64) string {
	switch {
	case n < 100_000:
		return strconv.FormatInt(n, 10)
	case n < 1_000_000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprintf("%.1fM", float64(n/1000)/1000)
}
