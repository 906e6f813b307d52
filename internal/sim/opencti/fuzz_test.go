package opencti

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzGraphQL sends arbitrary bodies: the stand-in answers each with JSON.
func FuzzGraphQL(f *testing.F) {
	for _, seed := range []string{
		`{"query":"{ about { version } }"}`,
		`{"query":"mutation E($id: ID!, $n: Int) { workEdit(id: $id) { addExpectations(expectations: $n) ...F } } fragment F on WorkEditMutations { ping }","variables":{"id":"work_x_y","n":2}}`,
		`{"query":"query W($f: FilterGroup) { works(first: 1, filters: $f) { edges { node { id tracking { import_expected_number } } } } }","variables":{"f":{"mode":"or","filters":[{"key":["status"],"values":[1,null]}],"filterGroups":[]}}}`,
		`{"query":"{ __type(name: \"Connector\") { fields { name type { kind ofType { name ofType { name } } } args { name } } possibleTypes { name } interfaces { name } enumValues { name } } }"}`,
		`{"query":"query A { connector(id: \"c\") @skip(if: true) { id } }","operationName":"A"}`,
		`{"query":"mutation { pingConnector(id: \"c\", state: \"null\") { __typename id works { id connector { id } } } }"}`,
		`{"query":7}`, `[]`, ``,
	} {
		f.Add(seed)
	}
	s, err := New(Options{AMQPURL: "amqp://guest:guest@127.0.0.1:1/"})
	if err != nil {
		f.Fatal(err)
	}
	s.connectors["c"] = &connector{id: "c", name: "C", flags: object{}}
	if _, err := s.OpenWork("c", "run"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/graphql", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+AdminToken)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("answer %d %q", w.Code, w.Body)
		}
	})
}
