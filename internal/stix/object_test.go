package stix

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const malwareID = "malware--00000000-0000-4000-8000-000000000001"

// decode is Decode for text in any form.
func decode(raw []byte) (*Object, error) {
	normal, err := Normalize(nil, raw)
	if err != nil {
		return nil, err
	}
	return Decode(normal)
}

func parse(t testing.TB, text string) *Object {
	t.Helper()
	o, err := decode([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return o
}

// sample is an object with the given members after type and id.
func sample(t testing.TB, members string) *Object {
	t.Helper()
	return parse(t, `{"type":"malware","id":"`+malwareID+`"`+members+`}`)
}

func TestParse(t *testing.T) {
	o := sample(t, ` , "name" : "a\/b" , "z" : { "k" : [ 1 ] } , "name" : "<c>&" , "n": 1.0`)
	want := `{"type":"malware","id":"` + malwareID + `","name":"<c>&","z":{"k":[1]},"n":1.0}`
	if got := string(o.AppendJSON(nil)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if o.ID() != malwareID || o.Type() != "malware" || o.Len() != 5 ||
		!slices.Equal(o.Keys(), []string{"type", "id", "name", "z", "n"}) {
		t.Errorf("got id %s, type %s, %d properties %v; want those of the text", o.ID(), o.Type(), o.Len(), o.Keys())
	}
	for _, c := range []struct {
		in   string
		want error
	}{
		{`[]`, ErrNotObject}, {`null`, ErrNotObject}, {`"x"`, ErrNotObject}, {`7`, ErrNotObject}, {`{`, ErrSyntax},
		{`{}`, ErrNoType}, {`{"type":7,"id":"` + malwareID + `"}`, ErrNoType}, {`{"type":"Malware","id":"` + malwareID + `"}`, ErrNoType},
		{`{"type":"a b"}`, ErrNoType},
		{`{"type":"malware"}`, ErrNoID}, {`{"type":"malware","id":""}`, ErrNoID}, {`{"type":"malware","id":null}`, ErrNoID},
		{`{"type":"malware","id":"x"}`, ErrBadID}, {`{"type":"tool","id":"` + malwareID + `"}`, ErrBadID},
		{`{"type":"malware","id":"malware--00000000-0000-4000-8000-00000000000"}`, ErrBadID},
		{`{"type":"malware","id":"malware--00000000-0000-4000-8000-00000000000g"}`, ErrBadID},
		{`{"type":"malware","id":"malware--00000000_0000-4000-8000-000000000000"}`, ErrBadID},
		{`{"type":"malware","id":"malware-00000000-0000-4000-8000-000000000000"}`, ErrBadID},
	} {
		if o, err := decode([]byte(c.in)); !errors.Is(err, c.want) || o != nil {
			t.Errorf("%s: got %v, want %v", c.in, err, c.want)
		}
	}
}

func TestGetAndSet(t *testing.T) {
	o := sample(t, `,"s":"x\ny","n":7,"b":true,"l":["a",1,"b"],"e":[],"o":{"k":1}`)
	if o.String("s") != "x\ny" || o.String("n") != "" || o.String("absent") != "" {
		t.Errorf("strings: got %q, %q and %q, want only the first", o.String("s"), o.String("n"), o.String("absent"))
	}
	if !slices.Equal(o.Strings("l"), []string{"a", "b"}) || o.Strings("s") != nil || o.Strings("e") == nil {
		t.Errorf("lists: got %q, %q and %q, want two strings, nil and an empty one", o.Strings("l"), o.Strings("s"), o.Strings("e"))
	}
	if raw, ok := o.Get("o"); string(raw) != `{"k":1}` || !ok {
		t.Errorf("got %s, %v, want the JSON text", raw, ok)
	}
	if _, ok := o.Get("absent"); ok || o.Has("absent") {
		t.Error("got a property that is absent")
	}
	c := o.Clone()
	c.Set("s", "<&>\u2028\"")
	c.Set("new", []string{"a", "b"})
	c.Set("map", map[string]any{"x": 1.5, "html": "<b>"})
	c.Set("l", []string{})
	c.Set("n", nil)
	c.Set("bad", func() {})
	c.Set("num", 42)
	c.Set("flag", false)
	if !c.Delete("b") || c.Delete("b") {
		t.Error("Delete does not report whether the property was there")
	}
	want := `{"type":"malware","id":"` + malwareID + `","s":"<&>` + "\u2028" + `\"","e":[],"o":{"k":1},"new":["a","b"],` +
		`"map":{"html":"<b>","x":1.5},"num":42,"flag":false}`
	if got := string(c.AppendJSON(nil)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if o.String("s") != "x\ny" || o.Len() != 8 {
		t.Error("the clone shares state")
	}
	if err := c.SetRaw("raw", json.RawMessage(` [ 1 , "\u0041" ] `)); err != nil {
		t.Error(err)
	}
	if raw, _ := c.Get("raw"); string(raw) != `[1,"A"]` {
		t.Errorf("got %s, want it in normal form", raw)
	}
	if c.SetRaw("raw", json.RawMessage(`[`)) == nil || !c.Has("raw") {
		t.Error("SetRaw accepted what is not JSON, or changed the object")
	}
	c.Set("id", "tool--00000000-0000-4000-8000-000000000001")
	c.Set("type", "tool")
	if c.ID() != "tool--00000000-0000-4000-8000-000000000001" || c.Type() != "tool" || o.Type() != "malware" {
		t.Errorf("got id %s and type %s, want the new ones", c.ID(), c.Type())
	}
	n := New("tool", c.ID())
	n.Copy(o, "s", "absent", "o")
	if got, err := json.Marshal(n); err != nil || string(got) !=
		`{"type":"tool","spec_version":"2.1","id":"`+c.ID()+`","s":"x\ny","o":{"k":1}}` {
		t.Errorf("copied: got %s, %v", got, err)
	}
}

func TestModified(t *testing.T) {
	at := time.Date(2024, 3, 1, 10, 0, 0, 123_000_000, time.UTC)
	for _, c := range []struct {
		members string
		want    time.Time
	}{
		{`,"modified":"2024-03-01T10:00:00.123Z","created":"2020-01-01T00:00:00Z"`, at},
		{`,"created":"2024-03-01T10:00:00.123Z"`, at},
		{`,"modified":"soon","created":"2024-03-01T12:00:00.123+02:00"`, at},
		{`,"created":"2024-03-01 10:00:00"`, at.Truncate(time.Second)},
		{`,"created":"2024-03-01 10:00"`, at.Truncate(time.Second)},
		{`,"created":"2024-03-01T10:00:00"`, at.Truncate(time.Second)},
		{`,"created":"2024-03-01"`, at.Truncate(24 * time.Hour)},
		{`,"created":"x"`, time.Time{}}, {`,"created":7`, time.Time{}}, {``, time.Time{}},
	} {
		if got := sample(t, c.members).Modified(); !got.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", c.members, got, c.want)
		}
	}
}

func TestClean(t *testing.T) {
	o := sample(t, `,"a":null,"b":[],"c":{},"d":[null,"x",[],1,{"k":null}],"e":{"f":[null],"g":"null []","h":null,"i":2},"h":"null","i":{"j":{"k":[]}},"l":0,"m":"","n":false`)
	n := o.Clean()
	want := `{"type":"malware","id":"` + malwareID + `","d":["x",1],"e":{"g":"null []","i":2},"h":"null","l":0,"m":"","n":false}`
	if got := string(o.AppendJSON(nil)); got != want || n == 0 {
		t.Errorf("removed %d values\ngot  %s\nwant %s", n, got, want)
	}
	if o.Clean() != 0 || string(o.AppendJSON(nil)) != want {
		t.Error("cleaning a clean object changed it")
	}
}

func TestHash(t *testing.T) {
	a := sample(t, `,"x":{"b":1,"a":[{"d":1,"c":2}]},"y":"é"`)
	b := parse(t, `{"y":"\u00e9","x":{"a":[{"c":2,"d":1}],"b":1},"id":"`+malwareID+`","type":"malware"}`)
	hash := a.Hash()
	if hash != b.Hash() {
		t.Error("objects that differ only in the order of keys have different hashes")
	}
	for _, other := range []string{`,"x":{"b":1,"a":[{"d":1,"c":3}]},"y":"é"`, `,"x":{"b":1,"a":[{"d":1,"c":2}]},"y":"e"`, ``,
		`,"x":{"b":1,"a":[{"d":1,"c":2}]},"y":"é","z":1`, `,"x":{"b":1,"a":[{"d":1,"c":2},{}]},"y":"é"`} {
		if sample(t, other).Hash() == a.Hash() {
			t.Errorf("%s has the same hash", other)
		}
	}
	// The spool stores hashes across versions: this one must not change.
	const want = "f0b571d9a57c799eea5f456ae1a6a1ac"
	if got := hex.EncodeToString(hash[:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDedupeReferences(t *testing.T) { // the splitter's vector V10
	o := sample(t, `,"external_references":[{"source_name":"a","url":"http://x"},{"source_name":"b","url":"http://x"},{"source_name":"a"},`+
		`{"source_name":"a","external_id":"1"},{"source_name":"a","external_id":"1","description":"d"}],`+
		`"kill_chain_phases":[{"kill_chain_name":"k","phase_name":"p"},{"phase_name":"p","kill_chain_name":"k"},{"phase_name":"q"}]`)
	if n := o.DedupeReferences(); n != 5 {
		t.Errorf("removed %d entries, want 5", n)
	}
	want := `{"type":"malware","id":"` + malwareID + `","external_references":[{"source_name":"a","url":"http://x"},` +
		`{"description":"d","external_id":"1","source_name":"a"}],"kill_chain_phases":[{"kill_chain_name":"k","phase_name":"p"}]}`
	if got := string(o.AppendJSON(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if o.DedupeReferences() != 0 {
		t.Error("entries were removed a second time")
	}
	o = sample(t, `,"external_references":[{"source_name":"capec","external_id":"CAPEC-98","url":"http://x"},`+
		`{"source_name":"mitre-attack","external_id":"T1566","url":"http://x","description":"d"},{"source_name":"x","external_id":"T1566","url":"http://x"},`+
		`{"source_name":"y","url":"http://x"},{"source_name":"cwe","external_id":"CWE-1","url":"http://x"}]`)
	if n := o.DedupeReferences(); n != 2 || o.DedupeReferences() != 0 {
		t.Errorf("of five references of one address removed %d, want 2 once", n)
	}
	want = `{"type":"malware","id":"` + malwareID + `","external_references":[{"description":"d","external_id":"T1566","source_name":"x","url":"http://x"},` +
		`{"external_id":"CAPEC-98","source_name":"capec"},{"external_id":"CWE-1","source_name":"cwe"}]}`
	if got := string(o.AppendJSON(nil)); got != want {
		t.Errorf("got %s", got)
	}
	o = sample(t, `,"external_references":[{"source_name":"a"}]`)
	if o.DedupeReferences() != 1 || o.Has("external_references") {
		t.Error("an empty list stays")
	}
}

func TestSupported(t *testing.T) {
	for _, typ := range []string{"malware", "report", "relationship", "sighting", "marking-definition", "ipv4-addr", "ai-prompt",
		"case-incident", "x-opencti-task", "label", "windows-registry-value-type", "x-mitre-data-source"} {
		if !Supported(typ) {
			t.Errorf("%s is not supported", typ)
		}
	}
	for _, typ := range []string{"bundle", "extension-definition", "language-content", "x-mitre-tactic", "x-mitre-matrix",
		"x-opencti-incident", "x-opencti-channel", "imei", "iccid", "imsi", "x-foo", "",
		"pir", "user", "settings", "deleteoperation", "trash", "playbook"} {
		if Supported(typ) {
			t.Errorf("%s is supported", typ)
		}
	}
	if len(supported) != 80 {
		t.Errorf("got %d types, want 80", len(supported))
	}
}

func TestTLP(t *testing.T) {
	for level, id := range map[string]string{
		"clear": "613f2e26-407d-48c7-9eca-b8e91df99dc9", "WHITE": "613f2e26-407d-48c7-9eca-b8e91df99dc9",
		"green": "34098fce-860f-48ae-8e50-ebd3cc5e41da", "TLP:AMBER": "f88d31f6-486f-44da-b317-01333bde0b82",
		"tlp: amber + strict": "826578e1-40ad-459f-bc73-ede076f81f37", "amber-strict": "826578e1-40ad-459f-bc73-ede076f81f37",
		"red": "5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
	} {
		if got, ok := FindTLP(level); !ok || got.ID != "marking-definition--"+id {
			t.Errorf("%s: got %v, want %s", level, got, id)
		}
	}
	if _, ok := FindTLP("purple"); ok {
		t.Error("found a level that does not exist")
	}
	for i, l := range tlps {
		o := l.Object()
		if o.ID() != l.ID || !StandardTLP(l.ID) || StandardTLP(l.oasis) || MarkingID("TLP", l.Name) != l.ID || l.Rank != i+1 {
			t.Errorf("%s: its object, id or rank is wrong", l.Name)
		}
		if got, ok := TLPByID(l.oasis); !ok || got.ID != l.ID {
			t.Errorf("%s by its OASIS id: got %v", l.Name, got)
		}
		if _, err := decode(o.AppendJSON(nil)); err != nil {
			t.Error(err)
		}
	}
	amber, strict := tlps[2].Object(), tlps[3].Object()
	if got := string(amber.AppendJSON(nil)); got != `{"type":"marking-definition","spec_version":"2.1","id":"marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",`+
		`"created":"2017-01-20T00:00:00.000Z","name":"TLP:AMBER","definition_type":"tlp","definition":{"tlp":"amber"}}` {
		t.Errorf("got %s for TLP:AMBER", got)
	}
	if strict.String("x_opencti_definition") != "TLP:AMBER+STRICT" || strict.String("x_opencti_definition_type") != "TLP" {
		t.Errorf("got %s for TLP:AMBER+STRICT", strict.AppendJSON(nil))
	}
}

func TestRefs(t *testing.T) {
	o := sample(t, `,"created_by_ref":"i","x_refs":["a",7,"b","a"],"y_ref":7,"z_refs":"no","n":{"deep_ref":"d"},"object_refs":["b"]`)
	want := []Ref{{"created_by_ref", "i", false}, {"x_refs", "a", true}, {"x_refs", "b", true}, {"x_refs", "a", true}, {"object_refs", "b", true}}
	if got := o.Refs(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if o.DropRef("x_refs", "absent") || o.DropRef("created_by_ref", "a") {
		t.Error("DropRef reports a reference that is absent")
	}
	if !o.DropRef("x_refs", "a") || !slices.Equal(o.Strings("x_refs"), []string{"b"}) {
		t.Errorf("got %v, want only b", o.Strings("x_refs"))
	}
	if !o.DropRef("object_refs", "b") || o.Has("object_refs") || !o.DropRef("created_by_ref", "i") || o.Has("created_by_ref") {
		t.Error("properties that became empty were kept")
	}
	o.Set("created_by_ref", "j")
	if !o.AddRef("object_refs", "k") || o.AddRef("object_refs", "k") || !o.AddRef("object_refs", "l") {
		t.Error("AddRef does not report whether it added the id")
	}
	renamed := map[string]string{"j": "J", "k": "l"}
	if n := o.ReplaceRefs(func(id string) string { return cmp.Or(renamed[id], id) }); n != 2 {
		t.Errorf("replaced %d references, want 2", n)
	}
	if o.String("created_by_ref") != "J" || !slices.Equal(o.Strings("object_refs"), []string{"l"}) {
		t.Errorf("got %s, want the new ids, each once", o.AppendJSON(nil))
	}
}

// FuzzDecode decodes text that may not be in normal form, as from a damaged store: no panic.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"type":"malware","id":"` + malwareID + `","a":[1,{"b":null}],"x_refs":["y"]}`, `{"a"`, `{"a":`, `{"a":[`, `{,}`, `{""`, `{1:2}`} {
		f.Add([]byte(s))
	}
	head := `{"type":"malware","id":"` + malwareID + `",`
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, text := range []string{string(raw), head + string(raw)} {
			o, err := Decode(json.RawMessage(text))
			if err != nil {
				continue
			}
			o.Hash()
			o.Modified()
			o.Refs()
			o.DedupeReferences()
			Order([]*Object{o})
			o.Clean()
			o.AppendJSON(nil)
		}
	})
}

// FuzzParse parses arbitrary text: no panic, and what is parsed round-trips.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"type":"malware","id":"` + malwareID + `","a":[null,{"b":[]}],"object_refs":["x",1],"created_by_ref":null,"\u0061":"\ud800"}`))
	f.Add([]byte(`{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","external_references":[{"url":1}],"modified":"2024-01-01"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := decode(raw)
		if err != nil {
			return
		}
		text := o.AppendJSON(nil)
		again, err := decode(text)
		if err != nil || string(again.AppendJSON(nil)) != string(text) || again.Hash() != o.Hash() || again.ID() != o.ID() {
			t.Fatalf("%v: %s does not come back", err, text)
		}
		c := o.Clone()
		c.Clean()
		c.DedupeReferences()
		c.ReplaceRefs(func(id string) string { return id })
		for _, r := range c.Refs() {
			if !c.DropRef(r.Key, r.ID) && c.Has(r.Key) && slices.Contains(c.Strings(r.Key), r.ID) {
				t.Fatalf("%v stays in %s", r, c.AppendJSON(nil))
			}
		}
		if string(o.AppendJSON(nil)) != string(text) {
			t.Fatal("the clone shares state")
		}
		if !json.Valid(c.AppendJSON(nil)) {
			t.Fatalf("got %s, want valid JSON", c.AppendJSON(nil))
		}
		Order([]*Object{c, o})
	})
}

// TestManyProperties: repeated keys follow the same rules in objects with more properties than are searched one by
// one.
func TestManyProperties(t *testing.T) {
	var in, want strings.Builder
	in.WriteString(`{"type":"tool","id":"tool--00000000-0000-4000-8000-000000000000"`)
	for round := range 2 {
		for i := range 3 * manyFields {
			fmt.Fprintf(&in, `,"x_%d":%d`, i, round)
		}
	}
	want.WriteString(`{"type":"tool","id":"tool--00000000-0000-4000-8000-000000000000"`)
	for i := range 3 * manyFields {
		fmt.Fprintf(&want, `,"x_%d":1`, i)
	}
	o, err := decode([]byte(in.String() + "}"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(o.AppendJSON(nil)); got != want.String()+"}" {
		t.Errorf("got %s, want %s", got, want.String())
	}
}

// BenchmarkDecode measures time and memory by the number of properties.
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{20, 200, 2_000, 20_000, 200_000} {
		var s strings.Builder
		s.WriteString(`{"type":"tool","id":"tool--00000000-0000-4000-8000-000000000000"`)
		for i := range n {
			fmt.Fprintf(&s, `,"x_%d":1`, i)
		}
		raw := []byte(s.String() + "}")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestRepeatedCounts: what a repeated property said before counts as much as what it says last.
func TestRepeatedCounts(t *testing.T) {
	text, list := `"x_a":"`+strings.Repeat("a", MaxRest*2/3)+`"`, `"x_a":[`+strings.Repeat("1,", MaxEntries*2/3)+`1]`
	name := `"` + strings.Repeat("a", maxName+1) + `":1`
	for body, want := range map[string]error{
		text: nil, text + "," + text: ErrTooLarge, text + `,"x_a":1`: nil, list: nil, list + "," + list: ErrTooLong, list + `,"x_a":1`: nil,
		name + "," + name: ErrLongName,
	} {
		_, err := DecodeSource([]byte(`{"type":"tool","id":"tool--00000001-0000-4000-8000-000000000000",` + body + `}`))
		if err != want {
			t.Errorf("%.20s…, %d bytes: %v, want %v", body, len(body), err, want)
		}
	}
}
