package cli_test

import (
	"encoding/json"
	"testing"
)

// noteFields adds the names in a JSON answer, with their paths.
func noteFields(t *testing.T, words, text string, into map[string]bool) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("no JSON: %v\n%s", err, text)
		return
	}
	walkFields(words+": ", v, into)
}

func walkFields(at string, v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			walkFields(at+"."+name, inner, into)
		}
	case []any:
		for _, inner := range v {
			walkFields(at+"[]", inner, into)
		}
	default:
		into[at] = true
	}
}
