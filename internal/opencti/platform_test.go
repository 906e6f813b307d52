package opencti_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"threatmatch-connector/internal/brokertest"
	"threatmatch-connector/internal/opencti"
	sim "threatmatch-connector/internal/sim/opencti"
)

// TestVersions runs a connector's whole life against the stand-in for each platform version, which refuses documents
// that its schema does not know.
func TestVersions(t *testing.T) {
	multipart := map[string]bool{"newest": true}
	affected := map[string]bool{"6.8.10": true, "6.9.17": true, "7.260318": true}
	sent := &documents{t: t, seen: map[string]bool{}}
	for _, name := range sim.ProfileNames() {
		t.Run(name, func(t *testing.T) {
			p, c := start(t, sim.Options{Version: name}, sent)
			caps, err := c.Probe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := opencti.Capabilities{Version: p.Version(), StateTimestamp: true, MultipartWork: multipart[name], RegisterVersion: name == "newest"}
			if caps != want || caps.Affected() != affected[name] {
				t.Errorf("capabilities %+v, affected %v, want %+v", caps, caps.Affected(), want)
			}
			live(t, p, c)
			push(t, p, c, sent.before(p.URL()))
			allowed := []string{"registerConnector", "pingConnector", "workAdd", "workEdit.addExpectations", "workEdit.reportExpectation", "workEdit.toProcessed", "workEdit.delete", "stixBundlePush"}
			for _, m := range slices.Sorted(maps.Keys(p.Stats().Mutations)) {
				if !slices.Contains(allowed, m) {
					t.Errorf("mutation %s was sent", m)
				}
			}
			if v := p.Stats().Violations; len(v) > 0 {
				t.Errorf("violations: %v", v)
			}
		})
	}
	for _, o := range opencti.Operations() {
		timed := func(d string) bool { return strings.Contains(d, "connector_state_timestamp") }
		for i, d := range o.Documents {
			old := !timed(d) && slices.ContainsFunc(o.Documents, timed) // for platforms that are not among these
			if !old && !sent.seen[d] {
				t.Errorf("%s, form %d, was never sent", o.Name, i)
			}
		}
	}
}

// documents is a proxy in front of the platform that compares what is sent with the table of operations.
type documents struct {
	t    *testing.T
	mu   sync.Mutex
	seen map[string]bool
}

