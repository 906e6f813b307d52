package opencti

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const secret = "token-that-nobody-may-see"

// fake answers a GraphQL document by the first of its texts that the document contains.
type fake struct {
	*httptest.Server
	t       *testing.T
	answers [][2]string

	mu   sync.Mutex
	seen []call
}

type call struct {
	Query     string
	Variables map[string]any
	header    http.Header
	path      string
}

// probed are the answers of a platform that offers everything.
var probed = [][2]string{
	{"query Probe {", `{"data":{"about":{"version":"7.260915.0"},
		"input":{"inputFields":[{"name":"id"},{"name":"version"},{"name":"slug"}]},
		"connector":{"fields":[{"name":"id"},{"name":"connector_state_timestamp"}]}}}`},
	{"query ProbeMutations", `{"data":{"mutation":{"fields":[{"name":"workAdd","args":[{"name":"connectorId"},{"name":"isMultiPartWork"}]}]}}}`},
}

func newFake(t *testing.T, answers ...[2]string) *fake {
	t.Helper()
	f := &fake{t: t, answers: append(answers, probed...)}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	c := call{header: r.Header, path: r.URL.Path}
	if err := json.Unmarshal(text, &c); err != nil {
		f.t.Errorf("request %s: %v", text, err)
	}
	f.mu.Lock()
	f.seen = append(f.seen, c)
	f.mu.Unlock()
	for _, a := range f.answers {
		if strings.Contains(c.Query, a[0]) {
			_, _ = io.WriteString(w, a[1])
			return
		}
	}
	f.t.Errorf("no answer for %s", c.Query)
}

// last returns the newest request.
func (f *fake) last() call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen[len(f.seen)-1]
}

func (f *fake) client(change ...func(*Options)) *Client { return newClient(f.t, f.URL, change...) }

func newClient(t *testing.T, url string, change ...func(*Options)) *Client {
	t.Helper()
	opt := Options{URL: url, Token: secret, Version: "1.2.3", Connector: Connector{
		ID: "c", Name: "ThreatMatch", Type: "EXTERNAL_IMPORT", Scope: []string{"threatmatch"}, Slug: "threatmatch",
	}}
	for _, c := range change {
		c(&opt)
	}
	c, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
