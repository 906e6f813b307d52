// Package web is the page that shows a connector. It is rendered by the server,
// loads nothing from elsewhere, and works without its script.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"sync"
	"time"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

//go:embed *.html page.css page.js
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"utc":   utc,
	"rfc":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"size":  inspect.Size,
	"high":  func(most int64) int64 { return most / 5 * 4 },
	"add":   func(a, b int) int { return a + b },
	"took":  took,
	"tries": func(n int) string { return inspect.Count(n, "try") },
	"table": func(label string, all []inspect.Setting) settingsTable { return settingsTable{label, all} },
	"refs":  func(base string, all []inspect.Reference) refs { return refs{base, all} },
}).ParseFS(files, "*.html"))

// Source provides the data of the page. Several requests may use it at once.
type Source interface {
	Status() (inspect.Status, error)
	History() (inspect.History, error)
	Setup() (inspect.Setup, error)
	// The other methods are those of inspect.Inspector.
	Runs(before uint64, limit int) ([]inspect.Run, error)
	Unsettled() (inspect.Unsettled, error)
	Find(ctx context.Context, query string) (inspect.Found, error)
	Show(bucket, key string) (spool.Entry, []byte, error)
}

// frame is what all pages have.
type frame struct {
	Base  string // the prefix of their addresses
	Title string
	Here  string // the page's own address after Base
	Every int    // ms until the script asks again; 0: never

	Contents bool // contents are shown and actions are offered
}

type view struct{ Name, Path string }

// Views lists the pages, for the navigation.
func (frame) Views() []view {
	return []view{
		{"Now", ""}, {"Hour and day", "history"}, {"Runs", "runs"}, {"Failing, parked, dead", "unsettled"}, {"Find", "find"}, {"Set-up", "setup"},
	}
}

// site serves the pages of one source.
type site struct {
	src  Source
	now  func() time.Time
	base string
	// contents means that everything in the spool may be shown. Otherwise only
	// numbers, ids, states and reasons in our own words: errors and details may
	// quote a response.
	contents bool

	status    kept[inspect.Status]
	history   kept[inspect.History]
	unsettled kept[inspect.Unsettled]
	searching sync.Mutex
}

// Handler serves everything below /ui/, read-only and without intelligence
// contents.
func Handler(src Source, now func() time.Time) http.Handler {
	s := &site{src: src, now: now, base: "/ui/"}
	mux := http.NewServeMux()
	s.route(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w, "no-referrer")
		mux.ServeHTTP(w, r)
	})
}

func (s *site) route(mux *http.ServeMux) {
	for path, view := range map[string]func(*http.Request) (string, any, error){
		"{$}": s.overview, "history": s.curves, "runs": s.runs, "runs/{id}": s.run,
		"unsettled": s.list, "find": s.find, "setup": s.setup,
	} {
		mux.HandleFunc("GET "+s.base+path, func(w http.ResponseWriter, r *http.Request) { s.show(w, r, view) })
	}
	for _, name := range []string{"page.css", "page.js"} {
		mux.HandleFunc("GET "+s.base+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, name) })
	}
}

// errAbsent means that an address names something that does not exist.
var errAbsent = errors.New("not found")

func (s *site) show(w http.ResponseWriter, r *http.Request, view func(*http.Request) (string, any, error)) {
	name, data, err := view(r)
	switch {
	case errors.Is(err, errAbsent):
		http.Error(w, "not found", http.StatusNotFound)
		return
	case err != nil && s.contents:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	case err != nil:
		http.Error(w, "the connector's state cannot be read: see its log", http.StatusInternalServerError)
		return
	}
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, name, data); err != nil {
		http.Error(w, "the page cannot be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes()) // the client may be gone
}

func (s *site) frame(title, here string, every time.Duration) frame {
	return frame{Base: s.base, Title: title, Here: here, Every: int(every / time.Millisecond), Contents: s.contents}
}

func (s *site) ask() (inspect.Status, error) { return s.status.get(s.now(), time.Second, s.src.Status) }

// protect keeps browsers from doing with a page what we do not intend.
func protect(w http.ResponseWriter, referrer string) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", referrer)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// kept caches a result for a moment, so that many viewers cost little more than
// one.
type kept[T any] struct {
	mu sync.Mutex
	at time.Time
	v  T
}

func (k *kept[T]) get(now time.Time, life time.Duration, ask func() (T, error)) (T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if age := now.Sub(k.at); !k.at.IsZero() && age >= 0 && age < life {
		return k.v, nil
	}
	v, err := ask()
	if err == nil {
		k.at, k.v = now, v
	}
	return v, err
}

// forget makes the next call fetch anew.
func (k *kept[T]) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at = time.Time{}
}
