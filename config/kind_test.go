package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSizes(t *testing.T) {
	k := sizeKind(1<<20, true)
	for text, want := range map[string]int64{
		"4GiB": 4 << 30, "4gib": 4 << 30, "4 GiB": 4 << 30, "4Gi": 4 << 30, "64MiB": 64 << 20, "500MB": 500_000_000,
		"1048576": 1 << 20, "1048576B": 1 << 20, "0": 0, "0MiB": 0, "1024KiB": 1 << 20, "2TB": 2e12,
	} {
		got, err := k.parse(text)
		if err != nil || got != want {
			t.Errorf("%q = %d, %v; want %d", text, got, err, want)
			continue
		}
		if again, err := k.parse(k.format(got)); err != nil || again != got {
			t.Errorf("%q prints as %q, which reads as %d, %v", text, k.format(got), again, err)
		}
	}
	for text, message := range map[string]string{
		"4G": "different things", "": "not a size", "4 XB": "unknown unit", "1KiB": "too small", "1048575": "too small",
		"1.5GiB": "a whole number of its unit", "-1": "cannot be negative", "-4 GiB": "cannot be negative", "big": "not a size", "9999999GiB": "too many digits", "99999999999999999999": "too large",
		"007MiB": "zeros before the number",
	} {
		if _, err := k.parse(text); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%q: %v, want %q", text, err, message)
		}
	}
}

func TestSizePrintsAsWhatReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 1e15-1).Draw(t, "n")
		if got, err := parseSize(sizeText(n)); err != nil || got != n {
			t.Fatalf("%d prints as %s, which reads as %d, %v", n, sizeText(n), got, err)
		}
	})
}

func TestAtLeastMatchesJustTheNumbersFromThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.Int64Range(1, 99_999).Draw(t, "least")
		n := rapid.Int64Range(0, 999_999).Draw(t, "n")
		shape := regexp.MustCompile(`^` + atLeast(least, 6) + `$`)
		if got := shape.MatchString(strconv.FormatInt(n, 10)); got != (n >= least) {
			t.Fatalf("at least %d matches %d: %v (%s)", least, n, got, shape)
		}
	})
}

func TestNotChangeMe(t *testing.T) {
	shape := regexp.MustCompile(`^(?:` + notChangeMe + `)$`)
	free := textKind().schema.Pattern
	text := regexp.MustCompile(free)
	check := func(s string) error {
		if got, want := shape.MatchString(s), text.MatchString(s) && !strings.EqualFold(s, "changeme"); got != want {
			return fmt.Errorf("%q matches: %v", s, got)
		}
		return nil
	}
	for _, s := range []string{"ChangeMe", "changeme", "CHANGEME", "changem", "changemee", "c", "ch", "x", "", " ", "changeme x", "changeme ", "change me", "cx", "c x", "hangeme", "changeMe!", "ce", "changee"} {
		if err := check(s); err != nil {
			t.Error(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		if err := check(rapid.StringMatching(`[cC ]?[hH]?[aA]?[nN]?[gGx ]?[eE]?[mM]?[eE]?[ xe]{0,2}`).Draw(t, "text")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBooleans(t *testing.T) {
	// What pycti reads as a word, and what it leaves as text that then counts as yes.
	for text, want := range map[string]bool{
		"true": true, "True": true, "yes": true, "TRUE": true, "on": true, "1": true, "Y": true,
		"false": false, "False": false, "no": false, "FALSE": false, "off": false, "0": false, "N": false,
	} {
		if got, err := parseBool(text); err != nil || got != want {
			t.Errorf("%q = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "ture", "2", "enabled", "yes please"} {
		if _, err := parseBool(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func TestAddresses(t *testing.T) {
	k := urlKind("/graphql")
	for text, want := range map[string]string{
		"http://opencti:8080":                "http://opencti:8080",
		"https://opencti.example.com/":       "https://opencti.example.com",
		"https://opencti.example.com/base//": "https://opencti.example.com/base",
		"http://opencti:8080/graphql":        "http://opencti:8080",
		"http://my_service:8080/graphql/":    "http://my_service:8080",
		"http://[::1]:8080":                  "http://[::1]:8080",
		"HTTP://LOCALHOST":                   "HTTP://LOCALHOST",
		"https://example.com/a%20b/~c":       "https://example.com/a%20b/~c",
	} {
		if got, err := k.parse(text); err != nil || got != want {
			t.Errorf("%q = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"opencti:8080", "ftp://x", "http://", "http://user:pass@host", "http://host?x=1", "http://host#x", "http://host:99999", "http://ho st", "http://host/%zz", "ChangeMe", "http://host:0"} {
		if got, err := k.parse(text); err == nil {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"clear", "white", "green", "amber", "amber+strict", "red"}
	for text, want := range map[string]string{
		"ambre": "amber", "AMBR": "amber", "rde": "red", "amber-strict": "amber+strict", "purple": "", "x": "", "whit": "white",
	} {
		if got := nearest(text, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", text, got, want)
		}
	}
	if d := distance("client_secert", "client_secret", 9); d != 1 {
		t.Errorf("a swap counts as %d, want 1", d)
	}
}

// A number that is refused is not called none.
func TestRefusalsNameTheFault(t *testing.T) {
	whole, rate, address := intKind(0, 100), rateKind(50), urlKind("")
	parse := map[string]func(string) error{
		"integer": func(s string) error { _, err := whole.parse(s); return err },
		"rate":    func(s string) error { _, err := rate.parse(s); return err },
		"url":     func(s string) error { _, err := address.parse(s); return err },
		"period":  func(s string) error { _, err := parsePeriod(s); return err },
	}
	for _, c := range []struct{ kind, text, want string }{
		{"integer", "-1", "out of range"}, {"integer", "99999999999999999999", "out of range"}, {"integer", "1e9999999", "out of range"},
		{"integer", "1.5", "not a whole number"}, {"integer", "many", "not a whole number"}, {"integer", "NaN", "not a whole number"},
		{"integer", "+5", "not written in plain digits"}, {"integer", "1e1", "not written in plain digits"}, {"integer", "5.0", "not written in plain digits"},
		{"rate", "-1", "out of range"}, {"rate", "0", "out of range"}, {"rate", "10000000000", "out of range"}, {"rate", "-.5", "out of range"}, {"rate", "inf", "out of range"},
		{"rate", "1e1", "not written in plain digits"}, {"rate", ".5", "not written in plain digits"}, {"rate", "5.", "not written in plain digits"},
		{"rate", "0x10", "not written in plain digits"}, {"rate", "1/s", "not a number"}, {"rate", "fast", "not a number"},
		{"url", "https://host:70000", "the port is out of range"}, {"url", "https://", "no host in it"}, {"url", "https:///path", "no host in it"},
		{"period", "P-1D", "a duration cannot be negative"}, {"period", "-1", "a duration cannot be negative"},
	} {
		if err := parse[c.kind](c.text); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q", c.kind, c.text, err, c.want)
		}
	}
}
