package opencti

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
)

// object is a value of an object type; "__typename" names it. A value may be a
// fieldFunc, which is called when the field is asked for.
type object map[string]any

type fieldFunc func(args map[string]any) (any, error)

// execution runs one operation whose document is valid.
type execution struct {
	server *Server
	op     *ast.OperationDefinition
	vars   map[string]any
	user   *User
	errors []*failure
}

// run returns the data of the operation; nil when a non-null field failed.
func (e *execution) run() map[string]any {
	root := object{"__typename": "Query"}
	maps.Copy(root, e.server.queries(e.user))
	if e.op.Operation == ast.Mutation {
		root = object{"__typename": "Mutation"}
		maps.Copy(root, e.server.mutations(e.user))
	}
	data, ok := e.selectFrom(root, e.op.SelectionSet, nil)
	if !ok {
		return nil
	}
	return data
}

// selectFrom returns the asked fields of o; false when a non-null one failed.
func (e *execution) selectFrom(o object, set ast.SelectionSet, path []any) (map[string]any, bool) {
	out := map[string]any{}
	for _, f := range e.flatten(o["__typename"].(string), set, nil) {
		at := append(slices.Clone(path), f.Alias)
		value, ok := e.field(o, f, at)
		if !ok {
			if f.Definition.Type.NonNull {
				return nil, false
			}
			value = nil
		}
		if known, merged := out[f.Alias].(map[string]any); merged {
			if more, isMap := value.(map[string]any); isMap {
				maps.Copy(known, more)
				continue
			}
		}
		out[f.Alias] = value
	}
	return out, true
}

// flatten resolves fragments for an object of a type.
func (e *execution) flatten(typ string, set ast.SelectionSet, into []*ast.Field) []*ast.Field {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			if e.included(s.Directives) {
				into = append(into, s)
			}
		case *ast.InlineFragment:
			if e.included(s.Directives) && e.applies(typ, s.TypeCondition) {
				into = e.flatten(typ, s.SelectionSet, into)
			}
		case *ast.FragmentSpread:
			if e.included(s.Directives) && e.applies(typ, s.Definition.TypeCondition) {
				into = e.flatten(typ, s.Definition.SelectionSet, into)
			}
		}
	}
	return into
}

func (e *execution) included(list ast.DirectiveList) bool {
	for _, d := range list {
		args := d.ArgumentMap(e.vars)
		if yes, _ := args["if"].(bool); d.Name == "skip" && yes || d.Name == "include" && !yes {
			return false
		}
	}
	return true
}

func (e *execution) applies(typ, condition string) bool {
	return condition == "" || condition == typ || slices.ContainsFunc(e.server.schema.PossibleTypes[condition],
		func(d *ast.Definition) bool { return d.Name == typ })
}

func (e *execution) field(o object, f *ast.Field, path []any) (any, bool) {
	if f.Name == "__typename" {
		return o["__typename"], true
	}
	if err := e.allowed(f.Definition); err != nil {
		return nil, e.fail(err, path)
	}
	value := o[f.Name]
	if f.Name == "__type" {
		value = fieldFunc(e.server.introspect)
	}
	if call, ok := value.(fieldFunc); ok {
		var err error
		if value, err = call(f.ArgumentMap(e.vars)); err != nil {
			return nil, e.fail(err, path)
		}
	}
	return e.complete(value, f, path)
}

// complete makes a value what the client asked of it.
func (e *execution) complete(value any, f *ast.Field, path []any) (any, bool) {
	switch v := value.(type) {
	case nil:
		if f.Definition.Type.NonNull {
			return nil, e.fail(internalError("Cannot return null for non-nullable field "+f.Name), path)
		}
		return nil, true
	case object:
		if v == nil {
			return e.complete(nil, f, path)
		}
		got, ok := e.selectFrom(v, f.SelectionSet, path)
		return got, ok
	case []object:
		list := make([]any, len(v))
		for i, item := range v {
			got, ok := e.selectFrom(item, f.SelectionSet, append(slices.Clone(path), i))
			if !ok {
				return nil, false
			}
			list[i] = got
		}
		return list, true
	}
	return value, true
}

// allowed holds the @auth rules of the schema: any of the capabilities named.
func (e *execution) allowed(d *ast.FieldDefinition) error {
	auth := d.Directives.ForName("auth")
	if auth == nil {
		return nil
	}
	if e.user == nil {
		return &failure{Code: "AUTH_REQUIRED", Message: "You must be logged in to do this.", HTTPStatus: 401}
	}
	arg := auth.Arguments.ForName("for")
	if arg == nil || slices.Contains(e.user.Capabilities, "BYPASS") {
		return nil
	}
	for _, want := range arg.Value.Children {
		// A capability holds its parents: MODULES_MODMANAGE is MODULES too.
		if slices.ContainsFunc(e.user.Capabilities, func(has string) bool {
			return has == want.Value.Raw || len(has) > len(want.Value.Raw) && has[:len(want.Value.Raw)+1] == want.Value.Raw+"_"
		}) {
			return nil
		}
	}
	return &failure{Code: "FORBIDDEN_ACCESS", Message: "You are not allowed to do this.", HTTPStatus: 403}
}

func (e *execution) fail(err error, path []any) bool {
	f, ok := err.(*failure)
	if !ok {
		f = internalError(err.Error())
	}
	e.errors = append(e.errors, f.at(path))
	return false
}

// failure is one GraphQL error.
type failure struct {
	Code, Message string
	HTTPStatus    int // in the error's data; the answer itself is 200
	Path          []any
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

func (f *failure) at(path []any) *failure {
	c := *f
	c.Path = path
	return &c
}

func (f *failure) body() map[string]any {
	status := f.HTTPStatus
	if status == 0 {
		status = 500
	}
	out := map[string]any{
		"message": f.Message, "name": f.Code,
		"extensions": map[string]any{"code": f.Code, "data": map[string]any{"http_status": status, "genre": "BUSINESS"}},
	}
	if f.Path != nil {
		out["path"] = f.Path
	}
	return out
}

func functional(format string, args ...any) *failure {
	return &failure{Code: "FUNCTIONAL_ERROR", Message: fmt.Sprintf(format, args...)}
}

func internalError(message string) *failure {
	return &failure{Code: "INTERNAL_SERVER_ERROR", Message: message}
}
