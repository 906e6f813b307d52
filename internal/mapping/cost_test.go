package mapping

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"threatmatch-connector/internal/stix"
)

// worstBodies lists responses that are expensive to map, each of about the given
// length.
var worstBodies = []struct {
	name string
	body func(length int) []byte
}{
	{"indicators", func(n int) []byte { return indicatorPage(n / 700) }},
	{"keys", object("malware", `"x_%d":1`)},
	{"nulls", object("malware", `"x_%d":null`)},
	{"bad references", object("malware", `"x%d_ref":"malware--1"`)},
	{"bad values", object("malware", `"x_%d":[null,[],{}]`)},
	{"own fields", object("malware", `"opencti_%d":1`)},
	{"members", within("malware", `"x_a":{`, `"k%d":{"a":null}`, `}`)},
	{"aliases", within("malware", `"aliases":[`, `"&amp;%d"`, `]`)},
	{"motivations", within("threat-actor", `"personal_motivations":[`, `"m%d"`, `]`)},
	{"texts as references", within("malware", `"external_references":[`, `"%d"`, `]`)},
	{"one address with many ids", within("malware", `"external_references":[`, `{"url":"http://x.example","external_id":"%d"}`, `]`)},
	{"references", within("malware", `"external_references":[`, `{"source_name":"x","url":"java:%d"}`, `]`)},
	{"dated references", within("relationship", `"relationship_type":"uses","source_ref":"malware--00000000-0000-4000-8000-000000000001",`+
		`"target_ref":"tool--00000000-0000-4000-8000-000000000001","external_references":[`, `{"source_name":"x","description":"%d"}`, `]`)},
	{"sectors of a report", within("report", `"labels":[`, `"Sector: s%d"`, `]`)},
	{"sectors of malware", within("malware", `"labels":[`, `"Sector: s%d"`, `]`)},
	{"one long label", within("malware", `"labels":["Sector: `, `s%d; `, `"]`)},
	{"countries in a label", within("malware", `"labels":["Country: `, `France %d, `, `"]`)},
	{"markings", within("malware", `"object_marking_refs":[`, `"marking-definition--%08d-0000-4000-8000-000000000000"`, `]`)},
	{"ids of markings in a text", within("malware", `"description":"`, `marking-definition--%08d-0000-4000-8000-000000000000 `, `"`)},
	{"dashes", within("malware", `"description":"`, `----------------------- `, `"`)},
	{"parts", within("malware", `"granular_markings":[`, `{"selectors":["name"],"marking_ref":"marking-definition--%08d-0000-4000-8000-000000000000"}`, `]`)},
	{"members of a report", within("report", `"object_refs":[`, `"malware--%08d-0000-4000-8000-000000000000"`, `]`)},
	{"associations", within("malware", `"object_refs":[`, `"tool--%08d-0000-4000-8000-000000000000"`, `]`)},
	{"no objects", list(`%d`)},
	{"errors", list(`{"error":"no %d"}`)},
	{"no ids", list(`{"type":"malware","name":"%d"}`)},
	{"incomplete", list(`{"type":"malware","id":"malware--%08d-0000-4000-8000-000000000000"}`)},
	{"copies", list(`{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000000","name":"x%d","is_family":false,"aliases":["%[1]d"]}`)},
	{"empty objects", list(`{}`)},
	{"nested", func(n int) []byte {
		return []byte(`{"objects":[{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000000","name":"xx","x_a":` +
			strings.Repeat(`[`, 90) + strings.Repeat(`null,`, n/5) + `1` + strings.Repeat(`]`, 90) + `}]}`)
	}},
	{"pattern", func(n int) []byte {
		return []byte(`{"objects":[{"type":"indicator","id":"indicator--00000000-0000-4000-8000-000000000000","name":"xx","pattern_type":"stix","pattern":"` +
			strings.Repeat(`[url:value = 'x'] OR (`, n/22) + `","valid_from":"2024-01-02T03:04:05Z"}]}`)
	}},
	{"descriptions", list(`{"type":"malware","id":"malware--%08d-0000-4000-8000-000000000000","name":"xx","is_family":true,"description":"<p>Seen in the <b>distribution<\/b> of a trojan &amp; more.<\/p><p>Second.<\/p>"}`)},
}

