package inspect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Trouble is something that holds data up, or that someone should look at.
type Trouble struct {
	Bad     bool   // nothing gets through
	About   string // a stage, a dataset, "dead letters", …
	Text    string // what is wrong, in a sentence
	Command string // the command to run next, without the program's name; "" if Text says it all
}

// Troubles returns the exceptions of a status, in the order of the data flow; empty
// if nothing needs attention.
func (s Status) Troubles() []Trouble {
	all := s.stageTroubles()
	if s.Settings != "" {
		all = append(all, Trouble{true, "settings", fmt.Sprintf("connector.id is %s, and the spool belongs to %s: a start exits with 78; use the id that the spool was made for, or another spool.dir",
			s.Settings, s.Spool.ConnectorID), ""})
	}
	look := func(about, command, format string, args ...any) {
		all = append(all, Trouble{About: about, Text: fmt.Sprintf(format, args...), Command: command})
	}
	for _, r := range s.Shown() {
		for _, d := range r.Datasets {
			if why, bad := s.why(r, d); bad {
				look(d.Dataset, "spool ls failing", "%s", why)
			} else if why != "" {
				look(d.Dataset, fmt.Sprintf("spool run %d", r.ID), "%s", why)
			}
		}
	}
	if d := (time.Duration(s.ClockAhead) * time.Second).Abs(); d > time.Minute {
		side := "ahead of"
		if s.ClockAhead < 0 {
			side = "behind"
		}
		look("clock", "check", "this machine's clock is %v %s ThreatMatch's: set the clock, preferably by NTP; until then each run ends at the earlier of the two", d, side)
	}
	p := s.Spool
	if p.Parked > 0 {
		held := ""
		for _, m := range p.Watermarks {
			if !m.Held.IsZero() {
				held = ", and keeping last_run back"
			}
		}
		look("parked", "spool dead", "%s, tried again in the next run%s", Count(p.Parked, "item"), held)
	}
	if n := p.Dead - p.Rejected; n > 0 {
		look("dead", "spool dead", "%s, kept whole", Count(n, "dead letter"))
	}
	if p.Rejected > 0 {
		look("rejected", "spool dead", "%s refused by OpenCTI's workers", Count(p.Rejected, "object"))
	}
	if p.SetAside != "" {
		look("spool", "spool salvage "+p.SetAside, "a damaged spool was set aside: %s; with the connector stopped, spool salvage brings back what it held; then remove the file", p.SetAside)
	}
	return all
}

// stageTroubles covers stages that are not ready, and ready ones that cannot work.
func (s Status) stageTroubles() []Trouble {
	var all []Trouble
	told := map[string]bool{}
	parts := []string{"spool"}
	for _, st := range s.Stages {
		parts = append(parts, st.Name)
	}
	for _, part := range append(parts, slices.Sorted(maps.Keys(s.NotReady))...) {
		if why := s.NotReady[part]; why != "" && !told[part] && !s.Spool.IsPaused(part) { // the top of a status shows what is paused
			all, told[part] = append(all, Trouble{true, part, why, ""}), true
		}
	}
	for _, st := range s.Stages {
		if s.NotReady[st.Name] == "" && st.Detail != "" && (st.State == "paused" || st.State == "waiting" || st.State == "retrying" && st.LastError != "" && st.Name != "fetch") {
			all = append(all, Trouble{false, st.Name, st.State + ": " + st.Detail, ""})
		}
	}
	return all
}

// Shown returns the open runs or, if there are none, the latest run.
func (s Status) Shown() []Run {
	if len(s.Runs) == 0 && s.Last != nil {
		return []Run{*s.Last}
	}
	return s.Runs
}

// why says what keeps a dataset of a run: the request that has been failing longest
// and is retried, or how the dataset ended if it did not end well.
func (s Status) why(r Run, d DatasetRun) (text string, retried bool) {
	var oldest *Failing
	n := int64(0)
	for i, f := range s.Failing {
		if f.Run != r.ID || f.Dataset != d.Dataset {
			continue
		}
		if n++; oldest == nil || f.Since.Before(oldest.Since) {
			oldest = &s.Failing[i]
		}
	}
	if oldest == nil {
		if d.Detail == "" {
			return "", false
		}
		return fmt.Sprintf("%s in run %d: %s", d.Status, r.ID, d.Detail), false
	}
	next := "next " + oldest.NextIn(s.Now)
	if !s.Running {
		next = "tried again at the next start"
	}
	text = fmt.Sprintf("%s: %s, %s, %s", oldest.Request, cmp.Or(oldest.Error, oldest.Class), Count(oldest.Tries, "try"), next)
	if n > 1 {
		text += fmt.Sprintf("; %d more", n-1)
	}
	return text, true
}

// NextIn says when the next try is due.
func (f Failing) NextIn(now time.Time) string {
	if !f.Next.After(now) {
		return "now"
	}
	return "in " + f.Next.Sub(now).Round(time.Second).String()
}

// Count formats a number with its noun.
func Count[N int | int64](n N, noun string) string {
	if y, ok := strings.CutSuffix(noun, "y"); ok && n != 1 {
		return fmt.Sprintf("%d %sies", n, y)
	}
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Size formats a number of bytes.
func Size(n int64) string {
	const units = "KMGT"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/(1<<10), 0
	for v >= 1<<10 && i < len(units)-1 {
		v /= 1 << 10
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}
