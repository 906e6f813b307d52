package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// double is an inspect.Inspector and a Control of which only some methods are implemented.
type double struct {
	inspect.Inspector
	Control
	alive, ready map[string]string
	snapshot     func(w io.Writer) (int64, error)
	err          error
	peer         Peer
}

func (d *double) NotAlive() map[string]string { return d.alive }

func (d *double) NotReady() map[string]string { return d.ready }

func (d *double) Snapshot(w io.Writer) (int64, error) { return d.snapshot(w) }

func (d *double) Stats() (inspect.Stats, error) {
	return inspect.Stats{Counts: spool.Counts{Runs: 7}}, d.err
}

func (d *double) Drop(ctx context.Context, n Names) (Answer, error) {
	d.peer = PeerOf(ctx)
	return Answer{Count: n.Len()}, d.err
}

func (d *double) Skip(ctx context.Context, q SkipRequest) (Answer, error) {
	d.peer = PeerOf(ctx)
	return Answer{Count: 2, Message: q.Dataset + " " + q.To.String()}, d.err
}

// talk serves the double on a socket and returns a client of it.
func talk(t *testing.T, d *double) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // short, since paths of sockets must be
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.sock")
	srv, err := Listen(path, d, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return c
}

func TestTheKernelTellsWhoAsks(t *testing.T) {
	d := &double{}
	c := talk(t, d)
	a, err := c.Drop(t.Context(), Names{Dead: []uint64{1, 2}, Held: []string{"x"}})
	if err != nil || a.Count != 3 {
		t.Fatal(a, err)
	}
	if d.peer != Self() {
		t.Errorf("peer %+v, want %+v", d.peer, Self())
	}
}

func TestSkipGoesOverTheSocket(t *testing.T) {
	d := &double{}
	c := talk(t, d)
	to := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a, err := c.Skip(t.Context(), SkipRequest{Dataset: "iocs", To: to})
	if want := "iocs " + to.String(); err != nil || a.Message != want || a.Count != 2 || d.peer != Self() {
		t.Errorf("got %+v, %v, asked by %+v, want %q", a, err, d.peer, want)
	}
}

func TestOtherUsersAreRefused(t *testing.T) {
	served := false
	h := guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }))
	tests := []struct {
		peer Peer
		ok   bool
	}{
		{Peer{Known: true, UID: os.Geteuid()}, true},
		{Peer{Known: true, UID: 0}, true},
		{Peer{}, true}, // the system does not tell: the socket's mode has to do
		{Peer{Known: true, UID: os.Geteuid() + 1}, false},
		{Peer{Known: true, UID: -1}, false},
	}
	for _, tt := range tests {
		served = false
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/v1/stats", nil)
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, tt.peer)))
		if served != tt.ok || !tt.ok && (w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "may not ask")) {
			t.Errorf("%+v: served %v, %d %s", tt.peer, served, w.Code, w.Body)
		}
	}
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	d := &double{}
	c := talk(t, d)
	tests := []struct {
		err  error
		is   error
		hint string
	}{
		{errors.Join(spool.ErrNotFound), spool.ErrNotFound, ""},
		{errors.Join(spool.ErrCorrupt), spool.ErrCorrupt, ""},
		{errors.Join(spool.ErrKey), spool.ErrKey, ""},
		{fault.Hint(errors.New("no"), "do this"), nil, "do this"},
	}
	for _, tt := range tests {
		d.err = tt.err
		_, err := c.Stats()
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) || fault.HintOf(err) != tt.hint || err.Error() != tt.err.Error() {
			t.Errorf("%v: got %v, hint %q", tt.err, err, fault.HintOf(err))
		}
	}
}

