package config

import (
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kind is how values of type T are parsed, formatted and described.
type kind[T any] struct {
	name    string                       // in the tables, for example "duration"
	allowed string                       // completes "allowed: "
	parse   func(text string) (T, error) // text is trimmed and not empty; errors are *refusal
	format  func(T) string               // what parse reads back
	items   func([]string) (T, error)    // reads a YAML list; nil if the kind takes none
	schema  schemaType                   // what the JSON schema says about the canonical form
}

// schemaType is the part of a schema property that depends on the kind. The platform wants it flat: no anyOf, no
// $ref.
type schemaType struct {
	Type             string      `json:"type"`
	Format           string      `json:"format,omitempty"`
	Enum             []any       `json:"enum,omitempty"`
	Pattern          string      `json:"pattern,omitempty"`
	Minimum          *int        `json:"minimum,omitempty"`
	Maximum          *int        `json:"maximum,omitempty"`
	ExclusiveMinimum *int        `json:"exclusiveMinimum,omitempty"`
	Items            *schemaType `json:"items,omitempty"`
	MinItems         int         `json:"minItems,omitempty"`
}

// patterned returns a kind whose values match pattern. read converts them; why says what is wrong with a text that does
// not match.
func patterned[T any](name, allowed, pattern string, why func(string) *refusal, read func(string) (T, error), format func(T) string) kind[T] {
	pattern = `^(?:` + pattern + `)$`
	shape := regexp.MustCompile(pattern)
	return kind[T]{
		name: name, allowed: allowed, format: format,
		parse: func(text string) (T, error) {
			if !shape.MatchString(text) {
				var none T
				return none, why(text)
			}
			return read(text)
		},
		schema: schemaType{Type: "string", Pattern: pattern},
	}
}

// because returns a reason that is the same for every text.
func because(message string) func(string) *refusal {
	return func(string) *refusal { return &refusal{message: message} }
}

func same(text string) string { return text }

func asIs(text string) (string, error) { return text, nil }

// A character inside a line, and one at its ends.
const (
	inLine = `[^\x00-\x1F\x7F]`
	inWord = `[^\x00-\x20\x7F]`
)

// textKind takes any text of one line.
func textKind() kind[string] {
	return patternText("text", "text of one line", inWord+`(?:`+inLine+`*`+inWord+`)?`)
}

// patternText takes the texts that match pattern.
func patternText(name, allowed, pattern string) kind[string] {
	return patterned(name, allowed, pattern, because("not of the form that is allowed"), asIs, same)
}

// wordKind takes one of words, in any case.
func wordKind(words ...string) kind[string] {
	enum := make([]any, len(words))
	for i, w := range words {
		enum[i] = w
	}
	return kind[string]{
		name: "word", allowed: strings.Join(words, ", "), format: same,
		parse: func(text string) (string, error) {
			lower := strings.ToLower(text)
			for _, w := range words {
				if lower == strings.ToLower(w) {
					return w, nil
				}
			}
			last := text[strings.LastIndexByte(text, ':')+1:] // of TLP:AMBER
			return "", &refusal{message: "not one of the words that are allowed", nearest: nearest(last, words)}
		},
		schema: schemaType{Type: "string", Enum: enum},
	}
}

// boolWord returns what a word for yes or no means: it knows those of pycti, of pydantic and of YAML, in any case.
func boolWord(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1", "t", "y":
		return true, true
	case "false", "no", "off", "0", "f", "n":
		return false, true
	}
	return false, false
}

func parseBool(text string) (bool, error) {
	v, ok := boolWord(text)
	if !ok {
		return false, &refusal{message: "neither yes nor no", nearest: nearest(text, []string{"true", "false"})}
	}
	return v, nil
}

func boolKind() kind[bool] {
	return kind[bool]{
		name: "boolean", allowed: "true, false, yes, no, on, off, 1, 0", parse: parseBool, format: strconv.FormatBool,
		schema: schemaType{Type: "boolean"},
	}
}

