package stix

import (
	"encoding/json"
	"fmt"
	"testing"
)

// bundleOf makes n objects: an author, and reports that list the ten indicators before them.
func bundleOf(n int) []*Object {
	author := New("identity", "identity--00000000-0000-4000-8000-000000000000")
	objs := []*Object{author}
	var before []string
	for i := 1; i < n; i++ {
		typ := "indicator"
		if i%11 == 0 {
			typ = "report"
		}
		o := New(typ, fmt.Sprintf("%s--00000000-0000-4000-8000-%012d", typ, i))
		o.Set("created_by_ref", author.ID())
		o.Set("object_marking_refs", []string{tlps[2].ID})
		if typ == "report" {
			o.Set("object_refs", before)
			before = nil
		} else {
			before = append(before, o.ID())
		}
		objs = append(objs, o)
	}
	return objs
}

func BenchmarkOrder(b *testing.B) {
	objs := bundleOf(5000)
	b.ReportAllocs()
	for b.Loop() {
		if len(Order(objs)) != len(objs) {
			b.Fatal("lost some")
		}
	}
}

func BenchmarkHash(b *testing.B) {
	o := bundleOf(12)[11]
	b.ReportAllocs()
	for b.Loop() {
		o.Hash()
	}
}

// BenchmarkParse compares Parse with encoding/json on the same indicator: into a type that keeps values as they are
// (though not the order of keys) and into one that does not.
func BenchmarkParse(b *testing.B) {
	raw := []byte(`{"type":"indicator","spec_version":"2.1","id":"indicator--00000000-4f9c-4265-b1cf-f997a1bf7827",` +
		`"created":"2024-05-15T09:12:16.000Z","modified":"2024-05-15T09:12:16.000Z","name":"198.51.100.7",` +
		`"description":"<p>Seen in connection with the <b>distribution</b> of a remote access trojan &amp; more.<\/p>",` +
		`"indicator_types":["malicious-activity"],"pattern":"[ipv4-addr:value = '198.51.100.7']","pattern_type":"stix",` +
		`"valid_from":"2024-05-15T09:12:16.432Z","labels":["Malware","Technology "],"confidence":80,` +
		`"external_references":[{"source_name":"ThreatMatch","url":"https:\/\/eu.threatmatch.com\/app\/reports\/view\/1"}],` +
		`"object_marking_refs":["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"]}`)
	for name, parse := range map[string]func() error{
		"decode":     func() error { _, err := decode(raw); return err },
		"RawMessage": func() error { var m map[string]json.RawMessage; return json.Unmarshal(raw, &m) },
		"any":        func() error { var v any; return json.Unmarshal(raw, &v) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if err := parse(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
