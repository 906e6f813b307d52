package threatmatch

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
)

const (
	htmlPage = "<html><head><title>502 Bad Gateway</title></head>\n<body>nginx</body></html>"
	laravel  = `{"message":"Unauthenticated."}`
)

// call is one of the data requests, for tables that hold for all of them.
type call struct {
	name string
	good string // the smallest answer that is data
	do   func(context.Context, *Client) error
}

func calls() []call {
	return []call{
		{"list", `{"list":[]}`, func(ctx context.Context, c *Client) error {
			_, err := c.List(ctx, Alerts, time.Now())
			return err
		}},
		{"item", `{"objects":[]}`, func(ctx context.Context, c *Client) error {
			_, err := c.Item(ctx, Alerts, "12")
			return err
		}},
		{"groups", `[]`, func(ctx context.Context, c *Client) error {
			_, err := c.Groups(ctx)
			return err
		}},
		{"page", `{"objects":[]}`, func(ctx context.Context, c *Client) error {
			_, err := c.Page(ctx, "1", "indicator", "2026-01-01T00:00:00.000Z")
			return err
		}},
	}
}

func TestClassification(t *testing.T) {
	date := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) http.Header {
		return http.Header{"Date": {date.Format(http.TimeFormat)}, "Retry-After": {date.Add(d).Format(http.TimeFormat)}}
	}
	after := func(v string) http.Header { return http.Header{"Retry-After": {v}} }
	const transient, permanent = fault.Transient, fault.Permanent
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		kind   Kind
		class  fault.Class
		wait   time.Duration
	}{
		{"401", 401, nil, laravel, KindUnauthorised, permanent, 0},
		{"403 json", 403, nil, `{"message":"This action is unauthorized."}`, KindRefused, permanent, 0},
		{"404 json", 404, nil, `{"message":"No query results"}`, KindRefused, permanent, 0},
		{"404 html", 404, nil, htmlPage, KindRefused, permanent, 0},
		{"410", 410, nil, "", KindRefused, permanent, 0},
		{"422", 422, nil, `{"message":"invalid","errors":{"date_since":["x"]}}`, KindRefused, permanent, 0},
		{"400", 400, nil, "", KindRefused, permanent, 0},
		{"418", 418, nil, "", KindRefused, permanent, 0},
		{"304", 304, nil, "", KindRefused, permanent, 0},
		{"408", 408, nil, "", KindUnavailable, transient, 0},
		{"425", 425, nil, "", KindUnavailable, transient, 0},
		{"429 bare", 429, nil, `{"message":"Too Many Attempts."}`, KindThrottled, transient, 0},
		{"429 seconds", 429, after("20"), "", KindThrottled, transient, 21 * time.Second},
		{"429 date", 429, at(40 * time.Second), "", KindThrottled, transient, 42 * time.Second},
		{"429 capped", 429, after("86400"), "", KindThrottled, transient, 15 * time.Minute},
		{"429 huge", 429, after("9223372036854775807"), "", KindThrottled, transient, 15 * time.Minute},
		{"429 date capped", 429, at(48 * time.Hour), "", KindThrottled, transient, 15 * time.Minute},
		{"429 past date", 429, at(-time.Hour), "", KindThrottled, transient, 0},
		{"429 nonsense", 429, after("soon"), "", KindThrottled, transient, 0},
		{"429 negative", 429, after("-5"), "", KindThrottled, transient, 0},
		{"500 json", 500, nil, `{"message":"Server Error"}`, KindUnavailable, transient, 0},
		{"500 with list", 500, nil, `{"list":[1],"objects":[{}]}`, KindUnavailable, transient, 0},
		{"501", 501, nil, "", KindUnavailable, transient, 0},
		{"502 html", 502, nil, htmlPage, KindUnavailable, transient, 0},
		{"503 after", 503, after("7"), "", KindUnavailable, transient, 7 * time.Second},
		{"504", 504, nil, "", KindUnavailable, transient, 0},
		{"200 html", 200, nil, htmlPage, KindMalformed, transient, 0},
		{"200 empty", 200, nil, "", KindMalformed, transient, 0},
		{"204", 204, nil, "", KindMalformed, transient, 0},
		{"200 truncated json", 200, nil, `{"list":[1,2`, KindMalformed, transient, 0},
		{"200 trailing junk", 200, nil, `{"list":[],"objects":[]} x`, KindMalformed, transient, 0},
		{"200 error text", 200, nil, `{"error":"boom"}`, KindErrorBody, transient, 0},
		{"200 error object", 200, nil, `{"error":{"code":1},"list":[1],"objects":[{}]}`, KindErrorBody, transient, 0},
		{"200 error after data", 200, nil, `{"list":[],"objects":[],"error":"partial"}`, KindErrorBody, transient, 0},
		{"200 error true", 200, nil, `{"error":true}`, KindErrorBody, transient, 0},
		{"200 missing", 200, nil, `{"message":"ok"}`, KindMalformed, transient, 0},
		{"200 null", 200, nil, `{"list":null,"objects":null}`, KindMalformed, transient, 0},
		{"200 wrong type", 200, nil, `{"list":{"data":[]},"objects":"x"}`, KindMalformed, transient, 0},
		{"200 wrong case", 200, nil, `{"List":[],"Objects":[]}`, KindMalformed, transient, 0},
		{"200 twice", 200, nil, `{"list":[1],"objects":[{}],"list":[2],"objects":[]}`, KindMalformed, transient, 0},
		{"200 number", 200, nil, `7`, KindMalformed, transient, 0},
		{"200 null body", 200, nil, `null`, KindMalformed, transient, 0},
	}
	for _, tt := range tests {
		for _, call := range calls() {
			t.Run(tt.name+"/"+call.name, func(t *testing.T) {
				_, c := serve(t, answerWith(tt.status, tt.header, tt.body))
				e := wantError(t, call.do(t.Context(), c), tt.kind, tt.class)
				if e.Status != tt.status || e.Op != call.name {
					t.Errorf("got status %d op %s", e.Status, e.Op)
				}
				if d := e.RetryAfter - tt.wait; d < -time.Second || d > time.Second {
					t.Errorf("got wait %v, want about %v", e.RetryAfter, tt.wait)
				}
			})
		}
	}
}

