package web

import (
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestViews: each view says what it must, and nothing that comes from the feed or a
// response.
func TestViews(t *testing.T) {
	for _, st := range viewStates() {
		for _, v := range views() {
			w := httptest.NewRecorder()
			Handler(st.connector, now).ServeHTTP(w, httptest.NewRequest("GET", "/ui/"+v.path, nil))
			got := html.UnescapeString(w.Body.String())
			if w.Code != 200 || !strings.Contains(got, st.say[v.path]) {
				t.Errorf("%s, %s: got %d and %q, want %q in it", st.name, v.path, w.Code, got, st.say[v.path])
			}
			for _, lack := range []string{feed, "http://", "style=", "<no value>", "%!", "<script>", "<b>!"} {
				if strings.Contains(got, lack) {
					t.Errorf("%s, %s: got a page with %q, want it nowhere:\n%s", st.name, v.path, lack, got)
				}
			}
		}
	}
}

// TestContentsShowWhereTheyMay: the same pages show the errors if contents are
// allowed.
func TestContentsShowWhereTheyMay(t *testing.T) {
	for _, path := range []string{"runs/31", "unsettled", "find?q=" + malware, "find?q=reports/27"} {
		w := httptest.NewRecorder()
		s := &site{src: connector(healthy()), now: now, base: "/ui/", contents: true}
		mux := http.NewServeMux()
		s.route(mux)
		mux.ServeHTTP(w, httptest.NewRequest("GET", "/ui/"+path, nil))
		if !strings.Contains(w.Body.String(), feed) {
			t.Errorf("%s: got no contents, want them", path)
		}
	}
}

func TestAddressesThatNameNothing(t *testing.T) {
	for _, path := range []string{"/ui/runs/99", "/ui/runs/x", "/ui/nothing", "/ui/frame.html"} {
		w := httptest.NewRecorder()
		Handler(connector(healthy()), now).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 404 {
			t.Errorf("%s: got %d, want 404", path, w.Code)
		}
	}
}
