package opencti

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/fault"
)

func TestAddressMustParse(t *testing.T) {
	if _, err := New(Options{URL: "://secret", Token: "x"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error that does not repeat the address", err)
	}
}

func TestRequest(t *testing.T) {
	f := newFake(t)
	c := newClient(t, f.URL+"/base/", func(o *Options) { o.Headers = map[string]string{"X-Gate": "open", "Authorization": "Basic x"} })
	if got := c.PlatformVersion(); got != "" {
		t.Errorf("before a probe the platform's version is %q, want none", got)
	}
	caps, err := c.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.PlatformVersion(); got == "" || got != caps.Version {
		t.Errorf("the platform's version is %q, want %q", got, caps.Version)
	}
	got := f.last()
	want := map[string]string{
		"Authorization": "Bearer " + secret, "Content-Type": "application/json",
		"User-Agent": "threatmatch-connector/1.2.3", "X-Gate": "open",
	}
	for name, value := range want {
		if got.header.Get(name) != value {
			t.Errorf("header %s: got %q, want %q", name, got.header.Get(name), value)
		}
	}
	if got.path != "/base/graphql" {
		t.Errorf("got path %s, want /base/graphql", got.path)
	}
	for name := range got.header {
		if strings.HasPrefix(strings.ToLower(name), "opencti-") {
			t.Errorf("header %s is a worker's", name)
		}
	}
}

func TestProxy(t *testing.T) {
	f := newFake(t)
	through, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, "http://opencti.invalid:8080", func(o *Options) { o.Proxy = http.ProxyURL(through) })
	if _, err := c.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDocuments checks every document against the platform's protections.
func TestDocuments(t *testing.T) {
	docs := documents(t)
	if len(docs) < 15 {
		t.Fatalf("only %d documents found", len(docs))
	}
	mutation := regexp.MustCompile(`^mutation \w+(?:\([^)]*\))? \{\s*(\w+)`)
	allowed := map[string]bool{"registerConnector": true, "pingConnector": true, "workAdd": true, "workEdit": true, "stixBundlePush": true}
	for _, d := range docs {
		if strings.Contains(d, "__schema") || strings.Count(d, "__type(") > 2 {
			t.Errorf("introspection is refused: %s", d)
		}
		if !strings.HasPrefix(d, "mutation") {
			continue
		}
		m := mutation.FindStringSubmatch(d)
		if m == nil || !allowed[m[1]] {
			t.Errorf("mutation is not allowed: %s", d)
		}
		if strings.Count(d, "workEdit(") > 1 {
			t.Errorf("two mutations in one document: %s", d)
		}
	}
}

// documents returns every GraphQL document in the package's source.
func documents(t *testing.T) (docs []string) {
	t.Helper()
	pkgs, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range pkgs {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err == nil && (strings.HasPrefix(text, "query ") || strings.HasPrefix(text, "mutation ")) {
				docs = append(docs, text)
			}
			if err == nil && strings.Contains(text, "mutation") && !strings.HasPrefix(text, "mutation ") && strings.Contains(text, "{") && !strings.HasPrefix(text, "query ProbeMutations") {
				t.Errorf("%s: a mutation in another shape: %s", e.Name(), text)
			}
			return true
		})
	}
	return docs
}

