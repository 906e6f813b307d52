package opencti

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// query is one parsed request.
type query struct {
	op        *ast.OperationDefinition
	vars      map[string]any
	route, id string
	mutations []string
	refused   *failure // not valid: answered 400
	user      *User
	code      string // of the first error of the answer
}

// The platform's batch protection: uses of one root field in a document.
const (
	maxSameQuery    = 2
	maxSameMutation = 1
)

func refuse(code, message string) *query {
	return &query{refused: &failure{Code: code, Message: message, HTTPStatus: 400}}
}

// parse checks a request against the schema, as the platform does before anything is done.
func (s *Server) parse(body []byte) *query {
	var in struct {
		Query         string         `json:"query"`
		Variables     map[string]any `json:"variables"`
		OperationName string         `json:"operationName"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&in); err != nil {
		return refuse("BAD_REQUEST", "POST body is not JSON: "+err.Error())
	}
	if strings.Contains(in.Query, "__schema") {
		return refuse("GRAPHQL_VALIDATION_FAILED", "GraphQL introspection is not allowed, but the query contained __schema")
	}
	doc, err := parser.ParseQuery(&ast.Source{Input: in.Query})
	if err != nil {
		return refuse("GRAPHQL_PARSE_FAILED", err.Error())
	}
	if errs := validator.ValidateWithRules(s.schema, doc, rules.NewDefaultRules()); len(errs) > 0 {
		return refuse("GRAPHQL_VALIDATION_FAILED", errs[0].Message)
	}
	op := doc.Operations.ForName(in.OperationName)
	if op == nil || len(doc.Operations) > 1 && in.OperationName == "" {
		return refuse("OPERATION_RESOLUTION_FAILURE", "Must provide operation name if query contains multiple operations.")
	}
	vars, err := validator.VariableValues(s.schema, op, in.Variables)
	if err != nil {
		return refuse("BAD_USER_INPUT", err.Error())
	}
	q := &query{op: op, vars: vars}
	q.roots(vars)
	return q
}

// roots names the request by its first root field and counts their uses.
func (q *query) roots(vars map[string]any) {
	uses := map[string]int{}
	for _, f := range fieldsOf(q.op.SelectionSet) {
		uses[f.Name]++
		limit := maxSameQuery
		if q.op.Operation == ast.Mutation {
			limit = maxSameMutation
		}
		if uses[f.Name] > limit {
			q.refused = &failure{Code: "GRAPHQL_VALIDATION_FAILED", Message: "Batching by alias of '" + f.Name + "' is not allowed", HTTPStatus: 400}
		}
		names := []string{f.Name}
		if f.Name == "workEdit" {
			names = nil
			for _, sub := range fieldsOf(f.SelectionSet) {
				names = append(names, "workEdit."+sub.Name)
			}
		}
		if q.route == "" || q.route == "__type" || q.route == "about" {
			q.route = names[0]
			args := f.ArgumentMap(vars)
			for _, key := range []string{"id", "connectorId"} {
				if id, ok := args[key].(string); ok && q.id == "" {
					q.id = id
				}
			}
		}
		if q.op.Operation == ast.Mutation {
			q.mutations = append(q.mutations, names...)
		}
	}
}

// fieldsOf are the fields of a set, fragments resolved.
func fieldsOf(set ast.SelectionSet) []*ast.Field {
	var out []*ast.Field
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			out = append(out, s)
		case *ast.InlineFragment:
			out = append(out, fieldsOf(s.SelectionSet)...)
		case *ast.FragmentSpread:
			out = append(out, fieldsOf(s.Definition.SelectionSet)...)
		}
	}
	return out
}
