package config

import (
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
)

func durationKind() kind[time.Duration] {
	return patternFold("duration", periodAllowed, periodPattern,
		func(text string) (time.Duration, error) {
			p, err := parsePeriod(text)
			return p.Approx(), err
		}, durationText)
}

// patternFold returns a kind whose values are whatever read accepts, in any case. Only the schema uses the pattern: the
// canonical form of such values.
func patternFold[T any](name, allowed, pattern string, read func(string) (T, error), format func(T) string) kind[T] {
	return kind[T]{
		name: name, allowed: allowed, parse: read, format: format,
		schema: schemaType{Type: "string", Pattern: `^(?:` + pattern + `)$`},
	}
}

// sizeKind takes sizes from least bytes on, and zero if that means something.
func sizeKind(least int64, zero bool) kind[int64] {
	allowed := "a size of at least " + sizeText(least) + " such as 64MiB, 4GiB or 500MB"
	if zero {
		allowed += ", or 0"
	}
	return patterned("size", allowed, sizePattern(least, zero), func(text string) *refusal {
		switch n, err := parseSize(text); {
		case err != nil:
			return err
		case n < least:
			return &refusal{message: "too small"}
		}
		return &refusal{message: "zeros before the number", nearest: strings.TrimLeft(text, "0")}
	}, func(text string) (int64, error) {
		n, _ := parseSize(text) // it matches
		return n, nil
	}, sizeText)
}

// logLevelKind takes a slog.Level by the names in the documentation.
func logLevelKind() kind[slog.Level] {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "warning": slog.LevelWarn, "error": slog.LevelError,
	}
	words := wordKind("debug", "info", "warn", "warning", "error")
	return kind[slog.Level]{
		name: words.name, allowed: words.allowed, schema: words.schema,
		parse: func(text string) (slog.Level, error) {
			word, err := words.parse(text)
			return levels[word], err
		},
		format: func(l slog.Level) string { return strings.ToLower(l.String()) },
	}
}

// uuidKind takes version 4 UUIDs.
func uuidKind() kind[string] {
	return patterned("uuid", "a UUID of version 4, such as one that cat /proc/sys/kernel/random/uuid prints", uuidPattern, func(text string) *refusal {
		switch {
		case isChangeMe(text):
			return &refusal{message: changeMe}
		case strings.Contains(text, "_"):
			return &refusal{message: "has an underscore, which OpenCTI uses to cut queue names apart"}
		}
		return &refusal{message: "not a UUID of version 4"}
	}, asIs, same)
}

const uuidPattern = `[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-4[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}`

const changeMe = "still the sample's ChangeMe"

func isChangeMe(text string) bool { return strings.EqualFold(trim(text), "changeme") }

// notChangeMe matches every text of one line, without blanks around it, except that word in any case. Without
// look-ahead it has to spell out where a text departs from the word.
var notChangeMe = func() string {
	const tail = `(?:` + inLine + `*` + inWord + `)`
	rest, end := tail, "" // what must follow the whole word; a part of it may be the end
	for _, c := range slices.Backward([]byte("hangeme")) {
		letter := string(c) + strings.ToUpper(string(c))
		rest = `(?:[^\x00-\x20\x7F` + letter + `]|[^\x00-\x1F\x7F` + letter + `]` + tail + `|[` + letter + `]` + rest + end + `)`
		end = "?"
	}
	return `[^\x00-\x20\x7FcC]` + tail + `?|[cC]` + rest + `?`
}()

// requiredText takes any text of one line except ChangeMe.
func requiredText() kind[string] {
	return patterned("text", "text of one line", notChangeMe, func(text string) *refusal {
		if isChangeMe(text) {
			return &refusal{message: changeMe}
		}
		return &refusal{message: "more than one line, or control characters in it"}
	}, asIs, same)
}

// secretKind takes any text of one line; if required, not ChangeMe.
func secretKind(required bool) kind[Secret] {
	inner := textKind()
	if required {
		inner = requiredText()
	}
	inner.schema.Format = "password"
	return kind[Secret]{
		name: "secret", allowed: inner.allowed, format: Secret.String,
		parse: func(text string) (Secret, error) {
			v, err := inner.parse(text)
			return NewSecret(v), err
		},
		schema: inner.schema,
	}
}

// pemKind takes PEM text or the path of a file, which is read later.
func pemKind() kind[PEM] {
	return kind[PEM]{
		name: "PEM or path", allowed: "PEM text, or the path of a file that holds it", parse: parsePEM, format: PEM.String,
		schema: schemaType{Type: "string"},
	}
}

// verify is the value of ssl_verify: a yes or no, or the path of certificates to trust.
type verify struct {
	on bool
	ca PEM
}

func verifyKind() kind[verify] {
	return kind[verify]{
		name: "boolean or path", allowed: "true, false, or the path of a file with certificates",
		parse: func(text string) (verify, error) {
			if on, ok := boolWord(text); ok {
				return verify{on: on}, nil
			}
			ca, err := parsePEM(text)
			return verify{on: true, ca: ca}, err
		},
		format: func(v verify) string {
			if v.ca.IsSet() {
				return v.ca.String()
			}
			return strconv.FormatBool(v.on)
		},
		schema: schemaType{Type: "string"},
	}
}

const (
	headerName    = `[!#$%&'*+.^_\x60|~0-9A-Za-z-]+`
	headerPattern = `[ \t]*` + headerName + `[ \t]*:[^;\x00-\x08\x0A-\x1F\x7F]*`
)

// headersKind takes headers as pycti does: name:value pairs separated by semicolons.
func headersKind() kind[[]Header] {
	pattern := headerPattern + `(?:;` + headerPattern + `)*;?`
	read := func(text string) ([]Header, error) {
		var list []Header
		for pair := range strings.SplitSeq(strings.TrimSuffix(text, ";"), ";") {
			name, value, _ := strings.Cut(pair, ":")
			list = append(list, Header{Name: trim(name), Value: NewSecret(trim(value))})
		}
		return list, nil
	}
	why := because("not name:value pairs with semicolons between them")
	k := patterned("headers", `name:value, several with semicolons between them`, pattern, why, read, func(list []Header) string {
		var pairs []string
		for _, h := range list {
			pairs = append(pairs, h.Name+":"+h.Value.String())
		}
		return strings.Join(pairs, ";")
	})
	k.items = func(items []string) ([]Header, error) { return k.parse(strings.Join(items, ";")) }
	k.schema.Format = "password"
	return k
}
