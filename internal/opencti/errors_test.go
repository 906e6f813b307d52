package opencti

import (
	"context"
	"errors"
	"fmt"
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

func coded(code string) string {
	return `{"errors":[{"message":"no way","extensions":{"code":"` + code + `","data":{"http_status":500}},"name":"` + code + `"}],"data":null}`
}

// TestClasses has a row for everything that may come back.
func TestClasses(t *testing.T) {
	tests := []struct {
		name    string
		status  int
		body    string
		header  [2]string
		class   fault.Class
		code    string
		hint    string // part of it
		after   time.Duration
		message string // part of it
	}{
		{name: "token refused", status: 200, body: coded("AUTH_REQUIRED"), class: fault.Systemic, code: "AUTH_REQUIRED", hint: "opencti.token"},
		{name: "token wrong", status: 200, body: coded("AUTH_FAILURE"), class: fault.Systemic, code: "AUTH_FAILURE", hint: "opencti.token"},
		{name: "one-time password", status: 200, body: coded("OTP_REQUIRED"), class: fault.Systemic, code: "OTP_REQUIRED", hint: "one-time"},
		{name: "licence", status: 200, body: coded("LTS_REQUIRED_ACTIVATION"), class: fault.Systemic, code: "LTS_REQUIRED_ACTIVATION", hint: "licence"},
		{name: "capability", status: 200, body: coded("FORBIDDEN_ACCESS"), class: fault.Systemic, code: "FORBIDDEN_ACCESS", hint: "CONNECTORAPI"},
		{name: "functional", status: 200, body: coded("FUNCTIONAL_ERROR"), class: fault.Permanent, code: "FUNCTIONAL_ERROR"},
		{name: "validation", status: 200, body: coded("VALIDATION_ERROR"), class: fault.Permanent, code: "VALIDATION_ERROR"},
		{name: "unsupported", status: 200, body: coded("UNSUPPORTED_ERROR"), class: fault.Permanent, code: "UNSUPPORTED_ERROR"},
		{name: "schema", status: 400, body: coded("GRAPHQL_VALIDATION_FAILED"), class: fault.Permanent, code: "GRAPHQL_VALIDATION_FAILED"},
		{name: "input", status: 400, body: coded("BAD_USER_INPUT"), class: fault.Permanent, code: "BAD_USER_INPUT"},
		{name: "database", status: 200, body: coded("DATABASE_ERROR"), class: fault.Transient, code: "DATABASE_ERROR"},
		{name: "lock", status: 200, body: coded("LOCK_ERROR"), class: fault.Transient, code: "LOCK_ERROR"},
		{name: "unknown code", status: 200, body: coded("NEVER_SEEN"), class: fault.Transient, code: "NEVER_SEEN"},
		{name: "code by name only", status: 200, body: `{"errors":[{"name":"AUTH_REQUIRED","message":"x"}]}`, class: fault.Systemic, code: "AUTH_REQUIRED"},
		{name: "code in another shape", status: 500, body: `{"error":"WORK_NOT_ALIVE: gone"}`, class: fault.Permanent, code: "WORK_NOT_ALIVE"},
		{name: "code in a text", status: 500, body: `Error: FORBIDDEN_ACCESS`, class: fault.Systemic, code: "FORBIDDEN_ACCESS"},
		{name: "rate limit", status: 429, body: `{"message":"Too many requests"}`, header: [2]string{"Retry-After", "7"}, class: fault.Transient, after: 7 * time.Second},
		{name: "rate limit for days", status: 429, header: [2]string{"Retry-After", "999999999999"}, class: fault.Transient},
		{name: "rate limit for hours", status: 429, header: [2]string{"Retry-After", "7200"}, class: fault.Transient, after: 15 * time.Minute},
		{name: "gateway", status: 502, body: "<html>Bad Gateway</html>", class: fault.Transient, message: "502"},
		{name: "server error", status: 500, class: fault.Transient, message: "500"},
		{name: "gateway wants login", status: 401, class: fault.Systemic, hint: "proxies"},
		{name: "gateway refuses", status: 403, body: "<html>", class: fault.Systemic},
		{name: "wrong path", status: 404, body: "Cannot POST", class: fault.Systemic, hint: "opencti.url"},
		{name: "redirect", status: 302, header: [2]string{"Location", "https://login.example/x"}, class: fault.Systemic, hint: "https://login.example/x"},
		{name: "web page", status: 200, body: "\n<!doctype html><title>x</title>", class: fault.Systemic, hint: "opencti.url"},
		{name: "too large a request", status: 413, class: fault.Permanent},
		{name: "cut short", status: 200, body: `{"data":{"about":{"ver`, class: fault.Transient, message: "not JSON"},
		{name: "empty", status: 200, class: fault.Transient},
		{name: "no data", status: 200, body: `{"data":null}`, class: fault.Transient, message: "no data"},
		{name: "another shape", status: 200, body: `[1,2]`, class: fault.Transient},
		{name: "wrong types", status: 200, body: `{"data":{"about":{"version":{}}}}`, class: fault.Transient, message: "decode"},
		{name: "too large an answer", status: 200, body: strings.Repeat("x", maxBody+1), class: fault.Permanent, message: "larger than 16777216"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.header[0] != "" {
					w.Header().Set(tt.header[0], tt.header[1])
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}))
			defer srv.Close()
			_, err := newClient(t, srv.URL).Probe(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			class, after := fault.Of(err)
			if class != tt.class || codeOf(err) != tt.code {
				t.Errorf("class %v code %q, want %v %q: %v", class, codeOf(err), tt.class, tt.code, err)
			}
			if tt.after != 0 && after != tt.after {
				t.Errorf("after %v, want %v", after, tt.after)
			}
			if after > 15*time.Minute {
				t.Errorf("after %v", after)
			}
			if !strings.Contains(fault.HintOf(err), tt.hint) || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("error %q, hint %q", err, fault.HintOf(err))
			}
			if !strings.HasPrefix(err.Error(), "probe platform") || strings.Contains(err.Error()+fault.HintOf(err), secret) {
				t.Errorf("error %q", err)
			}
		})
	}
}

