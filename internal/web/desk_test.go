package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"threatmatch-connector/internal/inspect"
)

// ran is a stand-in for the program's command line. What it shows of a dead letter
// looks like its question.
type ran struct {
	mu    sync.Mutex
	asked []string
	done  []string
}

func (r *ran) do(_ context.Context, args []string, asked bool) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := strings.Join(args, " ")
	if asked {
		r.asked = append(r.asked, line)
		if strings.Contains(line, "99") {
			return "error: dead letter 99: not found", errors.New("exit code 1")
		}
		return "dead letter 3  <b>feed</b> nothing? [y/N] \ntry again these 1? [y/N] \nerror: nothing was changed", errors.New("exit code 1")
	}
	r.done = append(r.done, line)
	return "run 32 tries 1 entry again", nil
}

// openDesk returns a desk and a browser that has opened it.
type openDesk struct {
	t    *testing.T
	ran  ran
	url  string // of the server
	base string // where the pages are
	once string // the address with the token
	http *http.Client
}

func openedDesk(t *testing.T) *openDesk {
	t.Helper()
	d := &openDesk{t: t}
	srv := httptest.NewUnstartedServer(nil)
	n := 0
	desk, address := NewDesk(connector(healthy()), now, srv.Listener.Addr().String(), func() string { n++; return fmt.Sprintf("unguessable%d", n) }, d.ran.do)
	srv.Config.Handler = desk
	srv.Start()
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	d.url, d.once, d.http = srv.URL, address, &http.Client{Jar: jar}
	return d
}

func (d *openDesk) enter() *openDesk {
	d.t.Helper()
	resp, err := d.http.Get(d.once)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if d.base = resp.Request.URL.String(); resp.StatusCode != 200 || d.base == d.url+"/" {
		d.t.Fatalf("the address with the token: got %d at %s, want the page", resp.StatusCode, d.base)
	}
	return d
}

// send makes a request as a browser does from a page of the given origin ("" sends
// none).
func (d *openDesk) send(method, address, origin string, form url.Values, change func(*http.Request)) (int, string) {
	d.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(req)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// cookies returns the browser's cookies as a header.
func (d *openDesk) cookies() string {
	if d.http.Jar == nil {
		return ""
	}
	u, err := url.Parse(d.base)
	if err != nil {
		d.t.Fatal(err)
	}
	var all []string
	for _, c := range d.http.Jar.Cookies(u) {
		all = append(all, c.String())
	}
	return strings.Join(all, "; ")
}

var ticketIn = regexp.MustCompile(`name="ticket" value="([^"]+)"`)

// TestAction: a form asks first, with the command and its question, and its
// ticket acts once.
func TestAction(t *testing.T) {
	d := openedDesk(t).enter()
	code, body := d.send("POST", d.base+"ask", d.url, url.Values{"action": {"retry"}, "key": {"3"}}, nil)
	m := ticketIn.FindStringSubmatch(body)
	if code != 200 || m == nil {
		t.Fatalf("got %d %s, want a ticket", code, body)
	}
	for _, want := range []string{"<code>threatmatch-connector spool retry 3</code>", "dead letter 3  &lt;b&gt;feed", ">try again these 1?<"} {
		if !strings.Contains(body, want) {
			t.Errorf("got %s, want %q in it", body, want)
		}
	}
	if len(d.ran.done) > 0 || !slices.Equal(d.ran.asked, []string{"spool retry 3"}) {
		t.Errorf("got %q done and %q asked, want none done and one asked", d.ran.done, d.ran.asked)
	}
	for i, want := range []string{"run 32 tries 1 entry again", "This was done already"} {
		_, body := d.send("POST", d.base+"do", d.url, url.Values{"ticket": {m[1]}}, nil)
		if !strings.Contains(body, want) {
			t.Errorf("time %d: got %s, want %q in it", i+1, body, want)
		}
	}
	if !slices.Equal(d.ran.done, []string{"spool retry 3"}) {
		t.Errorf("got %q done, want it once", d.ran.done)
	}
}

// TestForms: each form runs the command line that it shows, and nothing else can be
// run.
func TestForms(t *testing.T) {
	for _, tt := range []struct {
		form url.Values
		want string // "": refused
	}{
		{url.Values{"action": {"trigger"}}, "threatmatch-connector trigger"},
		{url.Values{"action": {"check"}}, "threatmatch-connector check"},
		{url.Values{"action": {"pause"}, "stage": {"map"}}, "threatmatch-connector pause map"},
		{url.Values{"action": {"resume"}, "stage": {"fetch"}}, "threatmatch-connector resume fetch"},
		{url.Values{"action": {"repull"}, "from": {"P7D"}, "dataset": {"alerts", "iocs"}}, "threatmatch-connector repull --from=P7D --dataset=alerts --dataset=iocs"},
		{url.Values{"action": {"repull"}, "from": {"a b';`x`"}}, `threatmatch-connector repull '--from=a b'\'';` + "`x`'"},
		{url.Values{"action": {"skip"}, "dataset": {"iocs"}, "to": {" 2026-01-31 "}}, "threatmatch-connector skip --dataset=iocs --to=2026-01-31"},
		{url.Values{"action": {"skip"}, "dataset": {"--yes"}, "to": {"x --yes"}}, "threatmatch-connector skip --dataset=--yes '--to=x --yes'"},
		{url.Values{"action": {"skip"}, "dataset": {"iocs"}}, ""},
		{url.Values{"action": {"skip"}, "to": {"P7D"}}, ""},
		{url.Values{"action": {"retry"}, "key": {"3", "reports/27"}}, "threatmatch-connector spool retry 3 reports/27"},
		{url.Values{"action": {"drop"}, "key": {malware}}, "threatmatch-connector spool drop " + malware},
		{url.Values{"action": {"retry-class"}, "stage": {"map"}, "class": {"invalid"}}, "threatmatch-connector spool retry --all --stage=map --class=invalid"},
		{url.Values{"action": {"drop"}, "key": {"--healed"}}, ""},
		{url.Values{"action": {"retry"}, "key": {"-h"}}, ""},
		{url.Values{"action": {"retry"}}, ""},
		{url.Values{"action": {"pause"}, "stage": {"--help"}}, ""},
		{url.Values{"action": {"repull"}}, ""},
		{url.Values{"action": {"spool"}}, ""},
		{url.Values{}, ""},
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader(tt.form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		c, err := commandOf(r)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%v: got %q, want it refused", tt.form, c.args)
			}
			continue
		}
		if got := commandLine(c.args); err != nil || got != tt.want {
			t.Errorf("%v: got %q, %v, want %q", tt.form, got, err, tt.want)
		}
	}
}