func list(element string) func(int) []byte {
	return func(n int) []byte {
		return []byte(`{"objects":[` + strings.Join(numbered(element, n), ",") + `]}`)
	}
}

func numbered(format string, length int) []string {
	var parts []string
	for i := 0; length > 0; i++ {
		s := format
		if strings.Contains(format, "%") {
			s = fmt.Sprintf(format, i)
		}
		parts = append(parts, s)
		length -= len(s) + 1
	}
	return parts
}

func object(typ, member string) func(int) []byte {
	return within(typ, "", member, "")
}

func within(typ, before, member, after string) func(int) []byte {
	return func(n int) []byte {
		separator := ","
		if strings.HasSuffix(member, " ") {
			separator = ""
		}
		return []byte(`{"objects":[{"type":"` + typ + `","id":"` + typ + `--00000000-0000-4000-8000-000000000000","name":"xx","published":"2024-01-02T03:04:05Z",` +
			before + strings.Join(numbered(member, n), separator) + after + `}]}`)
	}
}

// TestMapMemoryIsLinear limits the memory for each of the worst responses to four
// times that of one a quarter as long, with a margin.
func TestMapMemoryIsLinear(t *testing.T) {
	m := newMapper(t, []byte(`{"ThreatActorAsIntrusionSet":true}`))
	for _, w := range worstBodies {
		few, many := mapAllocated(m, w.body(1<<13)), mapAllocated(m, w.body(1<<15))
		if many > 6*few+1<<18 {
			t.Errorf("%s: %d bytes allocated for 8 KiB, %d for 32 KiB, want at most six times as many", w.name, few, many)
		}
	}
}

