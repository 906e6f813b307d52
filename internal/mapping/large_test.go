package mapping

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"

	"threatmatch-connector/internal/stix"
)

// largeObjects are kinds of one single large object, each with the properties that
// it consists of.
var largeObjects = []struct {
	name, typ string
	members   func(n int) string
	most      float64 // bytes allocated for each byte of an object over the bounds, a dead letter if it is 1; 0: not tested
}{
	{"name", "report", text1("name", "x"), 1},
	{"name with tags", "report", text1("name", "<b>x</b> "), 0},
	{"name of entities", "report", text1("name", "&amp;"), 0},
	{"name of cves", "vulnerability", func(n int) string { return textN("name", "CVE-2020-%05d ")(n / 40) }, 0},
	{"name of techniques", "attack-pattern", textN("name", "T1234.%03d "), 0},
	{"name non-ascii", "location", text1("name", "é"), 0},
	{"name identity", "identity", text1("name", "É x"), 0},
	{"description plain", "report", text1("description", "word "), 0},
	{"description <x", "report", text1("description", "<x "), 3.8},
	{"description <p>", "report", text1("description", "<p>word</p>"), 0},
	{"description <p>*_", "report", func(n int) string { return `"description":"<p>` + strings.Repeat("*_", n/2) + `"` }, 0},
	{"description &amp;", "report", text1("description", "&amp;"), 0},
	{"description quotes", "report", text1("description", `\"`), 3},
	{"description \\u0041", "report", text1("description", `\u0041`), 0},
	{"description \\u2028", "report", text1("description", `\u2028`), 0},
	{"description \\u0001", "report", text1("description", `\u0001`), 0},
	{"description \\u0001 <b>", "report", text1("description", `\u0001<b>x</b>`), 0},
	{"description invalid", "report", text1("description", "a\xff"), 0},
	{"description surrogates", "report", text1("description", `\ud800`), 0},
	{"description links", "report", text1("description", `[a](/b) `), 0},
	{"description fdfa", "report", text1("description", "ﷺ"), 0},
	{"abstract", "note", text1("abstract", "<b>x</b> "), 0},
	{"abstract alone", "note", text1("abstract", "word "), 0},
	{"note content", "note", text1("content", "<b>x</b> "), 0},
	{"explanation", "opinion", text1("explanation", "<b>x</b> "), 0},
	{"opinion", "opinion", text1("opinion", "<b>x</b> "), 0},
	{"content of report", "report", text1("content", "<b>x</b> "), 0},
	{"content plain of report", "report", text1("content", "word "), 0},
	{"content quotes of report", "report", text1("content", `\"`), 0},
	{"x_opencti_content", "report", text1("x_opencti_content", "<i>x</i> "), 0},
	{"picture in content", "report", func(n int) string {
		return `"content":"<p>a</p><img src=\"data:image/png;base64,` + strings.Repeat("QUJD", n/4) + `\">"`
	}, 0},
	{"content of malware", "malware", text1("content", "word "), 0},
	{"content in extension", "report", func(n int) string {
		return `"extensions":{"` + extensionOpenCTI + `":{"extension_type":"property-extension","content":"` + strings.Repeat("word ", n/5) + `"}}`
	}, 0},
	{"labels", "report", func(n int) string { return `"labels":["` + strings.Repeat("word ", n/5) + `"]` }, 0},
	{"labels tlp", "report", func(n int) string { return `"labels":["` + strings.Repeat("tlp &amp; é ", n/13) + `"]` }, 0},
	{"labels fdfa", "report", func(n int) string { return `"labels":["` + strings.Repeat("ﷺ", n/3) + `"]` }, 0},
	{"labels as text", "report", text1("labels", "word, "), 0},
	{"tags", "report", func(n int) string { return `"x_opencti_tags":[{"value":"` + strings.Repeat("word ", n/5) + `"}]` }, 0},
	{"classification", "report", text1("x_classification", "Word "), 0},
	{"tlp", "report", text1("x_tlp", "Word "), 0},
	{"marking refs text", "report", text1("object_marking_refs", "Word "), 0},
	{"marking refs ids", "report", textN("object_marking_refs", "marking-definition--00000000-0000-4000-8000-%012d "), 0},
	{"statement", "marking-definition", func(n int) string {
		return `"definition_type":"statement","definition":{"statement":"` + strings.Repeat("Word ", n/5) + `"}`
	}, 0},
	{"aliases", "malware", func(n int) string { return `"aliases":["` + strings.Repeat("word ", n/5) + `"]` }, 0},
	{"aliases with tags", "malware", func(n int) string { return `"aliases":["` + strings.Repeat("<b>x</b> ", n/9) + `"]` }, 0},
	{"100000 aliases", "malware", func(n int) string { return list1("aliases", `"a <b>x</b> %d"`, n, 90_000) }, 0},
	{"kill chain", "malware", func(n int) string {
		return `"kill_chain_phases":[{"kill_chain_name":"MITRE ATT&CK","phase_name":"` + strings.Repeat("word ", n/5) + `"}]`
	}, 0},
	{"kill chain name", "malware", func(n int) string {
		return `"kill_chain_phases":[{"phase_name":"MITRE ATT&CK","kill_chain_name":"` + strings.Repeat("é ", n/3) + `"}]`
	}, 0},
	{"references as texts", "report", func(n int) string { return list1("external_references", `"word %d"`, n, 90_000) }, 1},
	{"reference", "report", func(n int) string {
		return `"external_references":[{"source_name":"x","url":"http://x.example/` + strings.Repeat("x", n) + `"}]`
	}, 0},
	{"reference to be mended", "report", func(n int) string {
		return `"external_references":[{"url":"http://x.example/` + strings.Repeat("x", n) + `"}]`
	}, 0},
	{"reference marked", "report", func(n int) string {
		return `"external_references":[{"source_name":"x","external_id":"1","description":"` + strings.Repeat("<b>x</b> ", n/9) + `"}]`
	}, 0},
	{"references of a relationship", "relationship", func(n int) string {
		return `"external_references":[{"source_name":"x","external_id":"1","description":"` + strings.Repeat("May 2020 ", n/9) + `"}]`
	}, 0},
	{"extension", "malware", func(n int) string { return `"extensions":{"x":{"y":"` + strings.Repeat("word ", n/5) + `"}}` }, 0},
	{"extension with command", "malware", func(n int) string {
		return `"extensions":{"x":{"nb_deps":1,"y":"` + strings.Repeat("word ", n/5) + `"}}`
	}, 0},
	{"nested 90", "malware", func(n int) string {
		return `"x_a":` + strings.Repeat("[", 90) + `"` + strings.Repeat("word ", n/5) + `"` + strings.Repeat("]", 90)
	}, 0},
	{"nested 90 null", "malware", func(n int) string {
		return `"x_a":` + strings.Repeat("[", 90) + `"` + strings.Repeat("null ", n/5) + `"` + strings.Repeat("]", 90)
	}, 1},
	{"nested 90 nulls", "malware", func(n int) string {
		return `"x_a":` + strings.Repeat("[null,", 90) + `"` + strings.Repeat("null ", n/5) + `"` + strings.Repeat("]", 90)
	}, 0},
	{"nested 90 objects", "malware", func(n int) string {
		return `"x_a":` + strings.Repeat(`{"nb_deps":1,"a":`, 90) + `"` + strings.Repeat("null ", n/5) + `"` + strings.Repeat("}", 90)
	}, 0},
	{"key", "malware", func(n int) string { return `"` + strings.Repeat("k", n) + `":1` }, 0},
	{"key nested", "malware", func(n int) string { return `"x_a":{"` + strings.Repeat("k", n) + `":{"b":1}}` }, 0},
	{"blanks", "malware", func(n int) string { return `"x_a":` + strings.Repeat(" ", n) + `1` }, 0},
	{"number", "autonomous-system", func(n int) string { return `"number":0.` + strings.Repeat("1", n) }, 0},
	{"number as name", "malware", func(n int) string { return `"name":0.` + strings.Repeat("1", n) }, 0},
	{"confidence", "malware", func(n int) string { return `"confidence":"` + strings.Repeat("1", n) + `"` }, 0},
	{"confidence words", "malware", text1("confidence", "Word "), 0},
	{"time", "malware", text1("first_seen", "2020 "), 0},
	{"boolean", "malware", text1("is_family", "Yes "), 0},
	{"reference id", "malware", text1("created_by_ref", "Word "), 0},
	{"relationship type", "relationship", text1("relationship_type", "Word "), 0},
	{"identity class", "identity", text1("identity_class", "Word "), 0},
	{"country", "location", text1("country", "Word "), 0},
	{"hashes", "file", func(n int) string { return `"hashes":{"MD5":"` + strings.Repeat("a", n) + `"}` }, 0},
	{"hashes mended", "file", func(n int) string { return `"hashes":{"SHA1":null,"x":1,"MD5":"` + strings.Repeat("a", n) + `"}` }, 0},
	{"payload", "artifact", text1("payload_bin", "QUJD"), 0},
	{"file", "report", func(n int) string {
		return `"x_a":1,"name":"nn","x_opencti_files":[{"name":"a.pdf","data":"` + strings.Repeat("QUJD", n/4) + `"}]`
	}, 3},
	{"pattern", "indicator", text1("pattern", "("), 1},
	{"pattern escaped", "indicator", text1("pattern", `\"`), 4},
	{"pattern valid", "indicator", func(n int) string { return `"name":"nn","pattern":"[a:b='` + strings.Repeat("x", n) + `']"` }, 0},
	{"pattern valid escaped", "indicator", func(n int) string { return `"name":"nn","pattern":"[a:b='` + strings.Repeat(`\"`, n/2) + `']"` }, 0},
	{"pattern and no name", "indicator", func(n int) string { return `"name":"","pattern":"[a:b='` + strings.Repeat("x", n) + `']"` }, 2},
	{"pattern yara", "indicator", func(n int) string {
		return `"name":"x","pattern_type":"yara","pattern":"` + strings.Repeat("x", n) + `"`
	}, 0},
	{"id", "", func(n int) string { return `"type":"malware","id":"malware--` + strings.Repeat("x", n) + `"` }, 0},
	{"type", "", func(n int) string { return `"id":"malware--1","type":"` + strings.Repeat("x", n) + `"` }, 0},
	{"error", "malware", text1("error", "word "), 0},
	{"product", "malware-analysis", text1("product", "word "), 0},
	{"granular", "malware", func(n int) string {
		return `"granular_markings":[{"lang":"de","selectors":["gone","` + strings.Repeat("x", n) + `"]}]`
	}, 0},
	{"incomplete", "report", func(n int) string { return `"name":1,"x_a":"` + strings.Repeat("x", n) + `"` }, 0},
}