// onlyFalse takes only no; yes is understood, and refused for the given reason.
func onlyFalse(why string) kind[bool] {
	k := boolKind()
	k.allowed = "false"
	k.parse = func(text string) (bool, error) {
		v, err := parseBool(text)
		if err == nil && v {
			err = &refusal{message: why}
		}
		return false, err
	}
	k.schema.Enum = []any{false}
	return k
}

// maybe is k for a setting that may be missing; nil if it is.
func maybe[T any](k kind[T]) kind[*T] {
	return kind[*T]{
		name: k.name, allowed: k.allowed, schema: k.schema,
		parse: func(text string) (*T, error) {
			v, err := k.parse(text)
			return &v, err
		},
		format: func(v *T) string {
			if v == nil {
				return ""
			}
			return k.format(*v)
		},
	}
}

// intKind takes whole numbers from least to most.
func intKind(least, most int) kind[int] {
	allowed := "a whole number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most)
	shape := regexp.MustCompile(`^[0-9]{1,12}$`)
	return kind[int]{
		name: "integer", allowed: allowed,
		format: func(n int) string {
			if n == 0 && least > 0 {
				return "" // not given
			}
			return strconv.Itoa(n)
		},
		parse: func(text string) (int, error) {
			if !shape.MatchString(text) {
				return 0, numberRefusal(text, "not a whole number", shape, func(v float64) bool { return v >= float64(least) && v <= float64(most) })
			}
			n, err := strconv.Atoi(text)
			if err != nil || n < least || n > most {
				return 0, &refusal{message: "out of range"}
			}
			return n, nil
		},
		schema: schemaType{Type: "integer", Minimum: &least, Maximum: &most},
	}
}

// numberRefusal says what is wrong with a text that shape does not match: it may be a number all the same.
func numberRefusal(text, none string, shape *regexp.Regexp, within func(float64) bool) *refusal {
	n, _, err := big.ParseFloat(text, 0, 64, big.ToNearestEven)
	if err != nil {
		return &refusal{message: none}
	}
	v, _ := n.Float64()
	plain := strconv.FormatFloat(v, 'f', -1, 64)
	switch {
	case !within(v):
		return &refusal{message: "out of range"}
	case !shape.MatchString(plain):
		return &refusal{message: none}
	}
	return &refusal{message: "not written in plain digits", nearest: plain}
}

// rateKind takes numbers above zero and up to most.
func rateKind(most int) kind[float64] {
	zero := 0
	shape := regexp.MustCompile(`^[0-9]{1,9}(?:\.[0-9]{1,20})?$`)
	return kind[float64]{
		name: "number", allowed: "a number above 0, at most " + strconv.Itoa(most),
		format: func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) },
		parse: func(text string) (float64, error) {
			if !shape.MatchString(text) {
				return 0, numberRefusal(text, "not a number", shape, func(v float64) bool { return v > 0 && v <= float64(most) })
			}
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || v <= 0 || v > float64(most) {
				return 0, &refusal{message: "out of range"}
			}
			return v, nil
		},
		schema: schemaType{Type: "number", ExclusiveMinimum: &zero, Maximum: &most},
	}
}

// listKind takes comma-separated items, or a YAML list, that match pattern.
func listKind(allowed, pattern string) kind[[]string] {
	pattern = `^(?:` + pattern + `)$`
	shape := regexp.MustCompile(pattern)
	read := func(items []string) ([]string, error) {
		var list []string
		for _, item := range items {
			item = trim(item)
			if item == "" || slices.Contains(list, item) {
				continue
			}
			if !shape.MatchString(item) {
				return nil, &refusal{message: "the item " + strconv.Quote(item) + " is not of the form that is allowed"}
			}
			list = append(list, item)
		}
		if len(list) == 0 {
			return nil, &refusal{message: "an empty list"}
		}
		return list, nil
	}
	return kind[[]string]{
		name: "list", allowed: allowed, items: read,
		parse:  func(text string) ([]string, error) { return read(strings.Split(text, ",")) },
		format: func(list []string) string { return strings.Join(list, ",") },
		schema: schemaType{Type: "array", MinItems: 1, Items: &schemaType{Type: "string", Pattern: pattern}},
	}
}

// blanks are ignored around a value.
const blanks = " \t\r\n"

func trim(text string) string { return strings.Trim(text, blanks) }
