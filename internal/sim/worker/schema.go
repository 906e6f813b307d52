package worker

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"threatmatch-connector/internal/facts"
	"threatmatch-connector/internal/sim/schema"
	"threatmatch-connector/internal/sim/splitter"
	"threatmatch-connector/internal/stix"
)

// platformFacts are what one version of the platform accepts.
type platformFacts struct {
	version   facts.Version
	inputs    *schema.Inputs
	relations facts.Relationships
	client    map[string][]schema.Handed
	words     []string // properties that hold words of a vocabulary
}

func readFacts(version string) (*platformFacts, error) {
	inputs, err := schema.ReadInputs()
	if err != nil {
		return nil, err
	}
	// Of what lies before 6.8 nothing was read: it counts as 6.8.10.
	v := cmp.Or(facts.VersionOf(version), facts.V6_8)
	client, err := schema.ReadClient(v)
	if err != nil {
		return nil, err
	}
	words, err := schema.VocabularyFields()
	return &platformFacts{v, inputs, facts.ReadRelationships(), client, words}, err
}

// schema holds what the client would send of the object against the inputs of
// the platform's GraphQL.
func (c *objectCheck) schema() {
	handed := c.handed()
	if handed == nil {
		c.refuse(true, "type", "nothing is sent of a %s", c.text("type"))
		return
	}
	byInput := map[string]map[string]any{}
	for _, h := range handed {
		if byInput[h.Input] == nil {
			byInput[h.Input] = map[string]any{}
		}
		value, has := c.value(h)
		c.refuse(h.Needed && !has, "required", "no %s", strings.Join(h.Properties, " or "))
		byInput[h.Input][h.Name] = value
	}
	for input, values := range byInput {
		fields := observableFields
		if input != "" {
			fields = c.facts.inputs.Fields(c.facts.version, input)
		}
		for name, f := range fields {
			c.field(name, f, values[name])
		}
	}
	c.labels()
	c.phases()
	c.words()
	switch t := c.text("type"); {
	case (t == "attack-pattern" || t == "course-of-action") && c.o["x_mitre_id"] == nil:
		c.sources("")
	case t == "relationship" && c.facts.version != facts.V6_8: // which goes on
		c.sources("description")
	}
}

// handed is what the client makes of the object; nil is nothing.
func (c *objectCheck) handed() []schema.Handed {
	kind := c.text("type")
	if list := c.facts.client[kind]; list != nil && kind != "file" {
		return list
	}
	if kind == "location" {
		return c.facts.client["location-country"] // all places alike
	}
	return c.facts.client[kindOf(c.o)]
}

// observableFields are what the mutation for observables takes beside the
// observable's own input.
var observableFields = map[string]schema.Field{
	"stix_id": {Type: "StixId"}, "x_opencti_score": {Type: "Int"}, "x_opencti_description": {Type: "String"},
	"createIndicator": {Type: "Boolean"}, "createdBy": {Type: "String"}, "objectMarking": {Type: "String", List: 1},
	"objectOrganization": {Type: "String", List: 1},
}

// value is what the client sends for a field.
func (c *objectCheck) value(h schema.Handed) (any, bool) {
	for _, key := range h.Properties {
		if v, has := c.o[key]; has {
			return v, true
		}
	}
	return h.Default, false
}

// sent is what the client sends in a field, nil when the kind has no such field.
func (c *objectCheck) sent(name string) any {
	for _, h := range c.handed() {
		if h.Name == name {
			v, _ := c.value(h)
			return v
		}
	}
	return nil
}

// elsewhere are fields that the client fills by way of something else.
var elsewhere = []string{"fromId", "toId", "type", "definition", "definition_type", "hashes"}

func (c *objectCheck) field(name string, f schema.Field, value any) {
	if slices.Contains(elsewhere, name) {
		return
	}
	if value == nil {
		c.refuse(f.Required, "required", "no %s", name)
		return
	}
	before := len(c.found)
	c.list(name, f, f.List, value)
	if len(c.found) > before {
		return
	}
	text, _ := value.(string)
	c.refuse(f.MinLength > utf8.RuneCountInString(text) && f.Type == "String", "required", "%s %q is shorter than %d", name, text, f.MinLength)
	c.refuse(f.NotBlank && strings.TrimSpace(text) == "", "required", "%s %q is blank", name, text)
	number, _ := value.(float64)
	c.refuse(f.Min != nil && number < float64(*f.Min) || f.Max != nil && number > float64(*f.Max), "range", "%s is %v", name, value)
}

