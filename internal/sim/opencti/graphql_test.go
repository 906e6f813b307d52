package opencti

import (
	"slices"
	"strings"
	"testing"
)

// TestSchemaByVersion shows that each version refuses what it did not know.
func TestSchemaByVersion(t *testing.T) {
	input := func(extra string) string {
		return `mutation { registerConnector(input: {id: "` + connectorID + `", name: "T", type: EXTERNAL_IMPORT, ` + extra + `}) { id } }`
	}
	rows := []struct {
		query string
		since string // first version that takes it; "" = none does
	}{
		{`{ about { version } }`, "6.7.5"},
		{`{ connector(id: "x") { connector_state_timestamp connector_queue_details { messages_size } } }`, "6.7.5"},
		{`{ isWorkAlive(id: "x") }`, "6.8.10"},
		{`mutation { registerConnector(input: {id: "` + connectorID + `", name: "Name", type: EXTERNAL_IMPORT, auto_update: false}) { id } }`, "6.8.10"},
		{`{ connector(id: "x") { config { dead_letter_routing } } }`, "6.8.10"},
		{`{ connector(id: "x") { jwks } }`, "7.260318"},
		{`{ connector(id: "x") { config { s3 { endpoint } } } }`, "6.9.17"},
		{`{ connectorsForWorker { connector_user { api_tokens { id } } } }`, "7.260318"},
		{`mutation { workAdd(connectorId: "` + connectorID + `", isMultiPartWork: true) { id } }`, "newest"},
		{`{ work(id: "x") { is_multipart } }`, "newest"},
		{strings.Replace(input(`version: "1.0.0", slug: "t"`), `"T"`, `"Name"`, 1), "newest"},
		{`{ connector(id: "x") { colour } }`, ""},
		{`{ connector(id: "x", name: "y") { id } }`, ""},
		{`{ connector { id } }`, ""},
		{`{ connector(id: "x") { config } }`, ""},
		{`mutation { pingConnector(id: "x", connectorInfo: {buffering: true}) { id } }`, ""},
		{`mutation { workEdit(id: "x") { toDone } }`, ""},
		{`{ __schema { types { name } } }`, ""},
		{`{ connector(id: "x") {`, ""},
	}
	for i, version := range ProfileNames() {
		p := newPlatform(t, Options{Version: version})
		p.register()
		for _, row := range rows {
			got := p.ask(row.query, nil)
			since := slices.Index(ProfileNames(), row.since)
			if known := since >= 0 && since <= i; known != (got.Status == 200) {
				t.Errorf("%s: %s: status %d %+v", version, row.query, got.Status, got.Errors)
			} else if want := refusalCode(row.query); !known && got.code() != want {
				t.Errorf("%s: %s: code %s", version, row.query, got.code())
			}
		}
	}
}

func refusalCode(query string) string {
	if strings.HasSuffix(query, "{") {
		return "GRAPHQL_PARSE_FAILED"
	}
	return "GRAPHQL_VALIDATION_FAILED"
}

