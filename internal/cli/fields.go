package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"threatmatch-connector/internal/inspect"
	"threatmatch-connector/spool"
)

// pair is one named value of an entry.
type pair struct{ name, value string }

// fieldsOf returns what is known about an entry, identical from the file or over
// the socket. Unset values are left out, and inside nested values zeroes too,
// because those have many.
func fieldsOf(e spool.Entry) []pair {
	raw, err := json.Marshal(e.Fields)
	if err != nil {
		return []pair{{"fields", fmt.Sprint(e.Fields)}}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber() // prints 2015264, not 2.015264e+06
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return []pair{{"fields", string(raw)}}
	}
	var all []pair
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = appendFields(all, name, m[name], false)
	}
	return all
}

func appendFields(all []pair, name string, v any, nested bool) []pair {
	text := ""
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for _, inner := range slices.Sorted(maps.Keys(v)) {
			all = appendFields(all, name+"."+inner, v[inner], true)
		}
		return all
	case string:
		if v != "0001-01-01T00:00:00Z" {
			text = second(v)
		}
	case json.Number:
		n, err := v.Int64()
		switch {
		case nested && err == nil && n == 0:
		case err == nil && (name == "size" || strings.HasPrefix(name, "bytes.")):
			text = inspect.Size(n)
		default:
			text = v.String()
		}
	case bool:
		if v || !nested {
			text = strconv.FormatBool(v)
		}
	case []any:
		if raw, err := json.Marshal(v); err == nil && len(v) > 0 {
			text = string(raw)
		}
	}
	if text == "" {
		return all
	}
	return append(all, pair{name, text})
}

// describe formats the fields of an entry on one line.
func describe(e spool.Entry) string {
	var parts []string
	for _, f := range fieldsOf(e) {
		value := strings.Join(strings.Fields(f.value), " ")
		if strings.Contains(value, " ") {
			value = strconv.Quote(value)
		}
		parts = append(parts, f.name+"="+value)
	}
	return strings.Join(parts, " ")
}

func printFields(w io.Writer, e spool.Entry) {
	for _, f := range fieldsOf(e) {
		say(w, "# %s: %s\n", f.name, f.value)
	}
}
