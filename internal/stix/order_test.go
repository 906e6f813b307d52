package stix

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// long expands the short ids of the vectors to a UUID: "REP" stands for report--<uuid of REP>.
func long(short string) string {
	types := map[string]string{"I": "identity", "I2": "identity", "I3": "identity", "M": "marking-definition",
		"IND": "indicator", "MAL": "malware", "MAL2": "malware", "REL": "relationship", "REL2": "relationship",
		"REP": "report", "N": "note", "G": "grouping", "S": "sighting", "EA": "email-addr", "EB": "email-addr",
		"EM": "email-message", "IP": "ipv4-addr", "NT": "network-traffic", "MAC": "mac-addr"}
	return types[short] + "--" + uuid.NewSHA1(namespace, []byte(short)).String()
}

// object builds one from "ID key=REF key_refs=REF,REF".
func object(t *testing.T, spec string) *Object {
	t.Helper()
	parts := strings.Fields(spec)
	id := long(parts[0])
	typ, _ := SplitID(id)
	o := &Object{}
	o.Set("type", typ)
	o.Set("id", id)
	for _, p := range parts[1:] {
		key, value, _ := strings.Cut(p, "=")
		if strings.HasSuffix(key, "_refs") {
			var ids []string
			for _, v := range strings.Split(value, ",") {
				ids = append(ids, long(v))
			}
			o.Set(key, ids)
			continue
		}
		o.Set(key, long(value))
	}
	return o
}

// show writes ordered objects as "deps ID key=REF …", the form of the vectors.
func show(t *testing.T, ordered []Ordered, names []string) []string {
	t.Helper()
	short := map[string]string{}
	for _, n := range names {
		short[long(n)] = n
	}
	var lines []string
	for _, d := range ordered {
		line := fmt.Sprintf("%d %s", d.Deps, short[d.Object.ID()])
		for _, k := range d.Object.Keys() {
			var v string
			switch {
			case strings.HasSuffix(k, "_refs"):
				var list []string
				for _, id := range d.Object.Strings(k) {
					list = append(list, short[id])
				}
				v = strings.Join(list, ",")
			case strings.HasSuffix(k, "_ref"):
				v = short[d.Object.String(k)]
			default:
				continue
			}
			line += " " + k + "=" + v
		}
		if d.Cyclic {
			line += " cyclic"
		}
		lines = append(lines, line)
	}
	return lines
}

const (
	rel = "REL created_by_ref=I object_marking_refs=M source_ref=IND target_ref=MAL"
	ind = "IND created_by_ref=I object_marking_refs=M"
	mal = "MAL created_by_ref=I"
	rep = "REP created_by_ref=I object_marking_refs=M object_refs=IND,MAL,REL,IND"
)

