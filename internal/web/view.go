package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// overview is what the first page shows.
type overview struct {
	frame
	inspect.Status
	Problems []problem // the most important first
	Ways     []drawing
	Boxes    []box
	Stores   []store
	Groups   []string // the requests that fail, by dataset and reason
	Switches []stageSwitch
	Datasets []spool.Dataset
}

// stageSwitch pauses or resumes a stage.
type stageSwitch struct{ Stage, Action, Text string }

func switchesOf(s inspect.Status) []stageSwitch {
	var all []stageSwitch
	for _, st := range stages {
		if s.Spool.IsPaused(st) {
			all = append(all, stageSwitch{st, "resume", "Resume " + st})
		} else {
			all = append(all, stageSwitch{st, "pause", "Pause " + st})
		}
	}
	return all
}

// problem is something that needs attention or holds data up, in the words of
// status and health.
type problem struct {
	Part, Reason string
	Command      string // the command to run next
}

type store struct {
	Name  string
	Count int64
}

func (s *site) overview(*http.Request) (string, any, error) {
	status, err := s.ask()
	if err != nil {
		return "", nil, err
	}
	v := overviewOf(status)
	v.frame = s.frame("Now", "", 3*time.Second)
	return "page.html", v, nil
}

func overviewOf(s inspect.Status) overview {
	v := overview{Status: s, Switches: switchesOf(s), Datasets: spool.Datasets(), Problems: problemsOf(s)}
	if !s.Running || s.NotReady["fetch"] != "" { // else the problems have them
		for _, g := range s.FailingGroups() {
			v.Groups = append(v.Groups, failingText(g))
		}
	}
	way := wayOf(s)
	v.Boxes, v.Ways = way.Boxes, draw(way)
	p := s.Spool
	v.Stores = []store{
		{"requests to make", p.Tasks}, {"queued of a repull or retry", p.Queued}, {"parked items", p.Parked}, {"records", p.Records}, {"waiting objects", p.Waiting},
		{"held objects", p.Held}, {"messages to confirm", p.Messages}, {"dead letters", p.Dead - p.Rejected}, {"refused by OpenCTI", p.Rejected},
	}
	return v
}

const program = "threatmatch-connector "

// parts are the parts that can have problems, in the order of the data flow.
var parts = []string{"spool", "schedule", "fetch", "map", "deliver", "platform", "verdicts", "housekeep"}

func problemsOf(s inspect.Status) []problem {
	var all []problem
	for _, p := range s.Spool.Paused { // also of a stopped connector
		why, _, _ := strings.Cut(p.Why(), ";") // the command is shown below it
		all = append(all, problem{p.Stage, why, program + "resume " + p.Stage})
	}
	for _, part := range slices.SortedFunc(maps.Keys(s.NotReady), byWay) {
		if !s.Spool.IsPaused(part) {
			all = append(all, problem{part, s.NotReady[part], commandFor(s, part)})
		}
	}
	if !s.Running {
		return all
	}
	for _, st := range s.Stages {
		// A paused stage describes itself in our own words. Other details may quote
		// a response.
		if st.State == "paused" && s.NotReady[st.Name] == "" && st.Detail != "" {
			all = append(all, problem{st.Name, "paused: " + st.Detail, program + "status"})
		}
	}
	if s.NotReady["fetch"] == "" {
		for _, g := range s.FailingGroups() {
			all = append(all, problem{"fetch", failingText(g), program + "spool ls failing"})
		}
	}
	return all
}

func byWay(a, b string) int {
	place := func(part string) int {
		if i := slices.Index(parts, part); i >= 0 {
			return i
		}
		return len(parts)
	}
	return cmp.Or(place(a)-place(b), strings.Compare(a, b))
}

func commandFor(s inspect.Status, part string) string {
	switch {
	case part == "spool":
		return program + "spool verify"
	case part == "fetch" && full(s):
		return program + "spool stats"
	case part == "fetch" && len(s.Failing) > 0 && !sourceDown(s):
		return program + "spool ls failing"
	case part == "fetch", part == "deliver", part == "platform":
		return program + "check"
	}
	return program + "status"
}

// failingText says which requests fail, without any text from a response.
func failingText(g inspect.Group) string {
	what := "1 request of " + g.Dataset + " fails"
	if g.Count > 1 {
		what = fmt.Sprintf("%d requests of %s fail", g.Count, g.Dataset)
	}
	return fmt.Sprintf("%s (%s), up to %s, next %s", what, g.Class, inspect.Count(g.Tries, "try"), utc(g.Next))
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
