package schema

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"threatmatch-connector/internal/facts"
)

//go:embed inputs.json
var inputsJSON []byte

// Inputs describes the inputs that the platform's GraphQL API takes.
type Inputs struct {
	fields  map[string]map[string]Field
	missing map[string][]string // fields of 6.9.17 that 6.8.10 lacks, by input
	added   []string            // inputs that 6.8.10 lacks
	enums   map[string][]string
	scalars map[string]string
}

// Field is one field of an input.
type Field struct {
	Type     string // Int, String, DateTime, StixRef, another input, an enumeration, …
	List     int    // 0 = one value, 1 = a list, 2 = a list of lists
	Required bool   // the field must be there and not null
	Elements bool   // of a list: no element may be null

	NotBlank  bool // more than white space
	MinLength int  // in characters, 0 = no limit
	Min, Max  *int // nil = no limit
}

// ReadInputs reads the embedded inputs. An error means that the embedded file is damaged.
func ReadInputs() (*Inputs, error) {
	var file struct {
		Inputs      map[string]json.RawMessage `json:"inputs"`
		Scalars     map[string]string          `json:"scalars"`
		New         []string                   `json:"types_new_since_6.8.10"`
		Differences map[string]struct {
			Missing []string `json:"only in 6.9.17"`
		} `json:"differences_of_6.8.10"`
	}
	if err := json.Unmarshal(inputsJSON, &file); err != nil {
		return nil, fmt.Errorf("read inputs.json: %w", err)
	}
	in := &Inputs{fields: map[string]map[string]Field{}, missing: map[string][]string{}, added: file.New,
		enums: map[string][]string{}, scalars: file.Scalars}
	for name, d := range file.Differences {
		in.missing[name] = d.Missing
	}
	for name, raw := range file.Inputs {
		var err error
		if enum, ok := strings.CutPrefix(name, "enum "); ok {
			var values []string
			err = json.Unmarshal(raw, &values)
			in.enums[enum] = values
		} else {
			in.fields[name], err = readFields(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("read inputs.json: %s: %w", name, err)
		}
	}
	return in, nil
}

func readFields(raw []byte) (map[string]Field, error) {
	var rows map[string]struct {
		Type      string `json:"type"`
		Format    string `json:"format"`
		MinLength int    `json:"minLength,string"`
		Min       *int   `json:"min,string"`
		Max       *int   `json:"max,string"`
	}
	if err := json.Unmarshal(raw, &rows); err != nil {
		return nil, err
	}
	fields := make(map[string]Field, len(rows))
	for name, row := range rows {
		f := parseType(row.Type)
		f.NotBlank, f.MinLength, f.Min, f.Max = row.Format == "not-blank", row.MinLength, row.Min, row.Max
		fields[name] = f
	}
	return fields, nil
}

// parseType reads GraphQL's spelling of a type: String!, [StixRef!]!, [[String]].
func parseType(s string) Field {
	var f Field
	s, f.Required = strings.CutSuffix(s, "!")
	for strings.HasPrefix(s, "[") {
		s, f.Elements = strings.CutSuffix(s[1:len(s)-1], "!")
		f.List++
	}
	f.Type = s
	return f
}

// Fields returns the fields of an input (IndicatorAddInput, …) in version v, by name; nil if that version has no such
// input. The source of 7.26 was not read: it counts as 6.9.17, and an unknown version counts as 6.8.10, whose fields
// both have. The caller owns the map.
func (in *Inputs) Fields(v facts.Version, input string) map[string]Field {
	all, ok := in.fields[input]
	old := v == facts.V6_8 || v == facts.Unknown
	if !ok || old && slices.Contains(in.added, input) {
		return nil
	}
	fields := make(map[string]Field, len(all))
	for name, f := range all {
		if !old || !slices.Contains(in.missing[input], name) {
			fields[name] = f
		}
	}
	return fields
}

// Enum returns the values of an enumeration; nil if there is none of that name.
func (in *Inputs) Enum(name string) []string { return slices.Clone(in.enums[name]) }

// Scalar describes in words what a scalar type accepts; "" if there is none of that name.
func (in *Inputs) Scalar(name string) string { return in.scalars[name] }

// Names lists all inputs, sorted.
func (in *Inputs) Names() []string {
	return slices.Sorted(maps.Keys(in.fields))
}