func TestRefusals(t *testing.T) {
	p := newPlatform(t, Options{})
	p.register()
	twice := `workEdit(id: "w") { addExpectations(expectations: 1) }`
	rows := []struct {
		name, token, query string
		vars               map[string]any
		status             int
		code               string
	}{
		{"no such token", "x", `{ about { version } }`, nil, 200, "AUTH_REQUIRED"},
		{"no capability", "weak", `{ connector(id: "x") { id } }`, nil, 200, "FORBIDDEN_ACCESS"},
		{"capability by a child", "modules", `{ connector(id: "x") { id } }`, nil, 200, ""},
		{"introspection needs no capability", "weak", `{ __type(name: "Connector") { fields { name } } }`, nil, 200, ""},
		{"two aliases of a query", ConnectorToken, `{ a: work(id: "1") { id } b: work(id: "2") { id } }`, nil, 200, ""},
		{"three aliases of a query", ConnectorToken, `{ a: work(id: "1") { id } b: work(id: "2") { id } c: work(id: "3") { id } }`, nil, 400, "GRAPHQL_VALIDATION_FAILED"},
		{"two aliases of a mutation", ConnectorToken, `mutation { a: ` + twice + ` b: ` + twice + ` }`, nil, 400, "GRAPHQL_VALIDATION_FAILED"},
		{"missing variable", ConnectorToken, `query Q($id: String!) { connector(id: $id) { id } }`, nil, 400, "BAD_USER_INPUT"},
		{"variable of another type", ConnectorToken, `mutation M($n: Int) { workEdit(id: "w") { addExpectations(expectations: $n) } }`, map[string]any{"n": "many"}, 400, "BAD_USER_INPUT"},
		{"ping of an unknown connector", ConnectorToken, `mutation { pingConnector(id: "x", state: "null") { id } }`, nil, 200, "FUNCTIONAL_ERROR"},
		{"short name", ConnectorToken, `mutation { registerConnector(input: {id: "x", name: "T", type: EXTERNAL_IMPORT}) { id } }`, nil, 200, "BAD_USER_INPUT"},
		{"version that is none", ConnectorToken, `mutation { registerConnector(input: {id: "x", name: "TM", type: EXTERNAL_IMPORT, version: "dev", slug: "t"}) { id } }`, nil, 200, "VALIDATION_ERROR"},
		{"work of an unknown connector", ConnectorToken, `mutation { workAdd(connectorId: "x") { id } }`, nil, 200, "FUNCTIONAL_ERROR"},
		{"unknown filter", ConnectorToken, `{ works(filters: {mode: and, filters: [{key: ["colour"], values: ["red"]}], filterGroups: []}) { edges { cursor } } }`, nil, 200, "UNSUPPORTED_ERROR"},
	}
	p.SetUser("weak", &User{ID: "w", Capabilities: []string{"KNOWLEDGE"}})
	p.SetUser("modules", &User{ID: "m", Capabilities: []string{"MODULES_MODMANAGE"}})
	p.SetUser("x", &User{ID: "x"})
	p.SetUser("x", nil)
	for _, row := range rows {
		p.token = row.token
		got := p.ask(row.query, row.vars)
		if got.Status != row.status || got.code() != row.code {
			t.Errorf("%s: %d %q %+v, want %d %q", row.name, got.Status, got.code(), got.Errors, row.status, row.code)
		}
		if row.code != "" && got.Errors[0].Name != row.code {
			t.Errorf("%s: name %q", row.name, got.Errors[0].Name)
		}
	}
}

func TestIntrospection(t *testing.T) {
	names := func(v any) (list []string) {
		for _, f := range v.([]any) {
			list = append(list, f.(map[string]any)["name"].(string))
		}
		return list
	}
	const probe = `{ about { version } input: __type(name: "RegisterConnectorInput") { inputFields { name type { kind ofType { name } } } }
		connector: __type(name: "Connector") { fields { name } } none: __type(name: "Nothing") { name } }`
	for _, version := range []string{"6.8.10", "newest"} {
		p := newPlatform(t, Options{Version: version, HideStateTimestamp: version == "6.8.10"})
		r := p.ask(strings.Replace(probe, `none: __type(name: "Nothing") { name }`, "", 1), nil)
		in := names(r.Data["input"].(map[string]any)["inputFields"])
		if !slices.Contains(in, "auto_update") || slices.Contains(in, "slug") != (version == "newest") {
			t.Errorf("%s: input %v", version, in)
		}
		fields := names(r.Data["connector"].(map[string]any)["fields"])
		if slices.Contains(fields, "connector_state_timestamp") != (version == "newest") {
			t.Errorf("%s: fields %v", version, fields)
		}
		if got := p.ask(probe, nil); got.Status != 400 {
			t.Errorf("%s: three __type: %d", version, got.Status)
		}
		if got := p.must(`{ __type(name: "Nothing") { name } }`, nil); got != nil {
			t.Errorf("%s: unknown type: %v", version, got)
		}
	}
}

func TestLookUp(t *testing.T) {
	p := newPlatform(t, Options{})
	p.SetKnowledge(func(id string) (string, bool) {
		kind, _, _ := strings.Cut(id, "--")
		return kind, strings.HasSuffix(id, "--1")
	})
	const query = `query K($a: String!, $b: String!) {
		a: stixObjectOrStixRelationship(id: $a) { __typename ...F }
		b: stixObjectOrStixRelationship(id: $b) { ...F } }
		fragment F on StixObjectOrStixRelationship { ... on BasicObject { id entity_type } ... on BasicRelationship { entity_type } }`
	for kind, want := range map[string]string{"malware": "Malware", "relationship": "stix-core-relationship", "marking-definition": "Marking-Definition", "file": "file"} {
		got := p.ask(query, map[string]any{"a": kind + "--1", "b": kind + "--2"})
		a, _ := got.Data["a"].(map[string]any)
		if a["entity_type"] != want || got.Data["b"] != nil {
			t.Errorf("%s: %v", kind, got)
		}
		if _, has := a["id"]; has != (kind != "relationship") {
			t.Errorf("%s: fragments: %v", kind, a)
		}
	}
}