// TestVariables checks what each call sends.
func TestVariables(t *testing.T) {
	ok := [][2]string{
		{"registerConnector", `{"data":{"registerConnector":{"id":"c","connector_state":null,"connector_state_timestamp":"2026-11-01T10:00:00.000Z","connector_user_id":"u",
			"config":{"connection":{"host":"mq","vhost":"/v","use_ssl":true,"port":5671,"user":"o","pass":"p"},"push":"push_c","push_routing":"push_routing_c","push_exchange":"amqp.worker.exchange"}}}}`},
		{"pingConnector", `{"data":{"pingConnector":{"id":"c","connector_state":"{}","connector_state_timestamp":null}}}`},
		{"connector(id", `{"data":{"connector":{"id":"c","connector_queue_details":{"messages_number":12,"messages_size":3456.0}}}}`},
		{"workAdd", `{"data":{"workAdd":{"id":"w"}}}`},
		{"workEdit", `{"data":{"workEdit":{"x":"w"}}}`},
		{"work(id", `{"data":{"work":{"id":"w","name":null,"status":"progress","timestamp":"2026-11-01T10:00:00.000Z","processed_time":null,"tracking":{"import_expected_number":7,"import_processed_number":null}}}}`},
	}
	f := newFake(t, ok...)
	c := f.client()
	ctx := t.Context()
	at := time.Date(2026, 11, 1, 12, 30, 0, 987, time.FixedZone("x", 3600))
	object := func(kv ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	tests := []struct {
		name string
		do   func() (any, error)
		vars map[string]any
		want any
	}{
		{"register", func() (any, error) {
			return c.Register(ctx)
		}, object("input", object("id", "c", "name", "ThreatMatch", "type", "EXTERNAL_IMPORT", "scope", []any{"threatmatch"}, "auto", false,
			"only_contextual", false, "playbook_compatible", false, "version", "1.2.3", "slug", "threatmatch")),
			Registration{
				Echo:     Echo{Reset: time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)},
				Exchange: "amqp.worker.exchange", RoutingKey: "push_routing_c", Queue: "push_c", Applicant: "u",
				Version: "7.260915.0", SplitsPushed: true,
				Broker: Broker{Host: "mq", VHost: "/v", Port: 5671, UseTLS: true, User: "o", Password: "p"},
			}},
		{"ping without state", func() (any, error) { return c.Ping(ctx, "", ConnectorInfo{}) },
			object("id", "c", "state", "null", "connectorInfo", object("run_and_terminate", false, "buffering", false,
				"queue_threshold", 0.0, "queue_messages_size", 0.0, "next_run_datetime", nil, "last_run_datetime", nil)), Echo{State: "{}"}},
		{"ping", func() (any, error) {
			return c.Ping(ctx, `{"last_run":"x"}`, ConnectorInfo{RunAndTerminate: true, Buffering: true, QueueThreshold: 500, QueueSize: 1.5, NextRun: at, LastRun: at})
		}, object("id", "c", "state", `{"last_run":"x"}`, "connectorInfo", object("run_and_terminate", true, "buffering", true,
			"queue_threshold", 500.0, "queue_messages_size", 1.5, "next_run_datetime", "2026-11-01T11:30:00Z", "last_run_datetime", "2026-11-01T11:30:00Z")), Echo{State: "{}"}},
		{"queue", func() (any, error) { return c.Queue(ctx) }, object("id", "c"), QueueSize{12, 3456}},
		{"add work", func() (any, error) { return c.AddWork(ctx, "run 1", false) }, object("connectorId", "c", "name", "run 1", "multipart", false), "w"},
		{"add multipart work", func() (any, error) { return c.AddWork(ctx, "run 1", true) }, object("connectorId", "c", "name", "run 1", "multipart", true), "w"},
		{"work", func() (any, error) { return c.Work(ctx, "w") }, object("id", "w"),
			Work{ID: "w", Expected: 7, Opened: time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)}},
		{"expect", func() (any, error) { return nil, c.AddExpectations(ctx, "w", 5) }, object("id", "w", "n", 5.0), nil},
		{"report success", func() (any, error) { return nil, c.ReportExpectation(ctx, "w", "", "") }, object("id", "w", "error", nil), nil},
		{"report error", func() (any, error) { return nil, c.ReportExpectation(ctx, "w", "too large", "x") },
			object("id", "w", "error", object("error", "too large", "source", "x")), nil},
		{"processed", func() (any, error) { return nil, c.Processed(ctx, "w", "done", true) }, object("id", "w", "message", "done", "inError", true), nil},
		{"delete", func() (any, error) { return nil, c.DeleteWork(ctx, "w") }, object("id", "w"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.do()
			if err != nil {
				t.Fatal(err)
			}
			if vars := f.last().Variables; !reflect.DeepEqual(vars, tt.vars) {
				t.Errorf("variables %v\nwant %v", vars, tt.vars)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestGone has every way in which a platform says that something no longer exists.
func TestGone(t *testing.T) {
	unknown := `{"errors":[{"message":"No connector found with the specified ID","extensions":{"code":"FUNCTIONAL_ERROR"}}],"data":{"pingConnector":null}}`
	for _, answer := range []string{unknown, coded("RESOURCE_NOT_FOUND"), coded("ALREADY_DELETED_ERROR"), `{"data":{"pingConnector":null,"connector":null}}`} {
		f := newFake(t, [2]string{"pingConnector", answer}, [2]string{"connector(id", answer})
		c := f.client()
		_, err := c.Ping(t.Context(), "", ConnectorInfo{})
		_, err2 := c.Queue(t.Context())
		for _, err := range []error{err, err2} {
			if !errors.Is(err, ErrUnknownConnector) || !fault.Is(err, fault.Systemic) {
				t.Errorf("%s: %v", answer, err)
			}
		}
	}
	for _, answer := range []string{coded("RESOURCE_NOT_FOUND"), coded("ALREADY_DELETED_ERROR"), coded("WORK_NOT_ALIVE"), `{"data":{"work":null,"workEdit":null}}`} {
		f := newFake(t, [2]string{"workEdit", answer}, [2]string{"work(id", answer})
		c := f.client()
		_, err := c.Work(t.Context(), "w")
		for _, err := range []error{err, c.AddExpectations(t.Context(), "w", 1), c.ReportExpectation(t.Context(), "w", "x", ""), c.Processed(t.Context(), "w", "", false)} {
			if !errors.Is(err, ErrWorkGone) {
				t.Errorf("%s: %v", answer, err)
			}
		}
		if err := c.DeleteWork(t.Context(), "w"); err != nil {
			t.Errorf("delete of a work that is gone: %v", err)
		}
	}
	f := newFake(t, [2]string{"workEdit", coded("FUNCTIONAL_ERROR")})
	if err := f.client().AddExpectations(t.Context(), "w", 1); err == nil || errors.Is(err, ErrWorkGone) {
		t.Errorf("another error: got %v, want one that is not ErrWorkGone", err)
	}
}

// TestReplacedPlatform: a platform that refuses what was probed is probed again, so that a downgrade or upgrade needs
// no restart.
func TestReplacedPlatform(t *testing.T) {
	f := newFake(t, [2]string{"pingConnector", coded("GRAPHQL_VALIDATION_FAILED")})
	c := f.client()
	for range 2 {
		if _, err := c.Ping(t.Context(), "", ConnectorInfo{}); !fault.Is(err, fault.Permanent) {
			t.Errorf("ping: got %v, want a permanent error", err)
		}
	}
	probes := 0
	for _, s := range f.seen {
		if strings.HasPrefix(s.Query, "query Probe {") {
			probes++
		}
	}
	if probes != 2 {
		t.Errorf("got %d probes, want 2", probes)
	}
}

func TestSplitsPushed(t *testing.T) {
	for version, want := range map[string]bool{"7.260722.0": true, "7.260915.0": true, "8.0.0": true, "7.260721.3": false, "6.9.17": false, "": false, "main": false} {
		if got := (Capabilities{Version: version}).SplitsPushed(); got != want {
			t.Errorf("%q: got %v, want %v", version, got, want)
		}
	}
}

func TestAffected(t *testing.T) {
	for version, want := range map[string]bool{
		"6.7.5": false, "6.8.5": false, "6.8.6": true, "6.8.10": true, "6.9.0": true, "7.260224.0": true, "7.260318.0": true,
		"7.260600.9": true, "7.260601.0": false, "7.260601": false, "7.260915.1": false, "8.0.0": false, "5.12.33": false,
		"6.8.6-rc.1": true, "v6.8.5": false, "7.260601.0+build": false, " 6.8.4 ": false,
		"": true, "latest": true, "7": true, "6.x.1": true, "6.-1.0": true,
	} {
		if got := (Capabilities{Version: version}).Affected(); got != want {
			t.Errorf("%q: got %v, want %v", version, got, want)
		}
	}
}

// TestEachRequestIsAWait: a loop beats while it waits for the platform.
func TestEachRequestIsAWait(t *testing.T) {
	waits, asked := 0, 0
	c := newFake(t).client(func(o *Options) {
		o.Waiting = func(context.Context) func() { waits++; return func() { waits-- } }
		o.Observer = func(string, error, time.Duration) { // before the end of the call
			if asked++; waits != 1 {
				t.Errorf("got %d waits in request %d, want 1", waits, asked)
			}
		}
	})
	if _, err := c.Probe(t.Context()); err != nil || asked != 2 || waits != 0 {
		t.Errorf("after %d requests %d waits are left: %v", asked, waits, err)
	}
}
