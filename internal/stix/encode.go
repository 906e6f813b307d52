package stix

import (
	"encoding/json"
	"strconv"
	"strings"
)

// encode writes a value of Go as JSON text in normal form.
func encode(v any) (json.RawMessage, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return appendString(make([]byte, 0, len(v)+2), v), nil
	case bool:
		return strconv.AppendBool(nil, v), nil
	case int:
		return strconv.AppendInt(nil, int64(v), 10), nil
	case []string:
		return stringList(v), nil
	case json.RawMessage:
		return Normalize(make([]byte, 0, len(v)), v)
	case []json.RawMessage:
		return Normalize(nil, listOf(v))
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return Normalize(nil, []byte(b.String()))
}

// stringList writes a list of strings.
func stringList(list []string) json.RawMessage {
	dst := []byte{'['}
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}