// TestWords: what people are told of an error, and of the platform's own servers
// that it cannot reach in one sentence, however Node.js words it.
func TestWords(t *testing.T) {
	const own = ": check whether OpenCTI's RabbitMQ, Redis, storage and database are running, and read its log"
	for message, want := range map[string]string{
		"connect ECONNREFUSED 172.18.0.3:5672":             "OpenCTI: it cannot reach a server that it needs at 172.18.0.3:5672 (ECONNREFUSED)" + own,
		"getaddrinfo ENOTFOUND rabbitmq":                   "OpenCTI: it cannot reach a server that it needs at rabbitmq (ENOTFOUND)" + own,
		"ConnectionError: connect ETIMEDOUT [::1]:9200.":   "OpenCTI: it cannot reach a server that it needs at [::1]:9200 (ETIMEDOUT)" + own,
		"read ECONNRESET":                                  "OpenCTI: it cannot reach a server that it needs (ECONNRESET)" + own,
		"Find direct ids fail, PRECONNREFUSED is no error": "OpenCTI: DATABASE_ERROR Find direct ids fail, PRECONNREFUSED is no error",
	} {
		f := newFake(t, [2]string{"query Probe {", fmt.Sprintf(`{"errors":[{"message":%q,"extensions":{"code":"DATABASE_ERROR"}}]}`, message)})
		_, err := newClient(t, f.URL).Probe(t.Context())
		if got := fault.Sentence(err); got != want || !fault.Is(err, fault.Transient) {
			t.Errorf("%s: got %q, want %q, transient", message, got, want)
		}
	}
}

// TestProxyThatRefuses: a 407 blames the proxy, and not the token.
func TestProxyThatRefuses(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer proxy.Close()
	through, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"http://opencti.invalid", "https://opencti.invalid"} {
		_, err := newClient(t, address, func(o *Options) { o.Proxy = http.ProxyURL(through) }).Probe(t.Context())
		const want = "OpenCTI: the proxy refuses the request (407): it asks for a user and a password, or refuses those it got: put them into HTTPS_PROXY or HTTP_PROXY"
		if got := fault.Sentence(err); got != want || !fault.Is(err, fault.Systemic) {
			t.Errorf("%s: got %q, want %q, systemic", address, got, want)
		}
	}
}

