// Package web is the page that shows a connector's status: read-only, made by
// the server, with nothing from outside.
package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"time"

	"threatmatch-connector/internal/inspect"
)

//go:embed page.html
var source string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"utc": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"mib": func(n int64) int64 { return n >> 20 },
}).Parse(source))

//go:embed page.css
var style []byte

// Handler answers /ui/ and /ui/page.css. status is asked once a page and may be
// called at the same time by several requests. Texts of errors and details of
// stages may quote a server's answer: none of them stands on the page, only the
// reasons that /readyz gives.
func Handler(status func() (inspect.Status, error)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ui/{$}", func(w http.ResponseWriter, _ *http.Request) {
		secure(w.Header())
		s, err := status()
		if err != nil {
			http.Error(w, "the status cannot be read: see the log", http.StatusInternalServerError)
			return
		}
		var out bytes.Buffer
		if err := page.Execute(&out, viewOf(s)); err != nil {
			http.Error(w, "the page cannot be made", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(out.Bytes()) // the client may be gone
	})
	mux.HandleFunc("GET /ui/page.css", func(w http.ResponseWriter, _ *http.Request) {
		secure(w.Header())
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(style)
	})
	return mux
}

func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

type view struct {
	inspect.Status
	Problems []problem
	Boxes    []box
	Stores   []store
	Groups   []group
}

type problem struct{ Part, Reason string }

type box struct {
	Name, State string
	Since       time.Time
	Stuck       bool
}

// group is the requests of a dataset that fail for the same reason.
type group struct {
	Dataset, Class string
	Count, Tries   int       // requests; most tries of one
	Next           time.Time // the soonest next try
}

type store struct {
	Name  string
	Count int64
}

func viewOf(s inspect.Status) view {
	v := view{Status: s, Groups: groupsOf(s.Failing)}
	for _, part := range slices.Sorted(maps.Keys(s.NotReady)) {
		v.Problems = append(v.Problems, problem{part, s.NotReady[part]})
	}
	for _, st := range s.Stages {
		_, stuck := s.NotReady[st.Name]
		v.Boxes = append(v.Boxes, box{st.Name, st.State, st.Since, stuck})
	}
	p := s.Spool
	v.Stores = []store{
		{"requests to make", p.Tasks}, {"parked", p.Parked}, {"records", p.Records}, {"waiting objects", p.Waiting},
		{"held objects", p.Held}, {"bundles", p.Bundles}, {"dead letters", p.Dead},
	}
	return v
}

// groupsOf keeps the order in which the groups first appear.
func groupsOf(failing []inspect.Failing) []group {
	var all []group
	for _, f := range failing {
		i := slices.IndexFunc(all, func(g group) bool { return g.Dataset == f.Dataset && g.Class == f.Class })
		if i < 0 {
			all = append(all, group{f.Dataset, f.Class, 1, f.Tries, f.Next})
			continue
		}
		g := &all[i]
		g.Count++
		g.Tries = max(g.Tries, f.Tries)
		if f.Next.Before(g.Next) {
			g.Next = f.Next
		}
	}
	return all
}
