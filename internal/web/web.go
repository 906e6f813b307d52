// Package web is the page that shows a connector's status: read-only, made by
// the server, with nothing from outside.
package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"time"

	"threatmatch-connector/internal/inspect"
)

//go:embed *.html page.css page.js
var files embed.FS

var page = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"utc":  utc,
	"rfc":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"size": size,
	"high": func(most int64) int64 { return most / 5 * 4 },
	"add":  func(a, b int) int { return a + b },
}).ParseFS(files, "*.html"))

// Handler answers what is below /ui/. status is asked once a page and may be
// called at the same time by several requests. Texts of errors and details of
// stages that work may quote a server's answer: none of them stands on the page,
// only the reasons that /readyz gives and why a stage is paused.
func Handler(status func() (inspect.Status, error)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ui/{$}", func(w http.ResponseWriter, _ *http.Request) {
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
	mux.Handle("GET /ui/page.css", asset("page.css", "text/css; charset=utf-8"))
	mux.Handle("GET /ui/page.js", asset("page.js", "text/javascript; charset=utf-8"))
	return secure(mux)
}

func asset(name, kind string) http.Handler {
	body, err := files.ReadFile(name)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(body)
	})
}

func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