// list checks the elements of a list; a value alone counts as a list of one.
func (c *objectCheck) list(name string, f schema.Field, depth int, value any) {
	elements, ok := value.([]any)
	if depth == 0 || !ok {
		if value != nil {
			c.refuse(!c.scalar(f.Type, value), "type of value", "%s: %v is no %s", name, value, f.Type)
		}
		return
	}
	for _, e := range elements {
		c.refuse(e == nil && f.Elements, "null", "%s holds null", name)
		c.list(name, f, depth-1, e)
	}
}

var uuidForm = regexp.MustCompile(`(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func (c *objectCheck) scalar(kind string, value any) bool {
	text, isText := value.(string)
	number, isNumber := value.(float64)
	switch kind {
	case "Boolean":
		_, ok := value.(bool)
		return ok
	case "Int":
		return isNumber && number == math.Trunc(number) && number >= math.MinInt32 && number <= math.MaxInt32
	case "Float":
		return isNumber
	case "String":
		return isText
	case "DateTime":
		_, ok := readTime(text)
		return ok
	case "StixId", "StixRef":
		prefix, uuid, found := strings.Cut(text, "--")
		return found && splitter.Supported(prefix) && uuidForm.MatchString(uuid) || kind == "StixRef" && uuidForm.MatchString(text)
	}
	if enum := c.facts.inputs.Enum(kind); enum != nil {
		return slices.Contains(enum, text)
	}
	return true // files and inputs within inputs
}

// readTime reads a time as the platform does: with a zone, on a real day.
func readTime(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, text)
	return t, err == nil && dateTime.MatchString(text)
}

// labels become objects of their own before the object is sent.
func (c *objectCheck) labels() {
	for _, label := range c.elements("labels") {
		_, ok := label.(string)
		c.refuse(!ok, "type of value", "labels holds %v", label)
	}
	if v, has := c.o["labels"]; has && v == nil {
		c.refuse(true, "null", "labels is null")
	}
}

func (c *objectCheck) phases() {
	for _, phase := range c.elements("kill_chain_phases") {
		p, _ := phase.(map[string]any)
		for _, key := range []string{"kill_chain_name", "phase_name"} {
			_, ok := p[key].(string)
			c.refuse(!ok, "required", "kill_chain_phases: %s is %v", key, p[key])
		}
	}
}

// sources: of attack patterns the client looks for the technique's id by the
// source of every reference, of relationships for a date in the description or
// the source. It fails on a reference that has none.
func (c *objectCheck) sources(instead string) {
	for _, reference := range c.elements("external_references") {
		r, _ := reference.(map[string]any)
		_, ok := r["source_name"].(string)
		_, also := r[instead].(string)
		c.refuse(!ok && !also, "required", "external_references: source_name is %v", r["source_name"])
	}
}

// words of vocabularies are looked up one by one, whatever the kind of object.
func (c *objectCheck) words() {
	for _, key := range c.facts.words {
		switch v := c.o[key].(type) {
		case bool, float64:
			c.refuse(true, "type of value", "%s: %v is no word", key, v)
		case []any:
			for _, word := range v {
				_, ok := word.(string)
				c.refuse(!ok, "type of value", "%s holds %v", key, word)
			}
		}
	}
}

func (c *objectCheck) elements(key string) []any {
	list, _ := c.o[key].([]any)
	return list
}

// hashes become pairs of algorithm and hash.
func (c *objectCheck) hashes() {
	list, ok := c.o["hashes"].(map[string]any)
	_, has := c.o["hashes"]
	c.refuse(has && !ok, "type of value", "hashes is %v", c.o["hashes"])
	input := c.facts.inputs.Fields(c.facts.version, "HashInput")
	for algorithm, hash := range list {
		c.field("hashes.algorithm", input["algorithm"], algorithm)
		c.field("hashes."+algorithm, input["hash"], hash)
	}
}

// sentReferences are the references that the client hands over: those that the
// kind has fields for, and all of an observable. Of two properties for one field the
// first counts that is there, even when the splitter emptied it.
func (c *objectCheck) sentReferences() map[string][]string {
	all, out := references(c.o), map[string][]string{}
	if stix.Observable(c.text("type")) {
		if _, has := c.o["created_by_ref"]; has {
			delete(all, "x_opencti_created_by_ref")
		}
		return all
	}
	for _, h := range c.handed() {
		if !slices.ContainsFunc(h.Properties, isReference) {
			continue
		}
		for _, key := range h.Properties {
			value, has := c.o[key]
			if !has {
				continue
			}
			if value != nil {
				out[key] = referred(value)
			}
			if h.Name != "fromId" && h.Name != "toId" {
				break
			}
		}
	}
	return out
}
