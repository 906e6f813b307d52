package web

import (
	"errors"
	"html"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"threatmatch-connector/internal/inspect"
)

func get(t *testing.T, path string, s inspect.Status, err error) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	c := connector(s)
	c.err = err
	Handler(c, now).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("GET %s: got the policy %q, want one that begins with default-src 'none'", path, csp)
	}
	return w
}

var (
	redBox   = regexp.MustCompile(`<g class="box stuck"><rect[^>]*>\s*<text class="name"[^>]*>([^<]*)</text>\s*<text[^>]*>[^<]*</text>\s*<text class="since"[^>]*>stuck `)
	sentence = regexp.MustCompile(`(?s)<p class="sentence[^"]*">(.*?)</p>`)
	typed    = regexp.MustCompile(`<p class="command"><code>([^<]*)</code>`)
)

func TestStates(t *testing.T) {
	for _, tt := range states() {
		t.Run(tt.name, func(t *testing.T) {
			got := html.UnescapeString(get(t, "/ui/", tt.status, nil).Body.String())
			var red []string
			for _, m := range redBox.FindAllStringSubmatch(got, -1) {
				red = append(red, m[1])
			}
			var want []string
			if tt.stuck != "" {
				want = slices.Repeat([]string{tt.stuck}, len(layouts()))
			}
			if !slices.Equal(red, want) {
				t.Errorf("got the red boxes %q, want %q", red, want)
			}
			if m := sentence.FindStringSubmatch(got); m == nil || !strings.Contains(m[1], tt.sentence) {
				t.Errorf("got the sentence %q, want %q in it", m, tt.sentence)
			}
			if n := strings.Count(got, tt.sentence); n != 1 {
				t.Errorf("the page has %q %d times, want once", tt.sentence, n)
			}
			said := ""
			if m := typed.FindStringSubmatch(got); m != nil {
				said = m[1]
			}
			if said != tt.command {
				t.Errorf("got the command %q, want %q", said, tt.command)
			}
			for _, lack := range []string{feed, "http://", "https://", "style=", "<no value>", "%!"} {
				if strings.Contains(got, lack) {
					t.Errorf("got a page with %q, want it nowhere:\n%s", lack, got)
				}
			}
		})
	}
}

func TestNumbersOnTheWay(t *testing.T) {
	got := get(t, "/ui/", healthy(), nil).Body.String()
	for _, want := range []string{
		"3.3 responses/s", "418 objects/s", "1238 messages/s", ">412 waiting, 13 held<", ">8123 messages<", ">1 open work<",
		"211.0 MiB of 4.0 GiB", "123 MB of 500 MB", "since 03-07 04:12:44", "<dt>requests to make</dt><dd>1234</dd>", "<dt>queued of a repull or retry</dt><dd>0</dd>", ">Run 31</a>: fetching",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got a page without %q, want it there:\n%s", want, got)
		}
	}
}

// A stage that waits because another one is stuck is grey, not red.
func TestGreyBehindRed(t *testing.T) {
	for _, tt := range states() {
		var grey []string
		for _, b := range wayOf(tt.status).Boxes {
			if b.Look == "grey" {
				grey = append(grey, b.Name)
			}
		}
		want := map[string][]string{
			"ThreatMatch down": {"fetch", "map"}, "account refused": {"fetch", "map"}, "spool full": {"fetch", "map"},
			"RabbitMQ down": {"deliver"}, "RabbitMQ blocked": {"deliver"}, "queue above its threshold": {"deliver"},
		}[tt.name]
		if !slices.Equal(grey, want) {
			t.Errorf("%s: got grey boxes %q, want %q", tt.name, grey, want)
		}
	}
}

// The problems of several parts are all shown, in the order of the data flow.
func TestAllProblemsAreTold(t *testing.T) {
	s := troubled(func(s *inspect.Status) {
		s.NotReady["platform"], s.NotReady["deliver"], s.NotReady["another"] = "no OpenCTI", "<b>no broker</b>", "odd"
	})
	var got []string
	for _, p := range problemsOf(s) {
		got = append(got, p.Part)
	}
	if want := []string{"deliver", "platform", "another"}; !slices.Equal(got, want) {
		t.Errorf("got problems of %q, want %q", got, want)
	}
	if text := get(t, "/ui/", s, nil).Body.String(); strings.Contains(text, "<b>no broker") || !strings.Contains(text, "no OpenCTI") {
		t.Errorf("got a page that does not tell all, or does not escape:\n%s", text)
	}
}

func TestAssetsAndFailure(t *testing.T) {
	for path, kind := range map[string]string{"/ui/page.css": "text/css", "/ui/page.js": "text/javascript"} {
		w := get(t, path, inspect.Status{}, nil)
		if got := w.Header().Get("Content-Type"); w.Code != 200 || w.Body.Len() == 0 || !strings.HasPrefix(got, kind) {
			t.Errorf("%s: got %d, %s, %d bytes, want 200, %s and a body", path, w.Code, got, w.Body.Len(), kind)
		}
	}
	w := get(t, "/ui/", inspect.Status{}, errors.New("SECRET"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "SECRET") {
		t.Errorf("a status that fails: got %d %q, want 500 without the error's text", w.Code, w.Body)
	}
	if w := get(t, "/ui/page.html", inspect.Status{}, nil); w.Code != 404 {
		t.Errorf("the template itself: got %d, want 404", w.Code)
	}
}