func TestEveryCodeHasARow(t *testing.T) {
	for code, v := range byCode {
		if v.class == fault.Systemic && v.hint == "" {
			t.Errorf("%s stops everything and says nothing to the operator", code)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	c := newClient(t, srv.URL, func(o *Options) { o.Timeout = 50 * time.Millisecond })
	_, err := c.Probe(t.Context())
	if class, _ := fault.Of(err); class != fault.Transient || !strings.HasPrefix(fault.Sentence(err), "OpenCTI: no response in time: check opencti.url") {
		t.Errorf("timeout: got %q of class %v", fault.Sentence(err), class)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fault.ErrShutdown)
	_, err = newClient(t, srv.URL).Probe(ctx)
	if !fault.Is(err, fault.Shutdown) || !errors.Is(err, fault.ErrShutdown) {
		t.Errorf("stopped: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	_, err := newClient(t, srv.URL).Probe(t.Context())
	if class, _ := fault.Of(err); err == nil || class != fault.Transient {
		t.Errorf("refused connection: %v, class %v", err, class)
	}
}

// TestSecrets lets every call fail in front of a logger.
func TestSecrets(t *testing.T) {
	var log strings.Builder
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }))
	defer srv.Close()
	c := newClient(t, srv.URL, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	_, err := c.Probe(t.Context())
	slog.New(slog.NewTextHandler(&log, nil)).Info("registered", "broker", Broker{Host: "h", User: "u", Password: secret}, "error", err)
	if strings.Contains(log.String(), secret) || !strings.Contains(log.String(), "probe platform") || !strings.Contains(log.String(), "broker.host=h") {
		t.Errorf("log: %s", log.String())
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{``, `{"data":{"about":{"version":"1"}}}`, coded("AUTH_REQUIRED"), `{"errors":[{}]}`, `<html>`, `{"errors":[null],"data":{}}`} {
		f.Add(s, 200)
	}
	f.Fuzz(func(t *testing.T, text string, status int) {
		var out struct {
			About *struct{ Version string } `json:"about"`
		}
		err := decode(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(text), &out)
		if err == nil && status >= 300 {
			t.Errorf("status %d taken for data", status)
		}
		if err != nil && classify(err) == nil {
			t.Error("an error got lost")
		}
	})
}

// TestEchoedSecrets: what a gateway repeats of our headers is not shown, wherever it puts it, and neither is a part of
// it where a long text is cut.
func TestEchoedSecrets(t *testing.T) {
	long := strings.Repeat("x", 290)
	for name, answer := range map[string]http.HandlerFunc{
		"cut message": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"errors":[{"message":"%s %s"}]}`, long, secret)
		},
		"cut page": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<p>"+long+secret) },
		"code": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"errors":[{"message":"no","name":"for %s"}]}`, secret)
		},
		"credentials without their scheme": func(w http.ResponseWriter, r *http.Request) {
			_, after, _ := strings.Cut(r.Header.Get("X-Gate"), "Basic ")
			_, _ = fmt.Fprintf(w, `{"errors":[{"message":"no access with %s"}]}`, after)
		},
		"redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/login?for="+secret)
			w.WriteHeader(http.StatusFound)
		},
	} {
		srv := httptest.NewServer(answer)
		_, err := newClient(t, srv.URL, func(o *Options) { o.Headers = map[string]string{"X-Gate": "Basic dXNlcjp0b2tlbi1vZi1hLWdhdGU="} }).Probe(t.Context())
		srv.Close()
		for _, said := range []string{err.Error(), fault.Sentence(err)} {
			if strings.Contains(said, secret[:6]) || strings.Contains(said, "dXNlcj") || len(said) > 600 {
				t.Errorf("%s: %q", name, said)
			}
		}
	}
}

// TestFirstCodeCounts: a text that names two codes is classified by the first, each time.
func TestFirstCodeCounts(t *testing.T) {
	for range 50 {
		if got := codeIn([]byte("FUNCTIONAL_ERROR: no such work (LOCK_ERROR, DATABASE_ERROR)")); got != "FUNCTIONAL_ERROR" {
			t.Fatalf("got %q", got)
		}
	}
}
