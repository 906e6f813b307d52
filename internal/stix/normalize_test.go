package stix

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNormalize(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{` { "a" : [ 1 , -0.5e+3 , true , false , null , { } , [ ] ] } `, `{"a":[1,-0.5e+3,true,false,null,{},[]]}`},
		{`"\u00e9\/\u003c\"\\\b\f\n\r\t\u0001\u001F\u0022\u005c"`, `"é/<\"\\\b\f\n\r\t\u0001\u001f\"\\"`},
		{`"\ud83d\ude00"`, `"😀"`},
		{`"\ud83d"`, `"�"`},
		{`"\ude00\ud83d\u0041"`, `"��A"`},
		{`"\ud83d\ud83d\ude00"`, `"�😀"`},
		{"\"a\xffb\"", `"a�b"`},
		{"\xef\xbb\xbf{}", `{}`},
		{"\"\u2028\x7f\"", "\"\u2028\x7f\""},
		{`[1e999,-1E+400,1e-999]`, `[null,null,1e-999]`},
		{`0`, `0`}, {`-0`, `-0`}, {`1E5`, `1E5`}, {`123456789012345678901234567890`, `123456789012345678901234567890`},
	} {
		got, err := Normalize(nil, []byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.in, got, err, c.want)
		}
		if again, err := Normalize(nil, got); err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s: the second time %s, %v", c.in, again, err)
		}
	}
	for _, in := range []string{``, ` `, `{`, `[1,]`, `[1 2]`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1,}`, `01`, `-`, `1.`, `1e`, `+1`,
		`.5`, `NaN`, `Infinity`, `tru`, `nul`, `"`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", `{} {}`, `]`, `'a'`, `// c`} {
		if got, err := Normalize(nil, []byte(in)); !errors.Is(err, ErrSyntax) || got != nil {
			t.Errorf("%q: %s, %v", in, got, err)
		}
	}
	if _, err := Normalize(nil, []byte(strings.Repeat("[", maxDepth+2)+strings.Repeat("]", maxDepth+2))); !errors.Is(err, ErrTooDeep) {
		t.Errorf("too deep: %v", err)
	}
	if _, err := Normalize(nil, []byte(strings.Repeat("[", maxDepth)+strings.Repeat("]", maxDepth))); err != nil {
		t.Errorf("just deep enough: %v", err)
	}
	if _, err := Normalize(nil, bytes.Repeat([]byte(`{"a":`), 1_000_000)); !errors.Is(err, ErrTooDeep) {
		t.Errorf("a million levels: %v", err)
	}
}

// FuzzNormalize compares Normalize with encoding/json: the same texts are JSON, and they mean the same.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,"\u00e9\ud83d\ude00\/",null,true]}`, `"\ud800"`, "\"\xff\"", `[[[]]]`, ` 1 `, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Normalize(nil, raw)
		if errors.Is(err, ErrTooDeep) {
			return
		}
		trimmed := bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
		if valid := json.Valid(trimmed); valid != (err == nil) {
			t.Fatalf("valid %v, but %v", valid, err)
		}
		if err != nil {
			return
		}
		if !utf8.Valid(got) || bytes.Contains(got, []byte(`\u00e`)) {
			t.Fatalf("not normal: %q", got)
		}
		var a, b any
		if json.Unmarshal(got, &b) != nil {
			t.Fatalf("not JSON: %q", got)
		}
		if json.Unmarshal(trimmed, &a) == nil && utf8.Valid(trimmed) && !reflect.DeepEqual(a, b) {
			t.Fatalf("%q means %v, not %v", got, b, a)
		}
		if again, err := Normalize(nil, got); err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q becomes %q, %v", got, again, err)
		}
	})
}