func (d *documents) before(platform string) string {
	to, err := url.Parse(platform)
	if err != nil {
		d.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			d.t.Error(err)
		}
		d.look(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	d.t.Cleanup(srv.Close)
	return srv.URL
}

func (d *documents) look(body []byte) {
	var got struct {
		Query     string
		Variables map[string]any
	}
	if err := json.Unmarshal(body, &got); err != nil {
		d.t.Errorf("request %s: %v", body, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, o := range opencti.Operations() {
		if slices.Contains(o.Documents, got.Query) {
			d.seen[got.Query] = true
			if !strings.Contains(got.Query, " "+o.Name) {
				d.t.Errorf("%s calls itself something else: %s", o.Name, got.Query)
			}
			return
		}
	}
	d.t.Errorf("not in the table of operations: %s", got.Query)
}

func start(t *testing.T, o sim.Options, sent *documents) (*sim.Server, *opencti.Client) {
	t.Helper()
	o.AMQPURL = brokertest.Shared(t).VHost(t).URL()
	p, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.SetKnowledge(func(id string) (string, bool) { return "Malware", id == "malware--1" })
	c, err := opencti.New(opencti.Options{URL: sent.before(p.URL()) + "/", Token: p.ConnectorToken(), Version: "1.2.3", Connector: opencti.Connector{
		ID: id, Name: "ThreatMatch", Type: "EXTERNAL_IMPORT", Scope: []string{"threatmatch"}, Slug: "threatmatch",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return p, c
}

const id = "0d7a1b8e-6c1f-4a57-9d1c-0d3f5b1f8a10"

func live(t *testing.T, p *sim.Server, c *opencti.Client) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Ping(ctx, "", opencti.ConnectorInfo{}); !errors.Is(err, opencti.ErrUnknownConnector) {
		t.Errorf("ping of an unknown connector: %v", err)
	}
	if _, err := c.Queue(ctx); !errors.Is(err, opencti.ErrUnknownConnector) {
		t.Errorf("queue of an unknown connector: %v", err)
	}
	r, err := c.Register(ctx)
	must(err)
	if r.Applicant == "" || r.Exchange == "" || r.RoutingKey == "" || r.Queue == "" || r.Broker.Password == "" || r.Reset.IsZero() || r.Version != p.Version() {
		t.Errorf("registration %+v", r)
	}
	const state = `{"last_run":"2026-11-01T00:00:00Z"}`
	e, err := c.Ping(ctx, state, opencti.ConnectorInfo{QueueThreshold: 500})
	must(err)
	if e.State != state || !e.Reset.Equal(r.Reset) {
		t.Errorf("echo %+v", e)
	}
	must(p.Reset(id))
	e, err = c.Ping(ctx, state, opencti.ConnectorInfo{})
	must(err)
	if e.State != "" || !e.Reset.After(r.Reset) {
		t.Errorf("echo of a reset %+v, before %v", e, r.Reset)
	}
	_, err = c.Queue(ctx)
	must(err)
	stored, err := c.Stored(ctx)
	must(err)
	if stored.Updated.IsZero() || stored.Reset.IsZero() {
		t.Errorf("stored %+v", stored)
	}
	_, err = c.Lookup(ctx)
	must(err)
	_, err = c.Me(ctx)
	must(err)
	known, err := c.Known(ctx, []string{"malware--0", "malware--1", "malware--2"})
	must(err)
	if len(known) != 1 || known["malware--1"] == "" {
		t.Errorf("known %v", known)
	}
	works(t, p, c)
}

// push pushes bundles to the platform; if the platform splits them it announces them, as the registration says.
func push(t *testing.T, p *sim.Server, c *opencti.Client, proxy string) {
	t.Helper()
	ctx := t.Context()
	r, err := c.Register(ctx)
	if err != nil {
		t.Fatal(err)
	}
	noQueue, err := opencti.New(opencti.Options{URL: proxy, Token: p.ConnectorToken(), NoQueue: true, Connector: opencti.Connector{
		ID: id, Name: "ThreatMatch", Type: "EXTERNAL_IMPORT", Scope: []string{"threatmatch"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(noQueue.Close)
	if got, err := noQueue.Register(ctx); err != nil || got.Broker != (opencti.Broker{}) || got.Queue != "" || got.Applicant != r.Applicant || got.State != r.State {
		t.Errorf("registered without a queue: got %+v (%v), want it without the broker", got, err)
	}
	if err := c.TryPush(ctx, opencti.MaxBundle); err != nil {
		t.Errorf("try to push: %v", err)
	}
	work, err := c.AddWork(ctx, "ThreatMatch run 00000003", false)
	if err != nil {
		t.Fatal(err)
	}
	one := `{"type":"bundle","id":"bundle--1","spec_version":"2.1","objects":[{"type":"malware","id":"malware--1"}]}`
	two := strings.Replace(one, "]}", `,{"type":"malware","id":"malware--2"}]}`, 1)
	if err := errors.Join(c.PushBundle(ctx, work, []byte(one)), c.PushBundle(ctx, work, []byte(two))); err != nil {
		t.Fatal(err)
	}
	want, queued := int64(0), 2 // until a worker splits
	if p.Profile().SplitsPushed {
		want, queued = 3, 3
	}
	if w, err := c.Work(ctx, work); err != nil || w.Expected != want || r.SplitsPushed != (want > 0) {
		t.Errorf("work %+v (%v), want %d expected; the registration says that the platform splits: %v", w, err, want, r.SplitsPushed)
	}
	if n := p.QueuedMessages(); n != queued {
		t.Errorf("%d messages queued, want %d", n, queued)
	}
	for _, bad := range []string{"{}", `{"type":"bundle","objects":[]}`, "no JSON"} {
		if err := c.PushBundle(ctx, work, []byte(bad)); !errors.Is(err, opencti.ErrNotTaken) {
			t.Errorf("push of %s: got %v, want it not taken", bad, err)
		}
	}
	if err := c.DeleteWork(ctx, work); err != nil {
		t.Error(err)
	}
}

func works(t *testing.T, p *sim.Server, c *opencti.Client) {
	t.Helper()
	ctx := t.Context()
	work, err := c.AddWork(ctx, "ThreatMatch run 00000001", false)
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.WorksByName(ctx, "ThreatMatch run 00000001")
	if err != nil || len(found) != 1 || found[0].ID != work {
		t.Errorf("search: %+v, %v", found, err)
	}
	if found, err := c.WorksByName(ctx, "run 00000001"); err != nil || len(found) != 0 {
		t.Errorf("search of another: %+v, %v", found, err)
	}
	if err := errors.Join(c.AddExpectations(ctx, work, 3), c.ReportExpectation(ctx, work, "too large", "x"), c.ReportExpectation(ctx, work, "", "")); err != nil {
		t.Fatal(err)
	}
	w, err := c.Work(ctx, work)
	if err != nil || w.Expected != 3 || w.Processed != 2 || w.Complete || w.Closed || w.Name != "ThreatMatch run 00000001" || w.Opened.IsZero() {
		t.Errorf("work %+v, %v", w, err)
	}
	if alive, err := c.WorkAlive(ctx, work); err != nil || !alive {
		t.Errorf("alive %v, %v", alive, err)
	}
	if err := errors.Join(c.Processed(ctx, work, "done", false), c.ReportExpectation(ctx, work, "", "")); err != nil {
		t.Fatal(err)
	}
	if _, refused, err := c.WorkErrors(ctx, work); err != nil || len(refused) != 1 || refused[0].Message != "too large" || refused[0].Source != "x" {
		t.Errorf("errors of a work: got %v (%v), want the one that was reported", refused, err)
	}
	if w, err = c.Work(ctx, work); err != nil || !w.Complete || !w.Closed {
		t.Errorf("work at the end %+v, %v", w, err)
	}
	if found, err := c.WorksByName(ctx, "ThreatMatch run 00000001"); err != nil || len(found) != 0 {
		t.Errorf("search of a complete one: %+v, %v", found, err)
	}
	for range 2 {
		if err := c.DeleteWork(ctx, work); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := c.Work(ctx, work); !errors.Is(err, opencti.ErrWorkGone) {
		t.Errorf("work after delete: %v", err)
	}
	if alive, err := c.WorkAlive(ctx, work); err != nil || alive {
		t.Errorf("alive after delete %v, %v", alive, err)
	}
	if len(p.Works()) != 0 {
		t.Errorf("works left: %v", p.Works())
	}
}

// TestManyWorks: the search reads all pages.
func TestManyWorks(t *testing.T) {
	p, c := start(t, sim.Options{}, &documents{t: t, seen: map[string]bool{}})
	if _, err := c.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		name := "other"
		if i == 3 {
			name = "mine"
		}
		if _, err := p.OpenWork(id, name); err != nil {
			t.Fatal(err)
		}
	}
	found, err := c.WorksByName(t.Context(), "mine")
	if err != nil || len(found) != 1 {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestWithoutModules: a user who may register but not read works and connectors.
func TestWithoutModules(t *testing.T) {
	p, c := start(t, sim.Options{}, &documents{t: t, seen: map[string]bool{}})
	ctx := t.Context()
	p.SetCapabilities([]string{"KNOWLEDGE", "CONNECTORAPI"})
	if _, err := c.Register(ctx); err != nil {
		t.Fatal(err)
	}
	id, err := c.AddWork(ctx, "ThreatMatch run 00000001", false)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Work(ctx, id)
	if err != nil || !w.Unread || w.ID != id {
		t.Errorf("got work %+v, %v", w, err)
	}
	alive, err := c.WorkAlive(ctx, id)
	if err != nil || !alive {
		t.Errorf("got alive %v, %v", alive, err)
	}
	if found, err := c.WorksByName(ctx, "ThreatMatch run 00000001"); err != nil || len(found) > 0 {
		t.Errorf("got works %v, %v", found, err)
	}
	if _, err := c.Stored(ctx); !opencti.IsForbidden(err) {
		t.Errorf("stored: %v", err)
	}
	if _, err := c.Queue(ctx); !opencti.IsForbidden(err) {
		t.Errorf("queue: %v", err)
	}
}
