package threatmatch

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"threatmatch-connector/internal/sim/data"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// client asks a stand-in as the connector would.
type client struct {
	t     *testing.T
	s     *Server
	http  *http.Client
	token string
}

func newClient(t *testing.T, o Options) *client {
	t.Helper()
	if o.Clock == nil {
		o.Clock = func() time.Time { return start }
	}
	s := New(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	c := &client{t: t, s: s, http: &http.Client{Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	t.Cleanup(s.Close)
	return c
}

func (c *client) signIn() *client {
	c.t.Helper()
	id, secret := c.s.Credentials()
	body, _ := json.Marshal(map[string]string{"client_id": id, "client_secret": secret})
	status, text, _ := c.do("POST", "/api/developers-platform/token", string(body), "Content-Type", "application/json")
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || status != 200 {
		c.t.Fatalf("token: %d %s", status, text)
	}
	c.token = answer.Token
	return c
}

// do sends one request; headers are name, value, ….
func (c *client) do(method, path, body string, headers ...string) (int, []byte, http.Header) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.s.URL()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, []byte(err.Error()), nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return -1, text, resp.Header
	}
	return resp.StatusCode, text, resp.Header
}

// get expects 200 and decodes the answer.
func (c *client) get(path string, into any) {
	c.t.Helper()
	status, text, _ := c.do("GET", path, "")
	if status != 200 {
		c.t.Fatalf("%s: %d %s", path, status, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		c.t.Fatalf("%s: %v: %s", path, err, text)
	}
}

func small() data.Options {
	return data.Options{Seed: 3, Profiles: 30, Alerts: 30, Reports: 5, IOCs: 260, Start: start, Quirks: data.RealisticQuirks()}
}