func TestSmallestAnswers(t *testing.T) {
	for _, call := range calls() {
		_, c := serve(t, answerWith(200, nil, call.good))
		if err := call.do(t.Context(), c); err != nil {
			t.Errorf("%s of %s: %v", call.name, call.good, err)
		}
		_, c = serve(t, answerWith(200, nil, strings.Replace(call.good, "{", `{"error":null,`, 1)))
		if err := call.do(t.Context(), c); err != nil {
			t.Errorf("%s with a null error: %v", call.name, err)
		}
	}
}

func TestTransportFaults(t *testing.T) {
	hijack := func(w http.ResponseWriter, answer string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, answer)
		conn.Close()
	}
	hang := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	tests := []struct {
		name string
		kind Kind
		h    http.HandlerFunc
	}{
		{"reset before the answer", KindNetwork, func(w http.ResponseWriter, _ *http.Request) { hijack(w, "") }},
		{"cut in mid-body", KindNetwork, func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"objects\":[")
		}},
		{"cut in mid-chunk", KindNetwork, func(w http.ResponseWriter, _ *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"objects\":[")
		}},
		{"not HTTP", KindNetwork, func(w http.ResponseWriter, _ *http.Request) { hijack(w, "hello\r\n\r\n") }},
		{"no answer", KindTimeout, hang},
		{"answer without end", KindTimeout, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"objects":[`)
			w.(http.Flusher).Flush()
			hang(w, r)
		}},
		{"cut gzip", KindNetwork, func(w http.ResponseWriter, r *http.Request) {
			var b strings.Builder
			z := gzip.NewWriter(&b)
			io.WriteString(z, `{"objects":[]}`)
			z.Close()
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, b.String()[:b.Len()-6])
		}},
		{"no gzip", KindNetwork, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, `{"objects":[]}`)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(withToken(tt.h))
			defer srv.Close()
			opt := testOptions(srv.URL)
			if tt.kind == KindTimeout {
				opt.HeaderTimeout, opt.BodyTimeout = 100*time.Millisecond, 100*time.Millisecond
			}
			c := newClient(t, opt)
			_, err := c.Item(t.Context(), Alerts, "1")
			wantError(t, err, tt.kind, fault.Transient)
			if strings.Contains(err.Error(), srv.URL) {
				t.Errorf("error repeats the URL: %v", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	c := newClient(t, testOptions(srv.URL))
	_, err := c.Groups(t.Context())
	if e := wantError(t, err, KindNetwork, fault.Transient); e.Op != "token" {
		t.Errorf("got op %s", e.Op)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(withToken(answerWith(200, nil, "[]")))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.StartTLS()
	defer srv.Close()
	c := newClient(t, testOptions(srv.URL))
	_, err := c.Groups(t.Context())
	wantError(t, err, KindNetwork, fault.Transient)
	if got := fault.Sentence(err); !strings.HasPrefix(got, "the authority of its certificate is not trusted here: ") {
		t.Errorf("got %q", got)
	}

	opt := testOptions(srv.URL)
	opt.Roots = srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if _, err := newClient(t, opt).Groups(t.Context()); err != nil {
		t.Errorf("with its authority: %v", err)
	}
}

func TestBodyCap(t *testing.T) {
	const limit = 6 << 20
	object := func(n int) string { return `{"objects":["` + strings.Repeat("x", n-len(`{"objects":[""]}`)) + `"]}` }
	for _, size := range []int{limit, limit + 1} {
		for _, form := range []string{"length", "chunked", "gzip"} {
			srv := httptest.NewServer(withToken(func(w http.ResponseWriter, r *http.Request) {
				switch form {
				case "chunked":
					w.(http.Flusher).Flush()
				case "gzip":
					w.Header().Set("Content-Encoding", "gzip")
					z := gzip.NewWriter(w)
					io.WriteString(z, object(size))
					z.Close()
					return
				}
				io.WriteString(w, object(size))
			}))
			opt := testOptions(srv.URL)
			opt.MaxBody = limit
			body, err := newClient(t, opt).Item(t.Context(), Alerts, "1")
			if size <= limit {
				if err != nil || len(body.Bytes) != size {
					t.Errorf("%s: got %d bytes, %v", form, len(body.Bytes), err)
				}
			} else {
				wantError(t, err, KindTooLarge, fault.Permanent)
			}
			srv.Close()
		}
	}
}

func TestShutdownIsNoFault(t *testing.T) {
	stop, cancel := context.WithCancelCause(t.Context())
	_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		cancel(fault.ErrShutdown)
		<-r.Context().Done()
	})
	_, err := c.Item(stop, Alerts, "1")
	if !fault.Is(err, fault.Shutdown) {
		t.Errorf("got %v", err)
	}
	if _, isError := errors.AsType[*Error](err); isError {
		t.Errorf("an ordered stop was classified: %v", err)
	}
}

// TestProxyThatRefuses: a 407 blames the proxy, and neither the account nor an item,
// be it of the token, of an item, or of the tunnel to a server with TLS.
func TestProxyThatRefuses(t *testing.T) {
	for _, tt := range []struct {
		address string
		token   bool // the proxy lets the token request through
	}{{"http://threatmatch.invalid", false}, {"http://threatmatch.invalid", true}, {"https://threatmatch.invalid", false}} {
		refuse := func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }
		proxy := httptest.NewServer(http.HandlerFunc(refuse))
		if tt.token {
			proxy.Config.Handler = withToken(refuse)
		}
		opt := testOptions(tt.address)
		opt.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
		_, err := newClient(t, opt).Item(t.Context(), Alerts, "7")
		proxy.Close()
		const want = "the proxy refuses the request (407): it asks for a user and a password, or refuses those it got: put them into HTTPS_PROXY or HTTP_PROXY"
		if got := fault.Sentence(err); got != want || !fault.Is(err, fault.Systemic) || !ByProxy(err) {
			t.Errorf("%s, token %v: got %q, want %q, systemic, by the proxy", tt.address, tt.token, got, want)
		}
	}
}
