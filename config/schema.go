package config

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
)

// slug is the connector's name in OpenCTI's catalogue.
const slug = "threatmatch"

// property is one setting in the schema, with its fields in the order that the platform's own connectors use.
type property struct {
	Description string `json:"description"`
	Default     any    `json:"default,omitempty"`
	Deprecated  bool   `json:"deprecated,omitempty"`
	schemaType
}

// WriteSchema writes the settings as a JSON schema (draft 2020-12) in the flat form that OpenCTI's catalogue of
// connectors takes: a property for each environment name, no references and no alternatives. It describes canonical
// forms; Load also accepts blanks, other cases and words for yes and no. Only Load checks what depends on two
// settings.
func WriteSchema(w io.Writer) error {
	var properties bytes.Buffer
	var need []string
	for _, s := range Settings() {
		if s.NoSchema {
			continue
		}
		p := property{Description: s.Doc, Deprecated: s.Legacy != "", schemaType: s.schema}
		if s.Legacy != "" {
			p.Description += " Use instead: " + s.Legacy + "."
		}
		if s.Default != "" {
			p.Default = s.instance(s.Default)
		}
		if s.Required {
			need = append(need, s.Env)
		}
		if properties.Len() > 0 {
			properties.WriteByte(',')
		}
		properties.WriteString(strconv.Quote(s.Env) + ":")
		if err := plainJSON(&properties).Encode(p); err != nil {
			return err
		}
	}
	return indented(w).Encode(struct {
		Schema     string          `json:"$schema"`
		ID         string          `json:"$id"`
		Type       string          `json:"type"`
		Properties json.RawMessage `json:"properties"`
		Required   []string        `json:"required"`
		Additional bool            `json:"additionalProperties"`
	}{
		Schema: "https://json-schema.org/draft/2020-12/schema",
		ID:     "https://www.filigran.io/connectors/" + slug + "_config.schema.json",
		Type:   "object", Properties: json.RawMessage("{" + properties.String() + "}"),
		Required: need, Additional: true,
	})
}

// instance converts text to the type that the schema gives the setting, or returns the text itself if it is not of
// that type.
func (s Setting) instance(text string) any {
	switch s.schema.Type {
	case "boolean":
		if v, ok := boolWord(text); ok {
			return v
		}
	case "integer", "number":
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			return json.Number(strconv.FormatFloat(v, 'f', -1, 64))
		}
	case "array":
		list := []string{}
		for item := range strings.SplitSeq(text, ",") {
			list = append(list, trim(item))
		}
		return list
	}
	return text
}

// plainJSON is an encoder that does not escape what is special in HTML.
func plainJSON(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

func indented(w io.Writer) *json.Encoder {
	enc := plainJSON(w)
	enc.SetIndent("", "  ")
	return enc
}
