package web

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"threatmatch-connector/internal/inspect"
)

// unsettled is what fails, is parked or is dead, by reason.
type unsettled struct {
	frame
	inspect.Unsettled
	Groups  []unsettledGroup
	NextRun time.Time
}

type unsettledGroup struct {
	inspect.Group
	Title  string
	ToDo   string
	More   int // how many are not in First
	Letter bool
}

// Cut reports whether there are more than the groups count.
func (u unsettled) Cut() bool { return u.All > int64(u.Looked) }

func (s *site) list(*http.Request) (string, any, error) {
	u, err := s.unsettled.get(s.now(), 5*time.Second, s.src.Unsettled)
	if err != nil {
		return "", nil, err
	}
	status, err := s.ask()
	if err != nil {
		return "", nil, err
	}
	v := unsettled{frame: s.frame("Failing, parked, dead", "unsettled", 0), Unsettled: u, NextRun: status.Next}
	for _, g := range u.Groups {
		v.Groups = append(v.Groups, s.group(g))
	}
	return "unsettled.html", v, nil
}

func (s *site) group(g inspect.Group) unsettledGroup {
	v := unsettledGroup{Group: g, More: g.Count - len(g.First), Letter: g.Kind == inspect.KindDead}
	if !s.contents {
		v.First = changed(g.First, func(c *inspect.Case) { c.Key, c.Of, c.Error = plainID(c.Key), plainID(c.Of), "" })
	}
	n := int64(g.Count)
	switch g.Kind {
	case inspect.KindFailing:
		v.Title = plural(n, "request") + " of " + g.Dataset
		v.ToDo = "nothing, each is tried again by itself; spool ls failing says what is wrong"
	case inspect.KindParked:
		v.Title = plural(n, "parked item") + " of " + g.Dataset
		v.ToDo = inspect.WhatToDo(g.Stage, inspect.ClassParked)
	default:
		v.Title = plural(n, "dead letter") + " of " + g.Stage
		if g.Dataset != "" {
			v.Title += ", " + g.Dataset
		}
		v.ToDo = inspect.WhatToDo(g.Stage, g.Class)
	}
	return v
}

// plain matches ids, titles of requests, and keys.
var plain = regexp.MustCompile(`^[\p{L}\d][\p{L}\d_.:/-]{0,120}$|^(list|page) of [a-zA-Z]+( groups)?( [\w/-]{1,100})?$`)

// plainID returns the id, or a placeholder if the source put something else there:
// no text of the feed appears on the page.
func plainID(id string) string {
	if id == "" || plain.MatchString(id) {
		return id
	}
	return "(an unusual id)"
}

// without removes text that may come from a response from one of our sentences.
func without(sentence string, quoted ...string) string {
	for _, q := range quoted {
		if q != "" {
			sentence = strings.ReplaceAll(sentence, ": "+q, "")
		}
	}
	return sentence
}
