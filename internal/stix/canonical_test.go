package stix

import (
	"strings"
	"testing"
)

func TestCanonicalID(t *testing.T) {
	for id, want := range map[string]string{
		"tool--00000001-0000-4000-8000-00000000000a":   "tool--00000001-0000-4000-8000-00000000000a",
		" tool--00000001-0000-4000-8000-00000000000A ": "tool--00000001-0000-4000-8000-00000000000a",
		"Tool--0000000F-0000-8000-B000-000000000000":   "tool--0000000f-0000-8000-b000-000000000000",
		"tool--00000001-0000-9000-8000-000000000000":   "tool--deeb05f9-23eb-57a1-989f-5d2076d47883",
		"tool--00000001-0000-4000-7000-000000000000":   "",
		"tool--name":        "",
		"tool--Name":        "",
		"x-own--a b":        "",
		"tool--":            "no",
		"--x":               "no",
		"tool":              "no",
		"to ol--x":          "no",
		"":                  "no",
		"tool--tool--name ": "",
		"tool--x--00000001-0000-4000-8000-000000000000": "",
	} {
		got, ok := CanonicalID(id)
		if ok == (want == "no") {
			t.Errorf("%q: taken %v", id, ok)
			continue
		}
		if again, _ := CanonicalID(got); ok && again != got {
			t.Errorf("%q became %s and then %s", id, got, again)
		}
		typ, _, _ := strings.Cut(got, "--")
		if prefix, form := SplitID(got); ok && (!form || prefix == "" || prefix != typ) {
			t.Errorf("%q became %q, which is no id", id, got)
		}
		if want != "" && want != "no" && got != want {
			t.Errorf("%q became %s, want %s", id, got, want)
		}
	}
	a, _ := CanonicalID("tool--Name")
	b, _ := CanonicalID("tool--name")
	if a == b {
		t.Error("two names have one id")
	}
	c, _ := CanonicalID("tool--00000001-0000-9000-8000-00000000000A")
	d, _ := CanonicalID("tool--00000001-0000-9000-8000-00000000000a")
	if c != d {
		t.Error("upper and lower case of one id have two")
	}
}
