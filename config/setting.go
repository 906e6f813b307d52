package config

import (
	"slices"
	"strings"
	"sync"
)

// Setting is one row of the table.
type Setting struct {
	Key     string // path in config.yml: "connector.log_level"; a single name outside of the sections
	Env     string // environment name: "CONNECTOR_LOG_LEVEL"
	Default string // as it would be written; "" if there is none
	Doc     string // one sentence
	Kind    string // "boolean", "duration" …
	Allowed string // completes "allowed: "

	Required bool   // must be given; offline, those of the platform need not
	Secret   bool   // never printed
	Legacy   string // why it is not for new installations; "" if it is
	Example  string // for the sample file, if the default is not a good one
	NoSchema bool   // not in the schema: the platform gives it, or it is not the user's to set

	aliases []alias
	items   bool // takes a YAML list
	schema  schemaType
	set     func(*Config, any) error // any is a string or []string
	get     func(*Config) string     // as it is printed
	normal  func(any) string         // equal for equal values; may hold a secret
}

// alias is another name for a setting.
type alias struct {
	name    string // environment name
	removal string // the date after which it may be dropped, "" for a name that stays
	top     bool   // a name at the top of config.yml, in lower case, not a variable
}

// option changes a row.
type option func(*Setting)

func required(s *Setting) { s.Required = true }
func secret(s *Setting)   { s.Secret = true }
func noSchema(s *Setting) { s.NoSchema = true }

func legacy(why string) option   { return func(s *Setting) { s.Legacy = why } }
func example(text string) option { return func(s *Setting) { s.Example = text } }
func atTop(name string) option {
	return func(s *Setting) { s.aliases = append(s.aliases, alias{name: name, top: true}) }
}
func alsoNamed(name string) option {
	return func(s *Setting) { s.aliases = append(s.aliases, alias{name: name}) }
}

func deprecatedName(name, removal string) option {
	return func(s *Setting) { s.aliases = append(s.aliases, alias{name: name, removal: removal}) }
}

// row builds a row for a field of Config.
func row[T any](key string, k kind[T], field func(*Config) *T, def, doc string, opts ...option) Setting {
	return rowFunc(key, k,
		func(c *Config) T { return *field(c) },
		func(c *Config, v T) { *field(c) = v },
		def, doc, opts...)
}

// rowFunc builds a row for more than one field.
func rowFunc[T any](key string, k kind[T], get func(*Config) T, put func(*Config, T), def, doc string, opts ...option) Setting {
	read := func(raw any) (T, error) {
		if list, ok := raw.([]string); ok {
			if k.items == nil {
				var none T
				return none, &refusal{message: "a list where one value is expected"}
			}
			return k.items(list)
		}
		text, _ := raw.(string)
		return k.parse(text)
	}
	s := Setting{
		Key: key, Env: envName(key), Default: def, Doc: doc, Kind: k.name, Allowed: k.allowed,
		items: k.items != nil, schema: k.schema,
		set: func(c *Config, raw any) error {
			v, err := read(raw)
			if err == nil {
				put(c, v)
			}
			return err
		},
		get: func(c *Config) string { return k.format(get(c)) },
	}
	for _, o := range opts {
		o(&s)
	}
	s.normal = func(raw any) string {
		if v, err := read(raw); err == nil && !s.Secret {
			return k.format(v)
		}
		return rawText(raw)
	}
	return s
}

func envName(key string) string {
	return strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// rawText returns a raw value as one text.
func rawText(raw any) string {
	if list, ok := raw.([]string); ok {
		return strings.Join(list, ",")
	}
	text, _ := raw.(string)
	return text
}

// Settings returns the table, in the order in which it is shown.
func Settings() []Setting { return slices.Clone(table()) }

// table is built once: its kinds hold compiled patterns.
var table = sync.OnceValue(func() []Setting {
	var all []Setting
	for _, part := range [][]Setting{
		openctiSettings(), connectorSettings(), threatmatchSettings(), choiceSettings(), mqSettings(), ownSettings(), networkSettings(),
	} {
		all = append(all, part...)
	}
	return all
})

// section is a part of config.yml.
type section struct {
	name, title string
}

func sections() []section {
	return []section{
		{"opencti", "The OpenCTI platform"},
		{"connector", "The connector, as the platform and the operator see it"},
		{"threatmatch", "ThreatMatch: what is imported, and how"},
		{"mq", "RabbitMQ: what replaces the values that the platform gives at registration"},
		{"spool", "The spool: the store on disk between the stages"},
		{"bundle", "Bundles: when one is closed, by whichever comes first"},
		{"admin", "Commands to a running connector"},
		{"", "Proxies and certificates, for all HTTP connections"},
	}
}

// sectionOf returns the section of a key, "" if it is outside of them.
func sectionOf(key string) string {
	name, _, found := strings.Cut(key, ".")
	if !found {
		return ""
	}
	return name
}