func text1(key, s string) func(int) string {
	return func(n int) string { return `"` + key + `":"` + strings.Repeat(s, n/len(s)) + `"` }
}

func textN(key, form string) func(int) string {
	return func(n int) string { return `"` + key + `":"` + strings.Join(numbered(form, n), "") + `"` }
}

func list1(key, form string, n, entries int) string {
	pad := strings.Repeat("x", max(0, n/entries-len(form)))
	form = form[:1] + pad + form[1:]
	var parts []string
	for i := range entries {
		parts = append(parts, fmt.Sprintf(form, i))
	}
	return `"` + key + `":[` + strings.Join(parts, ",") + `]`
}

func largeBody(typ string, members string) []byte {
	s := `{"objects":[{`
	if typ != "" {
		s += `"type":"` + typ + `","id":"` + typ + `--00000000-0000-4000-8000-000000000000",`
	}
	for _, d := range [...]string{`"name":"nn"`, `"published":"2024-01-02T03:04:05Z"`, `"pattern_type":"stix"`} {
		if key, _, _ := strings.Cut(d, ":"); !strings.Contains(members[:min(len(members), 200)], key) {
			s += d + ","
		}
	}
	return []byte(s + members + `}]}`)
}

// peak returns the most live bytes while f runs.
func peak(f func()) (most uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	live := func() uint64 {
		runtime.GC()
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	base := live()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			most = max(most, live())
			select {
			case <-done:
				return
			default:
			}
		}
	})
	f()
	close(done)
	wg.Wait()
	return most - min(base, most)
}