func TestSnapshotIsWholeOrAnError(t *testing.T) {
	d := &double{}
	c := talk(t, d)
	whole := strings.Repeat("x", 1<<20)
	tests := []struct {
		name string
		err  error
		n    int
		ok   bool
	}{
		{"whole", nil, 1 << 20, true},
		{"refused at once", errors.New("no room"), 0, false},
		{"cut off", errors.New("disk"), 1 << 19, false},
	}
	for _, tt := range tests {
		d.snapshot = func(w io.Writer) (int64, error) {
			if tt.n == 0 {
				return 0, tt.err
			}
			n, err := io.Copy(w, strings.NewReader(whole[:tt.n]))
			return n, errors.Join(err, tt.err)
		}
		var got strings.Builder
		n, err := c.Snapshot(&got)
		if (err == nil) != tt.ok || tt.ok && (n != int64(tt.n) || got.String() != whole) {
			t.Errorf("%s: %d bytes, %v", tt.name, n, err)
		}
	}
}

func TestOnlyStaleSocketsAreReplaced(t *testing.T) {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file, &double{}, &double{}); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file in the way: %v", err)
	}
	if raw, _ := os.ReadFile(file); string(raw) != "precious" {
		t.Error("the file was touched")
	}
	path := filepath.Join(dir, "s")
	for range 2 { // the second one finds the socket of the first
		srv, err := Listen(path, &double{}, &double{})
		if err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("got mode %v, %v, want a socket with 0600", fi.Mode(), err)
		}
		srv.ln.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(false)
		_ = srv.ln.Close()
	}
}

func TestProbesSayWhy(t *testing.T) {
	d := &double{}
	h := probes(prometheus.NewRegistry(), d, nil)
	ask := func(path string) (int, map[string]any) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		var body map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s: %v in %s", path, err, w.Body)
		}
		return w.Code, body
	}
	if code, _ := ask("/healthz"); code != http.StatusOK {
		t.Errorf("healthz %d", code)
	}
	if code, _ := ask("/readyz"); code != http.StatusOK {
		t.Errorf("readyz %d", code)
	}
	d.ready = map[string]string{"fetch": "ThreatMatch does not answer"}
	if code, _ := ask("/healthz"); code != http.StatusOK {
		t.Errorf("a stage that waits is alive: %d", code)
	}
	code, body := ask("/readyz")
	if reasons, _ := body["reasons"].(map[string]any); code != http.StatusServiceUnavailable || reasons["fetch"] != "ThreatMatch does not answer" {
		t.Errorf("readyz %d %v", code, body)
	}
	d.alive = map[string]string{"map": "no sign of life"}
	if code, _ := ask("/healthz"); code != http.StatusServiceUnavailable {
		t.Errorf("healthz %d", code)
	}
	for _, path := range []string{"/", "/metrics"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/healthz", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

// TestRequestsAreBounded: a body larger than any of our requests is refused before it is in memory.
func TestRequestsAreBounded(t *testing.T) {
	d := &double{}
	srv := httptest.NewServer(http.MaxBytesHandler(routes(d, d), maxRequest))
	defer srv.Close()
	resp, err := http.Post(srv.URL+"/v1/drop", "application/json", strings.NewReader(`{"held":["`+strings.Repeat("x", maxRequest)+`"]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusOK || !strings.Contains(string(raw), "too large") {
		t.Errorf("got %s %s, want it refused as too large", resp.Status, raw)
	}
}

// TestConnectionsAreBounded: callers that open connections and read nothing take at most maxConnections places, and
// the next one is answered when they are gone.
func TestConnectionsAreBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ServeHTTP(ctx, ln, prometheus.NewRegistry(), &double{}, nil) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var idle []net.Conn
	for range maxConnections {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil { // it is served, and stays open
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	answered := make(chan error, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + ln.Addr().String() + "/healthz")
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("one more than %d connections is answered (%v)", maxConnections, err)
	case <-time.After(100 * time.Millisecond):
	}
	for _, c := range idle {
		_ = c.Close()
	}
	if err := <-answered; err != nil {
		t.Errorf("after the others went: %v", err)
	}
}
