package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"threatmatch-connector/internal/inspect"
)

// found is what the spool knows about an id.
type found struct {
	frame
	inspect.Found
	Asked   bool
	Trouble string // why the search was not made
}

// findTime limits a search, which may read the whole spool. Only one runs at a
// time, to limit the cost for the connector.
const findTime = 8 * time.Second

func (s *site) find(r *http.Request) (string, any, error) {
	v := found{frame: s.frame("Find", "find", 0)}
	q := strings.TrimSpace(r.FormValue("q"))
	v.Query, v.Asked = q, q != ""
	switch {
	case q == "":
		return "find.html", v, nil
	case len(q) > 256:
		v.Trouble = "That is longer than any id."
		return "find.html", v, nil
	case !s.searching.TryLock():
		v.Trouble = "Another search is under way. Try again in a moment."
		return "find.html", v, nil
	}
	defer s.searching.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), findTime)
	defer cancel()
	f, err := s.src.Find(ctx, q)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		v.Trouble = "The spool is too large to search here; use threatmatch-connector spool find, which takes the time it needs."
		return "find.html", v, nil
	case err != nil:
		return "", nil, err
	}
	if v.Found = f; !s.contents {
		v.Found = bare(f)
	}
	return "find.html", v, nil
}

// bare returns what was found without any text from a response.
func bare(f inspect.Found) inspect.Found {
	f.Objects = changed(f.Objects, func(o *inspect.FoundObject) {
		o.Dead, o.Verdict = bareDead(o.Dead, o.Verdict)
		o.ID, o.Verdict = plainID(o.ID), plainWords(o.Verdict)
		o.RefersTo, o.ReferredBy = changed(o.RefersTo, bareRef), changed(o.ReferredBy, bareRef)
		o.Records = changed(o.Records, bareRecord)
	})
	f.Sources = changed(f.Sources, func(s *inspect.FoundSource) {
		s.Dead, s.Verdict = bareDead(s.Dead, s.Verdict)
		if t := s.Task; t != nil {
			s.Verdict = without(s.Verdict, t.Error)
		}
		s.Source, s.Verdict = plainID(s.Source), plainWords(s.Verdict)
		s.Objects = changed(s.Objects, func(id *string) { *id = plainID(*id) })
		s.Records = changed(s.Records, bareRecord)
	})
	return f
}

// changed returns a changed copy of a list.
func changed[T any](all []T, change func(*T)) []T {
	all = append([]T{}, all...)
	for i := range all {
		change(&all[i])
	}
	return all
}

func bareDead(dead []inspect.FoundDead, verdict string) ([]inspect.FoundDead, string) {
	dead = changed(dead, func(d *inspect.FoundDead) {
		verdict = without(verdict, d.Error)
		d.Error = ""
	})
	return dead, verdict
}

func bareRef(r *inspect.Reference) { r.By, r.ID = plainID(r.By), plainID(r.ID) }

func bareRecord(r *inspect.FoundRecord) { r.Source = plainID(r.Source) }

// plainWords replaces each word that is not plain, such as an unusual id.
func plainWords(sentence string) string {
	words := strings.Fields(sentence)
	for i, w := range words {
		if bare := strings.Trim(w, "(),;:"); bare != "" && plainID(bare) != bare {
			words[i] = "…"
		}
	}
	return strings.Join(words, " ")
}

// refs is a list of references and the prefix of their addresses.
type refs struct {
	Base string
	Refs []inspect.Reference
}
