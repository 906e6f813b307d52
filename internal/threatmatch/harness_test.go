package threatmatch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"threatmatch-connector/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const tokenPath = "/api/developers-platform/token"

func testOptions(base string) Options {
	return Options{
		BaseURL: base, ClientID: "id-7", ClientSecret: "s3cr3t-value",
		RequestsPerSecond: 1e6, MaxBody: 64 << 20, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		Now: time.Now, Rand: func() float64 { return 0.5 },
	}
}

func newClient(t *testing.T, opt Options) *Client {
	t.Helper()
	c, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve starts a server that gives out tokens and leaves the rest to h.
func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, *Client) {
	t.Helper()
	srv := httptest.NewServer(withToken(h))
	t.Cleanup(srv.Close)
	return srv, newClient(t, testOptions(srv.URL))
}

// withToken answers token requests with tok-1, tok-2, …
func withToken(h http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == tokenPath {
			fmt.Fprintf(w, `{"access_token":"tok-%d","token_type":"Bearer","expires_at":%d}`,
				n.Add(1), time.Now().Add(time.Hour).Unix())
			return
		}
		h(w, r)
	}
}

// transport is an http.RoundTripper in memory, for tests in a synctest bubble.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// inMemory connects c to h without a network.
func inMemory(c *Client, h http.HandlerFunc) {
	c.http.Transport = transport(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h(w, r)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})
}

func answerWith(status int, header http.Header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func wantError(t *testing.T, err error, kind Kind, class fault.Class) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want a *Error of kind %s", err, kind)
	}
	got, after := fault.Of(err)
	if e.Kind != kind || got != class {
		t.Errorf("got kind %s class %s, want %s %s: %v", e.Kind, got, kind, class, err)
	}
	if class == fault.Transient && after != e.RetryAfter {
		t.Errorf("mark says wait %v, error says %v", after, e.RetryAfter)
	}
	return e
}