// after does with the objects what the stages do.
func after(r Result) (dead, size int) {
	for _, o := range r.Objects {
		o.Refs()
		o.Arrive()
		var trace stix.Trace
		trace.Add(o, true)
		trace.Weigh(o, true)
		o.Hash()
		size += len(o.AppendJSON(nil))
	}
	return len(r.Dead), size
}

// TestLargeObjects: an object over the bounds takes few copies of itself, whatever it
// consists of.
func TestLargeObjects(t *testing.T) {
	m := newMapper(t, []byte(`{"ThreatActorAsIntrusionSet":true}`))
	for _, k := range largeObjects {
		if k.most == 0 {
			continue
		}
		size := stix.MaxRest + 1<<19
		if strings.HasPrefix(k.name, "pattern") || k.name == "file" { // no bound, or one of 1 MiB
			size = 5 << 19
		}
		body := largeBody(k.typ, k.members(size))
		var before, then runtime.MemStats
		runtime.ReadMemStats(&before)
		dead, size := after(m.Map(Source{}, body))
		runtime.ReadMemStats(&then)
		if took := float64(then.TotalAlloc-before.TotalAlloc) / float64(len(body)); took > k.most+0.1 {
			t.Errorf("%s: %.1f bytes allocated for each, want at most %.1f", k.name, took, k.most)
		}
		if whole := size > 0; whole == (dead > 0) || whole == (k.most < 1.1) && k.name != "pattern escaped" {
			t.Errorf("%s: %d dead letters and %d bytes of objects", k.name, dead, size)
		}
	}
}

