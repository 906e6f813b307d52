package opencti

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// introspect answers __type, which the platform allows to every user.
func (s *Server) introspect(args map[string]any) (any, error) {
	name, _ := args["name"].(string)
	return s.typeObject(s.schema.Types[name]), nil
}

func (s *Server) typeObject(d *ast.Definition) any {
	if d == nil {
		return nil
	}
	o := object{"__typename": "__Type", "name": d.Name, "kind": string(d.Kind), "description": nil, "ofType": nil}
	o["fields"] = fieldFunc(func(map[string]any) (any, error) {
		if d.Kind != ast.Object && d.Kind != ast.Interface {
			return nil, nil
		}
		list := []object{}
		for _, f := range d.Fields {
			if !strings.HasPrefix(f.Name, "__") {
				list = append(list, s.fieldObject(f))
			}
		}
		return list, nil
	})
	o["inputFields"] = fieldFunc(func(map[string]any) (any, error) {
		if d.Kind != ast.InputObject {
			return nil, nil
		}
		list := []object{}
		for _, f := range d.Fields {
			list = append(list, s.inputObject(f.Name, f.Type))
		}
		return list, nil
	})
	o["enumValues"] = fieldFunc(func(map[string]any) (any, error) {
		var list []object
		for _, v := range d.EnumValues {
			list = append(list, object{"__typename": "__EnumValue", "name": v.Name, "isDeprecated": false})
		}
		return list, nil
	})
	o["possibleTypes"], o["interfaces"] = s.typeList(d, false), s.typeList(d, true)
	return o
}

func (s *Server) typeList(d *ast.Definition, interfaces bool) fieldFunc {
	return func(map[string]any) (any, error) {
		list := []object{}
		types := s.schema.PossibleTypes[d.Name]
		if interfaces {
			types = s.schema.Implements[d.Name]
		} else if !d.IsAbstractType() {
			return nil, nil
		}
		for _, t := range types {
			list = append(list, s.typeObject(t).(object))
		}
		return list, nil
	}
}

func (s *Server) fieldObject(f *ast.FieldDefinition) object {
	return object{
		"__typename": "__Field", "name": f.Name, "isDeprecated": false, "description": nil,
		"type": s.typeRef(f.Type),
		"args": fieldFunc(func(map[string]any) (any, error) {
			list := []object{}
			for _, a := range f.Arguments {
				list = append(list, s.inputObject(a.Name, a.Type))
			}
			return list, nil
		}),
	}
}

func (s *Server) inputObject(name string, t *ast.Type) object {
	return object{"__typename": "__InputValue", "name": name, "description": nil, "defaultValue": nil, "type": s.typeRef(t)}
}

// typeRef is a type as a field or an argument has it.
func (s *Server) typeRef(t *ast.Type) fieldFunc {
	return func(map[string]any) (any, error) {
		if t.NonNull {
			inner := *t
			inner.NonNull = false
			return object{"__typename": "__Type", "kind": "NON_NULL", "name": nil, "ofType": s.typeRef(&inner)}, nil
		}
		if t.Elem != nil {
			return object{"__typename": "__Type", "kind": "LIST", "name": nil, "ofType": s.typeRef(t.Elem)}, nil
		}
		return s.typeObject(s.schema.Types[t.NamedType]), nil
	}
}