// The vectors named V… were run with OpenCTI's own splitter (platform 7.26). If ours differs on purpose, the line
// says so. Nulls, empty lists, invalid ids and x_opencti_id aliases do not reach Order.
func TestOrderVectors(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []string
		want []string
	}{
		{"V1", []string{rep, rel, ind, mal, "I", "M"}, []string{
			"1 I", "1 M", "2 MAL created_by_ref=I", "3 IND created_by_ref=I object_marking_refs=M",
			"8 REL created_by_ref=I object_marking_refs=M source_ref=IND target_ref=MAL",
			"19 REP created_by_ref=I object_marking_refs=M object_refs=IND,MAL,REL"}},
		{"V1b", []string{"M", "I", mal, ind, rel, rep}, []string{
			"1 M", "1 I", "2 MAL created_by_ref=I", "3 IND created_by_ref=I object_marking_refs=M",
			"8 REL created_by_ref=I object_marking_refs=M source_ref=IND target_ref=MAL",
			"19 REP created_by_ref=I object_marking_refs=M object_refs=IND,MAL,REL"}},
		{"V2 (the emptied list goes)", []string{"REP object_refs=N", "N object_refs=REP"},
			[]string{"1 N", "2 REP object_refs=N"}},
		{"V3 (cut, where pycti leaves G pointing at REP)",
			[]string{"REP object_refs=N", "N object_refs=G", "G object_refs=REP"},
			[]string{"1 G", "2 N object_refs=G", "3 REP object_refs=N"}},
		{"V3b (cut once, where pycti leaves I3 pointing at I)",
			[]string{"I created_by_ref=I2", "I2 created_by_ref=I3", "I3 created_by_ref=I"},
			[]string{"1 I3", "2 I2 created_by_ref=I3", "3 I created_by_ref=I2"}},
		{"V4", []string{"I created_by_ref=I object_marking_refs=M", "M"}, []string{"1 M", "2 I object_marking_refs=M"}},
		{"V5", []string{"REP created_by_ref=I object_marking_refs=M object_refs=IND"},
			[]string{"1 REP created_by_ref=I object_marking_refs=M object_refs=IND"}},
		{"V6", []string{rel, ind, "I", "M"}, []string{"1 I", "1 M", "3 IND created_by_ref=I object_marking_refs=M",
			"6 REL created_by_ref=I object_marking_refs=M source_ref=IND target_ref=MAL"}},
		{"V8b", []string{"S sighting_of_ref=IND where_sighted_refs=I", ind, "I", "M"}, []string{"1 I", "1 M",
			"3 IND created_by_ref=I object_marking_refs=M", "5 S sighting_of_ref=IND where_sighted_refs=I"}},
		{"V12", []string{"I", "I created_by_ref=I2"}, []string{"1 I created_by_ref=I2"}},
		{"V17", []string{"REP created_by_ref=I object_refs=MAL,MAL2", "MAL created_by_ref=I", "MAL2 created_by_ref=I", "I"},
			[]string{"1 I", "2 MAL created_by_ref=I", "2 MAL2 created_by_ref=I", "6 REP created_by_ref=I object_refs=MAL,MAL2"}},
		{"V18", []string{"REP object_refs=MAL,REL", "REL source_ref=MAL target_ref=I", mal, "I"},
			[]string{"1 I", "2 MAL created_by_ref=I", "4 REL source_ref=MAL target_ref=I", "7 REP object_refs=MAL,REL"}},
		{"V19", []string{"EM from_ref=EA to_refs=EB,EA", "EA", "EB"},
			[]string{"1 EA", "1 EB", "4 EM from_ref=EA to_refs=EB,EA"}},
		{"V21", nil, nil},
		{"V25", []string{"NT src_ref=IP encapsulates_refs=NT", "IP resolves_to_refs=MAC"},
			[]string{"1 IP resolves_to_refs=MAC", "2 NT src_ref=IP"}},
		{"essential ends stay", []string{"N object_refs=REL", "REL source_ref=N target_ref=MAL", "MAL"},
			[]string{"1 N", "1 MAL", "3 REL source_ref=N target_ref=MAL"}},
		{"nothing to cut", []string{"REL source_ref=REL2 target_ref=MAL", "REL2 source_ref=REL target_ref=MAL", "MAL",
			"REP object_refs=REL,MAL"},
			[]string{"1 MAL", "2 REP object_refs=MAL", "1 REL source_ref=REL2 target_ref=MAL cyclic",
				"1 REL2 source_ref=REL target_ref=MAL cyclic"}},
		{"self relationship", []string{"REL source_ref=REL target_ref=REL"}, []string{"1 REL source_ref=REL target_ref=REL cyclic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var objs []*Object
			names := []string{"I", "I2", "I3", "M", "IND", "MAL", "MAL2", "REL", "REL2", "REP", "N", "G", "S", "EA", "EB", "EM", "IP", "NT", "MAC"}
			for _, spec := range c.in {
				objs = append(objs, object(t, spec))
			}
			if got := show(t, Order(objs), names); !slices.Equal(got, c.want) {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
			}
		})
	}
}

func TestOrderLongChain(t *testing.T) {
	const n = 100_000
	objs := make([]*Object, n)
	id := func(i int) string { return fmt.Sprintf("identity--00000000-0000-4000-8000-%012d", i) }
	for i := range objs {
		objs[i] = New("identity", id(i))
		objs[i].Set("created_by_ref", id((i+1)%n)) // closed to a circle
	}
	out := Order(objs)
	if len(out) != n || out[0].Object.ID() != id(n-1) || out[n-1].Deps != n {
		t.Fatalf("%d objects, first %s, last of %d", len(out), out[0].Object.ID(), out[n-1].Deps)
	}
	if c := out[0].Cut; len(c) != 1 || c[0] != (Ref{Key: "created_by_ref", ID: id(0)}) {
		t.Errorf("cut %v", c)
	}
}

func TestOrderSaturates(t *testing.T) {
	objs := []*Object{New("report", "report--00000000-0000-4000-8000-000000000000")}
	for i := 1; i < 64; i++ { // every report lists the previous one twice
		o := New("report", fmt.Sprintf("report--00000000-0000-4000-8000-%012d", i))
		o.SetRaw("object_refs", json.RawMessage(fmt.Sprintf("[%q,%q]", objs[i-1].ID(), objs[i-1].ID())))
		objs = append(objs, o)
	}
	slices.Reverse(objs)
	out := Order(objs)
	for i := range out {
		if want := fmt.Sprintf("%012d", i); !strings.HasSuffix(out[i].Object.ID(), want) {
			t.Fatalf("place %d holds %s", i, out[i].Object.ID())
		}
	}
}