// TestNobodyElseActs: a request that does not come from our own page, or lacks the
// cookie, gets nothing and does nothing.
func TestNobodyElseActs(t *testing.T) {
	retry := url.Values{"action": {"retry"}, "key": {"3"}}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	tests := []struct {
		name, method, path, origin string // origin "own" is the page's
		change                     func(*http.Request)
		without                    bool // a browser that was not let in
		want                       int
	}{
		{"our own page", "POST", "ask", "own", nil, false, 200},
		{"our own page, as browsers say it", "POST", "ask", "own", set("Sec-Fetch-Site", "same-origin"), false, 200},
		{"no origin", "POST", "ask", "", nil, false, 403},
		{"another origin", "POST", "ask", "http://evil.example", nil, false, 403},
		{"another port", "POST", "ask", "http://127.0.0.1:1", nil, false, 403},
		{"a sandbox", "POST", "ask", "null", nil, false, 403},
		{"https", "POST", "ask", "https-own", nil, false, 403},
		{"a site that says so", "POST", "ask", "own", set("Sec-Fetch-Site", "cross-site"), false, 403},
		{"another port that says so", "POST", "ask", "own", set("Sec-Fetch-Site", "same-site"), false, 403},
		{"another host: a name that was bound anew", "POST", "ask", "own", func(r *http.Request) { r.Host = "evil.example" }, false, 403},
		{"localhost", "GET", "", "", func(r *http.Request) { r.Host = strings.Replace(r.Host, "127.0.0.1", "localhost", 1) }, false, 403},
		{"without a cookie", "POST", "ask", "own", nil, true, 403},
		{"a wrong cookie", "POST", "ask", "own", set("Cookie", cookieName+"=unguessable"), true, 403},
		{"an empty cookie", "POST", "ask", "own", set("Cookie", cookieName+"="), true, 403},
		{"looking without a cookie", "GET", "", "", nil, true, 403},
		{"looking from another page", "GET", "", "", set("Sec-Fetch-Site", "cross-site"), false, 403},
		{"looking from another page's script", "GET", "", "http://evil.example", nil, false, 403},
		{"GET never asks", "GET", "ask?action=retry&key=3", "own", nil, false, 405},
		{"GET never acts", "GET", "do?ticket=x", "own", nil, false, 405},
		{"HEAD never acts", "HEAD", "do?ticket=x", "own", nil, false, 405},
		{"another method", "PUT", "ask", "own", nil, false, 405},
		{"the contents", "GET", "dead/3", "", nil, false, 200},
		{"the contents without a cookie", "GET", "dead/3", "", nil, true, 403},
		{"a large form", "POST", "ask", "own", func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader("action=trigger&x=" + strings.Repeat("x", 1<<20)))
			r.ContentLength = -1
		}, false, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := openedDesk(t).enter()
			origin := map[string]string{"own": d.url, "https-own": strings.Replace(d.url, "http:", "https:", 1)}[tt.origin]
			if origin == "" {
				origin = tt.origin
			}
			if tt.without {
				d.http = &http.Client{}
			}
			cookies := d.cookies()
			code, body := d.send(tt.method, d.base+tt.path, origin, retry, func(r *http.Request) {
				if tt.change != nil {
					tt.change(r)
				}
				if host := r.Host; !tt.without && host != r.URL.Host { // our client, as no browser, sends cookies by the name in Host
					r.Header.Set("Cookie", cookies)
				}
			})
			if code != tt.want {
				t.Errorf("got %d %s, want %d", code, body, tt.want)
			}
			if tt.want != 200 && (len(d.ran.asked)+len(d.ran.done) > 0 || strings.Contains(body, "ticket")) {
				t.Errorf("got %q and %q run, and %s, want nothing", d.ran.asked, d.ran.done, body)
			}
			if len(d.ran.done) > 0 {
				t.Errorf("got %q done without a ticket", d.ran.done)
			}
		})
	}
}