// TestNestedValues: what is removed at any level is removed in one buffer.
func TestNestedValues(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	for _, k := range largeObjects {
		if !strings.HasPrefix(k.name, "nested") {
			continue
		}
		body := largeBody(k.typ, k.members(1<<18))
		if took := mapAllocated(m, body); took > 14*uint64(len(body)) {
			t.Errorf("%s: %d bytes allocated for each, want at most 14", k.name, took/uint64(len(body)))
		}
	}
}

// BenchmarkLargeObjects prints what is live at once, and what is allocated in all, for
// each byte of one object of 7.5 and of 24 MiB.
func BenchmarkLargeObjects(b *testing.B) {
	m := newMapper(b, []byte(`{"ThreatActorAsIntrusionSet":true}`))
	for _, k := range largeObjects {
		for _, n := range []int{15 << 19, 24 << 20} {
			b.Run(fmt.Sprintf("%s/%dMiB", k.name, n>>20), func(b *testing.B) {
				for b.Loop() {
					body := largeBody(k.typ, k.members(n))
					size := float64(len(body))
					var before, then runtime.MemStats
					runtime.ReadMemStats(&before)
					most := peak(func() {
						r := m.Map(Source{}, body)
						body = nil
						after(r)
					})
					runtime.ReadMemStats(&then)
					b.ReportMetric(float64(most)/size+1, "live/byte")
					b.ReportMetric(float64(then.TotalAlloc-before.TotalAlloc)/size, "allocated/byte")
				}
			})
		}
	}
}
