package threatmatch

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/oauth2"

	"threatmatch-connector/internal/fault"
)

type oauthToken = oauth2.Token

func TestRedirects(t *testing.T) {
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		io.WriteString(w, `{"objects":[],"access_token":"evil"}`)
	}))
	defer other.Close()
	_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/stix/alerts/moved":
			http.Redirect(w, r, "/api/stix/alerts/here", http.StatusFound)
		case "/api/stix/alerts/here":
			io.WriteString(w, `{"objects":[]}`)
		case "/api/stix/alerts/loop":
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		default:
			http.Redirect(w, r, other.URL+"/elsewhere", http.StatusTemporaryRedirect)
		}
	})
	if _, err := c.Item(t.Context(), Alerts, "moved"); err != nil {
		t.Errorf("same host: %v", err)
	}
	for _, id := range []string{"loop", "elsewhere"} {
		_, err := c.Item(t.Context(), Alerts, id)
		wantError(t, err, KindRefused, fault.Permanent)
	}

	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	_, err := newClient(t, testOptions(srv.URL)).Groups(t.Context())
	wantError(t, err, KindUnavailable, fault.Transient)
	if len(leaked) > 0 {
		t.Errorf("requests to another host: %q", leaked)
	}
}

func TestSameSite(t *testing.T) {
	tests := []struct {
		from, to string
		want     bool
	}{
		{"https://a", "https://a:443/x", true},
		{"https://a", "https://A/x", true},
		{"http://a", "https://a", true},
		{"https://a", "http://a", false},
		{"https://a", "https://a:8443", false},
		{"https://a", "https://b.a", false},
		{"http://a:8080", "https://a", false},
	}
	for _, tt := range tests {
		from, _ := url.Parse(tt.from)
		to, _ := url.Parse(tt.to)
		if got := sameSite(from, to); got != tt.want {
			t.Errorf("%s to %s: got %v", tt.from, tt.to, got)
		}
	}
}

func TestProxyAndUserAgent(t *testing.T) {
	var seen []string
	proxy := httptest.NewServer(withToken(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Host+" "+r.UserAgent())
		io.WriteString(w, `[]`)
	}))
	defer proxy.Close()
	opt := testOptions("http://threatmatch.invalid")
	opt.UserAgent = "threatmatch-connector/1.2.3"
	opt.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	if _, err := newClient(t, opt).Groups(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 1 || seen[0] != "threatmatch.invalid threatmatch-connector/1.2.3" {
		t.Errorf("proxy saw %q", seen)
	}
}

func TestSnippet(t *testing.T) {
	r := &redactor{secret: "s3cr3t-value"}
	r.addToken("tok-1")
	tests := []struct{ in, want string }{
		{"", ""},
		{"<html>\n  <b>Bad\tGateway</b>\r\n", "<html> <b>Bad Gateway</b>"},
		{"you sent s3cr3t-value and tok-1", "you sent [redacted] and [redacted]"},
		{`{"access_token": "abc.def", "x":1}`, `{"access_token": "[redacted]", "x":1}`},
		{`Authorization: Bearer abc.def`, `Authorization: Bearer [redacted]`},
		{`client_secret=hunter2&x=1`, `client_secret=[redacted]&x=1`},
		{"a\xffb", "a?b"},
	}
	for _, tt := range tests {
		if got := r.snippet([]byte(tt.in)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
	long := r.snippet([]byte(strings.Repeat("é", 1000)))
	if len(long) > snippetLen || !utf8.ValidString(long) || !strings.HasSuffix(long, "…") {
		t.Errorf("got %d bytes %q", len(long), long)
	}
	// A secret that straddles the cut must not leave its beginning behind.
	if cut := r.snippet([]byte(strings.Repeat("x", snippetLen-10) + "s3cr3t-value")); strings.Contains(cut, "s3c") {
		t.Errorf("got %q", cut)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"not a URL": func(o *Options) { o.BaseURL = "https://u:p@x:port" },
		"no rate":   func(o *Options) { o.RequestsPerSecond = 0 },
		"no bodies": func(o *Options) { o.MaxBody = 0 },
	} {
		opt := testOptions("https://x")
		change(&opt)
		if _, err := New(opt); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: got %v, want an error that repeats no password", name, err)
		}
	}
}