// TestTheTokenWorksOnce: a used, wrong or missing token lets nobody in. The cookie
// is only sent to our own path, is not visible to scripts, and is not sent with
// requests from other sites.
func TestTheTokenWorksOnce(t *testing.T) {
	d := openedDesk(t)
	for _, token := range []string{"", "?token=", "?token=unguessable", "?token=unguessable22", "?other=x"} {
		if code, _ := d.send("GET", d.url+"/"+token, "", nil, nil); code != 403 {
			t.Errorf("%q: got %d, want 403", token, code)
		}
	}
	if code, _ := d.send("POST", d.once, d.url, nil, nil); code != 403 {
		t.Errorf("POST with the token: got %d, want 403", code)
	}
	if code, _ := d.send("GET", d.once, "", nil, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); code != 403 {
		t.Errorf("from a link of another site: got %d, want 403", code)
	}
	d.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := d.http.Get(d.once)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	c := resp.Cookies()
	if len(c) != 1 || c[0].SameSite != http.SameSiteStrictMode || !c[0].HttpOnly || c[0].Path != resp.Header.Get("Location") || len(c[0].Path) < 10 {
		t.Errorf("got the cookies %v at %s, want one for its path, strict, and for no script", c, resp.Header.Get("Location"))
	}
	if strings.Contains(c[0].Value, strings.TrimPrefix(d.once, d.url+"/?token=")) {
		t.Error("the cookie is the token")
	}
	if code, _ := d.send("GET", d.once, "", nil, nil); code != 403 {
		t.Errorf("the token again: got %d, want 403", code)
	}
}

// TestContentsAtTheDesk: the views show what the read-only ones leave out.
func TestContentsAtTheDesk(t *testing.T) {
	d := openedDesk(t).enter()
	for path, want := range map[string]string{
		"": "Pause fetch", "unsettled": feed, "runs/31": feed, "find?q=" + malware: feed, "dead/3": malware, "setup": "Run the check", "history": "Hour and day",
	} {
		code, body := d.send("GET", d.base+path, "", nil, nil)
		if code != 200 || !strings.Contains(body, want) || strings.Contains(body, "http://") {
			t.Errorf("%s: got %d %s, want %q in it", path, code, body, want)
		}
	}
	if code, _ := d.send("GET", d.base+"dead/99", "", nil, nil); code != 404 {
		t.Errorf("a letter that is not there: got %d, want 404", code)
	}
	_, body := d.send("POST", d.base+"ask", d.url, url.Values{"action": {"retry"}, "key": {"99"}}, nil)
	if !strings.Contains(body, "dead letter 99: not found") || ticketIn.MatchString(body) {
		t.Errorf("got %s, want what is wrong, and no ticket", body)
	}
}

// TestReadOnlyPageHasNoActions: nothing at /ui/ accepts a form, or shows one that
// acts.
func TestReadOnlyPageHasNoActions(t *testing.T) {
	for _, path := range []string{"/ui/", "/ui/ask", "/ui/do", "/ui/unsettled", "/ui/dead/3"} {
		for _, method := range []string{"POST", "GET"} {
			w := httptest.NewRecorder()
			Handler(connector(troubled(func(s *inspect.Status) {})), now).ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if method == "POST" && w.Code < 400 || strings.Contains(w.Body.String(), `method="post"`) {
				t.Errorf("%s %s: got %d %s, want it refused, or no form", method, path, w.Code, w.Body)
			}
		}
	}
}
