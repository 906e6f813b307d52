package web

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/inspect"
)

func get(t *testing.T, path string, s inspect.Status, err error) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(func() (inspect.Status, error) { return s, err }).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("GET %s: got the policy %q, want one that begins with default-src 'none'", path, csp)
	}
	return w
}

func TestPage(t *testing.T) {
	since := time.Date(2026, 3, 7, 4, 13, 57, 0, time.UTC)
	stuck := inspect.Status{
		Now: since, NotReady: map[string]string{"deliver": "<b>no broker</b>"},
		Stages: []inspect.Stage{
			{Name: "fetch", State: "working", Since: since, Detail: "FEED TEXT", LastError: "FEED TEXT"},
			{Name: "deliver", State: "waiting", Since: since},
		},
		Runs: []inspect.Run{{ID: 31, Phase: "fetching", Created: since}},
		Failing: []inspect.Failing{
			{Dataset: "profiles", Class: "server", Tries: 9, Next: since.Add(43 * time.Second), Error: "FEED TEXT"},
			{Dataset: "profiles", Class: "server", Tries: 4, Next: since.Add(17 * time.Second), Error: "FEED TEXT"},
			{Dataset: "alerts", Class: "server", Tries: 2, Next: since.Add(71 * time.Second), Error: "FEED TEXT"},
		},
	}
	stuck.Spool.Dead = 10_000
	for name, tt := range map[string]struct {
		status     inspect.Status
		want, lack []string
	}{
		"empty": {inspect.Status{Ready: true}, []string{"Ready.", "None."}, []string{"Not ready", "stuck", "Requests that fail"}},
		"stuck": {stuck, []string{"&lt;b&gt;no broker", `class="stuck"><b>deliver`, "<li><b>fetch", "10000", "Run 31: fetching", "04:13:57 UTC",
			"profiles, server: 2 waiting, up to 9 tries, next 2026-03-07 04:14:14 UTC", "alerts, server: 1 waiting, up to 2 tries, next 2026-03-07 04:15:08 UTC"},
			[]string{"FEED TEXT", "<b>no broker", "Ready."}},
	} {
		t.Run(name, func(t *testing.T) {
			got := get(t, "/ui/", tt.status, nil).Body.String()
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("got a page without %q, want it there:\n%s", want, got)
				}
			}
			for _, lack := range append(tt.lack, "http://", "https://", "<script", "style=") {
				if strings.Contains(got, lack) {
					t.Errorf("got a page with %q, want it nowhere:\n%s", lack, got)
				}
			}
		})
	}
}

func TestStyleAndFailure(t *testing.T) {
	if w := get(t, "/ui/page.css", inspect.Status{}, nil); w.Code != 200 || w.Body.Len() == 0 {
		t.Errorf("page.css: got %d with %d bytes, want 200 and the style", w.Code, w.Body.Len())
	}
	w := get(t, "/ui/", inspect.Status{}, errors.New("SECRET"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "SECRET") {
		t.Errorf("a status that fails: got %d %q, want 500 without the error's text", w.Code, w.Body)
	}
}