// TestLongPattern: reading a pattern takes no memory that grows with it.
func TestLongPattern(t *testing.T) {
	for _, text := range []string{strings.Repeat("[a:b=1]OR", 1<<17) + "[a:b=1]", strings.Repeat("[a:b=1]OR", 1<<17), strings.Repeat("(", 1<<20)} {
		pattern := []byte(text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err, subject := checkPattern(pattern), patternSubject(pattern)
		runtime.ReadMemStats(&after)
		if valid := strings.HasSuffix(text, "]"); (err == nil) != valid || valid && subject != "a" {
			t.Errorf("%.20s: %v, about %q", pattern, err, subject)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<16 {
			t.Errorf("%.20s: %d bytes for %d", pattern, took, len(pattern))
		}
		pattern = []byte("[" + strings.Repeat(text, 2))
		runtime.ReadMemStats(&before)
		same := &repairPattern(pattern)[0] == &pattern[0]
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; !same || took > 1<<16 {
			t.Errorf("%.20s: mended %v, with %d bytes for %d", pattern, !same, took, len(pattern))
		}
	}
}

func mapAllocated(m *Mapper, body []byte) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m.Map(Source{}, body)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestBounds checks the limits on what the length does not bound: an object with
// more properties becomes a dead letter, one with more markings becomes TLP:RED.
func TestBounds(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	for n, want := range map[int]int{stix.MaxProperties - 4: 0, stix.MaxProperties: 1} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"x_%d":1`, i)
		}
		r := m.Map(Source{}, []byte(`{"objects":[{"type":"tool","name":"xx","id":"tool--00000000-0000-4000-8000-000000000000"`+b.String()+`}]}`))
		if len(r.Dead) != want || len(r.Objects) != 1-want {
			t.Errorf("%d properties: %d dead letters and %d objects, want %d and %d", n, len(r.Dead), len(r.Objects), want, 1-want)
		}
	}
	for n, want := range map[int]int{250: 0, 251: 1} {
		r := m.Map(Source{}, []byte(`{"objects":[{"type":"tool","name":"xx","id":"`+idOfType("tool", 1)+`","`+strings.Repeat("k", n)+`":1}]}`))
		if len(r.Dead) != want {
			t.Errorf("a name of %d bytes: %d dead letters, want %d", n, len(r.Dead), want)
		}
	}
	for _, form := range []string{`"labels":["%s"]`, `"x_a":{"b":[{"c":["%s"]}]}`, `"object_refs":["%s"]`} {
		for n, want := range map[int]int{stix.MaxEntries: 0, stix.MaxEntries + 2: 1} {
			list := fmt.Sprintf(form, strings.Repeat(`x","`, n-1))
			r := m.Map(Source{}, []byte(`{"objects":[{"type":"report","published":"2024-01-02T03:04:05Z","name":"xx","id":"`+idOfType("report", 1)+`",`+list+`}]}`))
			if len(r.Dead) != want || len(r.Objects) != 1-want {
				t.Errorf("%d entries in %s: %d dead letters and %d objects, want %d and %d", n, form, len(r.Dead), len(r.Objects), want, 1-want)
			}
		}
	}
	for n, want := range map[int]int{stix.MaxAssociated: 0, stix.MaxAssociated + 1: 1} {
		r := m.Map(Source{}, []byte(`{"objects":[{"type":"tool","name":"xx","id":"`+idOfType("tool", 1)+`","object_refs":["x"`+strings.Repeat(`,"x"`, n-1)+`]}]}`))
		if len(r.Dead) != want {
			t.Errorf("%d associations: %d dead letters, want %d", n, len(r.Dead), want)
		}
	}
	var copies []string
	for c := range 5 {
		var b strings.Builder
		for i := range 200 {
			fmt.Fprintf(&b, `,"x_%d_%d":1`, c, i)
		}
		copies = append(copies, `{"type":"tool","name":"xx","id":"tool--00000000-0000-4000-8000-000000000000"`+b.String()+`}`)
	}
	if r := m.Map(Source{}, []byte(`{"objects":[`+strings.Join(copies, ",")+`]}`)); len(r.Objects) != 1 || len(r.Dead) != 2 || r.Counts["duplicates_merged"] != 2 {
		t.Errorf("five copies of 200 properties each: %d objects, %d dead letters, %d merged, want 1, 2 and 2",
			len(r.Objects), len(r.Dead), r.Counts["duplicates_merged"])
	}
	for n, want := range map[int]bool{markingsMax: false, markingsMax + 1: true} {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("marking-definition--00000000-0000-4000-8000-%012d", i))
		}
		o := stix.New("tool", idOfType("tool", 1))
		o.Set("name", "xx")
		o.Set("object_marking_refs", list)
		o.Set("labels", []string{"PAP:RED"})
		r := m.Map(Source{}, []byte(`{"objects":[`+string(o.AppendJSON(nil))+`]}`))
		list = r.Objects[0].Strings("object_marking_refs")
		if got := slices.Contains(list, red.ID); got != want || !slices.Contains(list, stix.MarkingID("PAP", "PAP:RED")) {
			t.Errorf("%d markings and a label PAP:RED: TLP:RED %v, want %v, and the PAP marking: %s", n, got, want, list[markingsMax:])
		}
	}
	for n, want := range map[int]int64{labelMax: 0, labelMax + 1: 1} {
		label := "Country: France" + strings.Repeat(" ", n-len("Country: France"))
		r := m.Map(Source{}, []byte(`{"objects":[{"type":"tool","name":"xx","id":"tool--00000000-0000-4000-8000-000000000000","labels":["`+label+`"]}]}`))
		if got := r.Counts["labels_unread:place"]; got != want {
			t.Errorf("a label of %d bytes: %d unread, want %d: %v", n, got, want, r.Counts)
		}
	}
}

// BenchmarkMapWorst is the table of processor time and memory by size: ns and bytes
// per byte must not grow with it.
func BenchmarkMapWorst(b *testing.B) {
	m := newMapper(b, []byte(`{"ThreatActorAsIntrusionSet":true}`))
	for _, w := range worstBodies {
		for _, length := range []int{1 << 14, 1 << 17, 1 << 20} {
			body := w.body(length)
			b.Run(fmt.Sprintf("%s/%dKiB", w.name, length>>10), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				before := cpuTime()
				for b.Loop() {
					m.Map(Source{}, body)
				}
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/float64(len(body)), "ns/byte")
			})
		}
	}
}

// cpuTime is the processor time that the process has used so far.
func cpuTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
