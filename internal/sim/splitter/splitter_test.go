package splitter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestVectors are those that the client's own splitter was run on.
func TestVectors(t *testing.T) {
	const (
		identity   = `{"type":"identity","id":"identity--1"}`
		marking    = `{"type":"marking-definition","id":"marking-definition--1"}`
		malware    = `{"type":"malware","id":"malware--1","created_by_ref":"identity--1"}`
		indicator  = `{"type":"indicator","id":"indicator--1","created_by_ref":"identity--1","object_marking_refs":["marking-definition--1"]}`
		relation   = `{"type":"relationship","id":"relationship--1","created_by_ref":"identity--1","object_marking_refs":["marking-definition--1"],"source_ref":"indicator--1","target_ref":"malware--1"}`
		report     = `{"type":"report","id":"report--1","created_by_ref":"identity--1","object_marking_refs":["marking-definition--1"],"object_refs":["indicator--1","malware--1","relationship--1","indicator--1"]}`
		incomplete = `{"type":"sighting","id":"sighting--1","sighting_of_ref":"indicator--1"}`
	)
	for name, tt := range map[string]struct {
		in   []string
		want string // weight, id and what differs
	}{
		"typical":           {[]string{report, relation, indicator, malware, identity, marking}, "1 identity--1, 1 marking-definition--1, 2 malware--1, 3 indicator--1, 8 relationship--1, 19 report--1"},
		"markings first":    {[]string{marking, report, relation, indicator, malware, identity}, "1 marking-definition--1, 1 identity--1, 2 malware--1, 3 indicator--1, 8 relationship--1, 19 report--1"},
		"missing":           {[]string{report}, "1 report--1"},
		"target elsewhere":  {[]string{relation, indicator, identity, marking}, "1 identity--1, 1 marking-definition--1, 3 indicator--1, 6 relationship--1"},
		"unknown type":      {[]string{`{"type":"x-foo","id":"x-foo--1"}`, identity}, "1 identity--1"},
		"a sighting of no":  {[]string{incomplete, indicator}, "1 indicator--1"},
		"the last wins":     {[]string{identity, `{"type":"identity","id":"identity--1","created_by_ref":"identity--zz"}`}, "1 identity--1 created_by_ref=identity--zz"},
		"itself":            {[]string{`{"type":"identity","id":"identity--1","created_by_ref":"identity--1"}`}, "1 identity--1 created_by_ref=null"},
		"a cycle of two":    {[]string{`{"type":"report","id":"report--2","object_refs":["note--2"]}`, `{"type":"note","id":"note--2","object_refs":["report--2"]}`}, "1 note--2 object_refs=[], 2 report--2"},
		"a cycle of three":  {[]string{`{"type":"report","id":"report--A","object_refs":["note--B"]}`, `{"type":"note","id":"note--B","object_refs":["grouping--C"]}`, `{"type":"grouping","id":"grouping--C","object_refs":["report--A"]}`}, "2 grouping--C, 3 note--B, 4 report--A"},
		"by an internal id": {[]string{`{"type":"indicator","id":"indicator--2","created_by_ref":"IID"}`, `{"type":"identity","id":"identity--2","x_opencti_id":"IID"}`}, "1 identity--2, 1 identity--2, 2 indicator--2"},
		"external references": {[]string{`{"type":"tool","id":"tool--1","external_references":[{"source_name":"a","url":"http://x"},{"source_name":"b","url":"http://x"},{"source_name":"a"},{"source_name":"a","external_id":"1"}]}`},
			`1 tool--1 external_references=[{"source_name":"a","url":"http://x"},{"source_name":"a","external_id":"1"}]`},
	} {
		t.Run(name, func(t *testing.T) {
			parts, err := Split(fmt.Appendf(nil, `{"type":"bundle","id":"bundle--1","objects":[%s]}`, strings.Join(tt.in, ",")))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, part := range parts {
				got = append(got, describe(t, part, tt.in))
			}
			if text := strings.Join(got, ", "); text != tt.want {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
		})
	}
}

// describe is a part's weight and id, with what differs from every object given in.
func describe(t *testing.T, part []byte, given []string) string {
	t.Helper()
	var b struct {
		ID      string
		Seq     int `json:"x_opencti_seq"`
		Objects []map[string]json.RawMessage
	}
	if err := json.Unmarshal(part, &b); err != nil || len(b.Objects) != 1 || b.ID != "bundle--1" {
		t.Fatalf("part %s: %v", part, err)
	}
	o := b.Objects[0]
	if string(o["nb_deps"]) != fmt.Sprint(b.Seq) {
		t.Errorf("nb_deps %s in a bundle of weight %d", o["nb_deps"], b.Seq)
	}
	text := fmt.Sprintf("%d %s", b.Seq, strings.Trim(string(o["id"]), `"`))
	for key, value := range o {
		same := false
		for _, g := range given {
			same = same || strings.Contains(g, fmt.Sprintf("%q:%s", key, value))
		}
		if key != "nb_deps" && (!same || strings.Contains(string(value), "--zz")) && !strings.Contains(string(o["id"]), "report--1") {
			text += fmt.Sprintf(" %s=%s", key, strings.Trim(string(value), `"`))
		}
	}
	return text
}

// TestBroken: what the client fails on as a whole.
func TestBroken(t *testing.T) {
	for _, bundle := range []string{
		`{`, `{"type":"bundle","objects":[]}`, `{"id":"bundle--1","objects":[7]}`, `{"id":"bundle--1","objects":[{"type":"identity"}]}`, `{"id":"bundle--1","objects":[{"id":"identity--1"}]}`,
		`{"id":"bundle--1","objects":[{"type":"relationship","id":"relationship--1","source_ref":"tool--1"}]}`,
	} {
		if parts, err := Split([]byte(bundle)); err == nil {
			t.Errorf("%s: got %d parts, want an error", bundle, len(parts))
		}
	}
}
