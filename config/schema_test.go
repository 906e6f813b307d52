package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

func compileSchema(t *testing.T, formats bool) *jsonschema.Schema {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSchema(&b); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if formats {
		c.AssertFormat()
	}
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemaHasTheShapeOfTheCatalogue(t *testing.T) {
	var text bytes.Buffer
	if err := WriteSchema(&text); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Schema     string                    `json:"$schema"`
		ID         string                    `json:"$id"`
		Type       string                    `json:"type"`
		Properties map[string]map[string]any `json:"properties"`
		Required   []string                  `json:"required"`
		Additional *bool                     `json:"additionalProperties"`
	}
	dec := json.NewDecoder(&text)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if doc.Schema != "https://json-schema.org/draft/2020-12/schema" || doc.Type != "object" ||
		doc.ID != "https://www.filigran.io/connectors/threatmatch_config.schema.json" || doc.Additional == nil || !*doc.Additional {
		t.Errorf("head %+v", doc)
	}
	if want := []string{"OPENCTI_URL", "OPENCTI_TOKEN", "THREATMATCH_CLIENT_ID", "THREATMATCH_CLIENT_SECRET"}; !slices.Equal(doc.Required, want) {
		t.Errorf("required %v", doc.Required)
	}
	if _, ok := doc.Properties["CONNECTOR_ID"]; ok {
		t.Error("CONNECTOR_ID is the platform's to give")
	}
	words := []string{"type", "format", "enum", "default", "description", "deprecated", "items", "pattern",
		"minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "minItems"}
	for name, p := range doc.Properties {
		for word := range p {
			if !slices.Contains(words, word) {
				t.Errorf("%s has %s", name, word)
			}
		}
		typ, _ := p["type"].(string)
		if !slices.Contains([]string{"string", "integer", "number", "boolean", "array"}, typ) || p["description"] == "" {
			t.Errorf("%s is %v", name, p)
		}
		if format, ok := p["format"]; ok && format != "uri" && format != "password" {
			t.Errorf("%s has the format %v", name, format)
		}
	}
	for _, s := range Settings() {
		if p, ok := doc.Properties[s.Env]; ok == s.NoSchema {
			t.Errorf("%s in the schema: %v", s.Env, ok)
		} else if ok && s.Secret && s.Kind == "secret" && p["format"] != "password" {
			t.Errorf("%s is no password", s.Env)
		}
	}
}

// The platform compiles patterns as JavaScript's with the u flag, where a needless escape is an error and look-ahead
// is the only thing that RE2 lacks.
func TestPatternsAreJavaScriptToo(t *testing.T) {
	needless := regexp.MustCompile(`\\[^\[\].|/(){}*+?^$\\xt]|\\x[^0-9A-F]|\(\?[^:]|[^\\]\[\^?\]|\[\[:`)
	for _, s := range Settings() {
		for _, pattern := range []string{s.schema.Pattern, items(s).Pattern} {
			if at := needless.FindString(pattern); at != "" {
				t.Errorf("%s: %q in %s", s.Key, at, pattern)
			}
			if pattern != "" && (!strings.HasPrefix(pattern, "^(?:") || !strings.HasSuffix(pattern, ")$")) {
				t.Errorf("%s: %s does not match the whole text", s.Key, pattern)
			}
		}
	}
}

func items(s Setting) schemaType {
	if it := s.schema.Items; it != nil {
		return *it
	}
	return schemaType{}
}

func TestManifestAndCatalogue(t *testing.T) {
	var m, c bytes.Buffer
	if err := errors.Join(WriteManifest(&m), WriteCatalog(&c)); err != nil {
		t.Fatal(err)
	}
	var one map[string]any
	var all struct {
		ID        string
		Contracts []map[string]any
	}
	if err := errors.Join(json.Unmarshal(m.Bytes(), &one), json.Unmarshal(c.Bytes(), &all)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"title", "slug", "description", "short_description", "logo", "use_cases", "solution_categories", "license_type",
		"contact", "verified", "last_verified_date", "playbook_supported", "max_confidence_level", "support_version", "subscription_link",
		"source_code", "manager_supported", "container_version", "container_image", "container_type"} {
		if _, ok := one[name]; !ok {
			t.Errorf("the manifest has no %s", name)
		}
	}
	if all.ID == "" || len(all.Contracts) != 1 || len(all.Contracts[0]) != len(one)+1 {
		t.Fatalf("catalogue %+v", all)
	}
	if schema, _ := all.Contracts[0]["config_schema"].(map[string]any); schema["type"] != "object" {
		t.Errorf("config_schema %v", schema)
	}
}

var plainNumber = regexp.MustCompile(`^[0-9]{1,15}(?:\.[0-9]{1,6})?$`)

// formValue returns what the platform's form holds for a text that a user enters, and the text that the platform
// passes to the connector for it.
func formValue(s Setting, text string) (value any, handed string) {
	switch s.schema.Type {
	case "boolean":
		if v, ok := boolWord(text); ok {
			return v, strconv.FormatBool(v)
		}
	case "integer", "number":
		if plainNumber.MatchString(text) {
			v, _ := strconv.ParseFloat(text, 64)
			handed = strconv.FormatFloat(v, 'f', -1, 64)
			return json.Number(handed), handed
		}
	case "array":
		list := []any{}
		for item := range strings.SplitSeq(text, ",") {
			if item = trim(item); item != "" {
				list = append(list, item)
			}
		}
		return list, text
	}
	return text, text
}

// canonical returns the spelling that the schema knows.
func canonical(s Setting, text string) string {
	text = trim(text)
	switch s.Kind {
	case "word":
		for _, w := range s.schema.Enum {
			if word, _ := w.(string); strings.EqualFold(word, text) {
				return word
			}
		}
	case "duration", "date or duration":
		if periodShape.MatchString(strings.ToLower(text)) {
			return strings.ToLower(text)
		}
		return strings.ToUpper(text)
	}
	return text
}

// texts are likely and unlikely values of every kind.
func texts() []string {
	return []string{
		"true", "False", "yes", "0", "1", "2", "5", "9095", "65535", "65536", "0.5", "10.0", "007", "-1", "1e3", "1000001",
		"P1D", "PT1H30M", "p1m", "P1H", "24h", "01:02:03", "1 day, 00:00:00", "P", "PT", "P10000D", "PT0.25S", "P1W",
		"2025-01-01", "2025-02-30", "2024-02-29", "2025-01-01 08:00", "2025-01-01T08:00:00Z", "2025-01-01T24:00:00Z", "2025-01-01T08:00:00+02:00", "0999-01-01",
		"4GiB", "4G", "4gi", "64 MiB", "255MiB", "256MiB", "268435455", "268435456", "64KiB", "63KiB", "0GiB", "1048576KB",
		"http://x", "https://example.com/base/", "http://u:p@x", "ftp://x", "http://x:0", "http://[::1]:80", "http://[::", "http://a/%2", "http://a?b", "http://a_b",
		"amber", "AMBER+STRICT", "ambre", "debug", "WARNING", "EXTERNAL_IMPORT", "external_import", "amqp", "api", "markdown", "all", "knowledge",
		"ChangeMe", "changeme", "changemenot", "change me", "a b", " a", "a,b", "a, b ,", ",", "a\nb", "ü", "Indicator", "indicator,malware", "-x",
		"X-One:1", "X-One:1;X-Two:2", "X One:1", "no colon", "a:b;", "5b1b2f0e-7c1d-4d4e-9a0b-0123456789ab", "name_space", "9name",
	}
}

func drawText(t *rapid.T, s Setting) string {
	gens := []*rapid.Generator[string]{rapid.SampledFrom(texts()), rapid.SampledFrom(texts())}
	if p := s.schema.Pattern; p != "" {
		gens = append(gens, rapid.StringMatching(p))
	}
	if e := s.schema.Enum; len(e) > 0 {
		gens = append(gens, rapid.Custom(func(t *rapid.T) string {
			if word, ok := rapid.SampledFrom(e).Draw(t, "word").(string); ok {
				return word
			}
			return "false"
		}))
	}
	if s.schema.Type == "integer" {
		gens = append(gens, rapid.Custom(func(t *rapid.T) string { return strconv.Itoa(rapid.IntRange(0, 70_000).Draw(t, "n")) }))
	}
	text := rapid.OneOf(gens...).Draw(t, s.Env)
	if text != "" && rapid.IntRange(0, 3).Draw(t, "mutate") == 0 { // one letter more, fewer or changed
		i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		letter := rapid.SampledFrom([]string{"", "0", "9", "x", "D", ":", "-", " "}).Draw(t, "letter")
		text = strings.ToValidUTF8(text[:i]+letter+text[i+rapid.IntRange(0, 1).Draw(t, "over"):], "")
	}
	return text
}

func TestSchemaAndLoaderAgree(t *testing.T) {
	plain, withFormats := compileSchema(t, false), compileSchema(t, true)
	var settings []Setting
	for _, s := range Settings() {
		// A schema cannot know whether a file exists.
		if !s.NoSchema && s.Kind != "PEM or path" && s.Kind != "boolean or path" {
			settings = append(settings, s)
		}
	}
	dir := t.TempDir()
	accepted, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		fromForm, raw, form := base(), base(), map[string]any{}
		for k, v := range fromForm {
			form[k] = v
		}
		// Without a directory, the queue cannot be switched off: that depends on two settings, so the schema cannot
		// tell.
		for _, m := range []map[string]string{fromForm, raw} {
			maps.Copy(m, map[string]string{"CONNECTOR_SEND_TO_DIRECTORY": "true", "CONNECTOR_SEND_TO_DIRECTORY_PATH": "/bundles"})
		}
		strict := maps.Clone(form)
		for range rapid.IntRange(1, 3).Draw(t, "settings") {
			s := rapid.SampledFrom(settings).Draw(t, "setting")
			// A ceiling below the default level is refused: two settings, too.
			if strings.HasPrefix(s.Key, "connector.send_to_directory") || s.Key == "threatmatch.tlp_max" {
				continue
			}
			text := drawText(t, s)
			if trim(text) == "" || s.items && strings.Trim(text, ", \t\r\n") == "" && text != "," {
				continue // not given
			}
			form[s.Env], fromForm[s.Env] = formValue(s, text)
			strict[s.Env], _ = formValue(s, canonical(s, text))
			raw[s.Env] = text
		}
		if rapid.IntRange(0, 9).Draw(t, "leave out") == 0 {
			name := rapid.SampledFrom([]string{"OPENCTI_URL", "THREATMATCH_CLIENT_SECRET"}).Draw(t, "required")
			delete(form, name)
			delete(strict, name)
			delete(fromForm, name)
			delete(raw, name)
		}
		schemaErr := plain.Validate(form)
		_, _, loadErr := Load(Options{Dir: dir, Environ: environ(fromForm)})
		if schemaErr == nil && loadErr != nil {
			t.Fatalf("the schema takes %q, the loader says %v", form, loadErr)
		}
		if schemaErr == nil && withFormats.Validate(form) != nil {
			t.Fatalf("the format refuses what the pattern takes: %q: %v", form, withFormats.Validate(form))
		}
		if schemaErr == nil {
			accepted++
		} else {
			refused++
		}
		if _, _, err := Load(Options{Dir: dir, Environ: environ(raw)}); err == nil {
			if err := plain.Validate(strict); err != nil {
				t.Fatalf("the loader takes %q, the schema says of %q: %v", raw, strict, err)
			}
		}
	})
	if accepted == 0 || refused == 0 {
		t.Errorf("%d accepted, %d refused: nothing is shown", accepted, refused)
	}
}

func TestEveryDefaultAndExampleIsTakenByTheSchema(t *testing.T) {
	schema := compileSchema(t, true)
	form := map[string]any{}
	for _, s := range Settings() {
		text := s.Default
		if text == "" || s.Required {
			text = s.Example
		}
		if text == "ChangeMe" {
			text = "filled-in"
		}
		if !s.NoSchema && text != "" {
			form[s.Env], _ = formValue(s, text)
		}
	}
	if err := schema.Validate(form); err != nil {
		t.Error(err)
	}
	for _, env := range []string{"OPENCTI_TOKEN", "THREATMATCH_CLIENT_ID", "THREATMATCH_CLIENT_SECRET"} {
		with := maps.Clone(form)
		with[env] = "ChangeMe"
		if schema.Validate(with) == nil {
			t.Errorf("%s may stay ChangeMe", env)
		}
	}
}
