package mapping

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"threatmatch-connector/internal/stix"
)

// mapOne maps one object of a type with the properties in JSON.
func mapOne(t *testing.T, m *Mapper, typ, properties string) (*stix.Object, Result) {
	t.Helper()
	body := fmt.Sprintf(`{"objects":[{"type":%q,"spec_version":"2.1","id":"%s","created":"2024-03-01T10:11:12.345Z",`+
		`"modified":"2024-03-02T11:12:13.456Z",%s}]}`, typ, idOfType(typ, 1), properties)
	if !json.Valid([]byte(body)) {
		t.Fatalf("no JSON: %s", body)
	}
	r := m.Map(Source{}, []byte(body))
	if len(r.Objects) == 0 {
		return nil, r
	}
	return r.Objects[0], r
}

// TestRefused maps what OpenCTI refuses: want has the resulting properties, in
// JSON, null for absent.
func TestRefused(t *testing.T) {
	m := newMapper(t, []byte(`{"URL":"https://eu.threatmatch.com"}`))
	const redList = `["marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"]`
	const author = `"identity--bd7e3637-940a-53ea-b249-d22adfc66fb3"`
	ends := fmt.Sprintf(`"relationship_type":"uses","source_ref":%q,"target_ref":%q,`, idOfType("campaign", 2), idOfType("tool", 3))
	for _, c := range []struct{ typ, given, want string }{
		// Periods.
		{"sighting", `"sighting_of_ref":"` + idOfType("tool", 2) + `","first_seen":"2024-05-01T00:00:00Z","last_seen":"2024-04-30T23:59:59Z"`, `"last_seen":null`},
		{"malware", `"name":"mm","first_seen":"2024-05-01","last_seen":"2024-04"`, `"last_seen":null`},
		{"malware-analysis", `"product":"p","analysis_started":"2024-05-01T00:00:00Z","analysis_ended":"2023-05-01T00:00:00+02:00"`, `"analysis_ended":null`},
		{"network-traffic", `"protocols":["tcp"],"start":"2024-05-01T00:00:00Z","end":"2024-04-01T00:00:00Z"`, `"end":null`},
		{"indicator", `"name":"in","pattern":"[a:b='c']","pattern_type":"stix","valid_from":"2024-05-01T02:00:00+02:00","valid_until":"2024-05-01T00:00:00Z"`, `"valid_until":null`},
		{"indicator", `"name":"in","pattern":"[a:b='c']","pattern_type":"stix","valid_until":"2024-03-01T10:11:12.345Z"`, `"valid_until":null,"valid_from":"2024-03-01T10:11:12.345Z"`},
		{"campaign", `"name":"cc","first_seen":"2024-05-01T00:00:00Z","last_seen":"2024-05-01T00:00:00Z"`, `"last_seen":"2024-05-01T00:00:00Z"`},

		// Invented times of relationships.
		{"relationship", ends + `"external_references":[{"source_name":"a","url":"u","description":"Seen in May."}]`,
			`"external_references":[{"source_name":"a","url":"u"}],"description":"a: Seen in May."`},
		{"relationship", ends + `"description":"d","stop_time":"2024-01-01T00:00:00Z","external_references":[{"source_name":"blog of 2020-02-03","url":"u"}]`,
			`"external_references":[{"description":"Reference","source_name":"blog of 2020-02-03","url":"u"}],"description":"d"`},
		{"relationship", ends + `"start_time":"2024-01-01T00:00:00Z","stop_time":"2024-01-02T00:00:00Z","external_references":[{"source_name":"a","url":"u","description":"3 May 2021"}]`,
			`"external_references":[{"source_name":"a","url":"u","description":"3 May 2021"}],"description":null`},
		{"malware", `"name":"mm","external_references":[{"source_name":"a","url":"u","description":"3 May 2021"}]`,
			`"external_references":[{"source_name":"a","url":"u","description":"3 May 2021"}]`},

		// Numbers as text, text as numbers.
		{"autonomous-system", `"number":"AS64496","name":7`, `"number":64496,"name":"7"`},
		{"autonomous-system", `"number":"ASN 64512"`, `"number":64512`},
		{"file", `"name":"f","size":"4096","hashes":{"MD5":123,"SHA-1":"x"}`, `"size":4096,"hashes":{"SHA-1":"x"}`},
		{"file", `"name":"f","size":5000000000`, `"size":null`},
		{"network-traffic", `"protocols":"tcp","src_port":"443","dst_port":443.5,"is_active":"yes"`, `"protocols":["tcp"],"src_port":443,"dst_port":null,"is_active":true`},
		{"vulnerability", `"name":"CVE-2024-1","x_opencti_cvss_base_score":"9,8","x_opencti_epss_score":"0.97","x_opencti_cisa_kev":1`,
			`"x_opencti_cvss_base_score":9.8,"x_opencti_epss_score":0.97,"x_opencti_cisa_kev":true`},
		{"location", `"name":"Here","latitude":"-48.85","longitude":2,"precision":"about"`, `"latitude":-48.85,"longitude":2,"precision":null`},
		{"software", `"name":365,"version":11.2,"vendor":["x"]`, `"name":"365","version":"11.2","vendor":null`},
		{"process", `"pid":"4","command_line":"x","is_hidden":"true","created_time":"2024-05-01 10:00:00"`, `"pid":4,"is_hidden":true,"created_time":"2024-05-01T10:00:00.000Z"`},

		// Texts that are too short or blank.
		{"indicator", `"name":"x","pattern":"[a:b='c']","pattern_type":"stix"`, `"name":"x [a:b='c']"`},
		{"indicator", `"name":" ","pattern":"[a:b='c']","pattern_type":"stix"`, `"name":"[a:b='c']"`},
		{"indicator", `"pattern":"[a:b='c']","pattern_type":"stix"`, `"name":null`},
		{"note", `"content":"x","abstract":"Verdict"`, `"content":"Verdict: x"`},
		{"note", `"content":"7"`, `"content":"Note: 7"`},
		{"tool", `"name":"tt","external_references":[{"source_name":" ","url":"u"},{"source_name":"b","external_id":" "},{"source_name":"c","description":"d"}]`,
			`"external_references":[{"source_name":"Security Alliance","url":"u"},{"external_id":"b","source_name":"b"},{"description":"d","external_id":"d","source_name":"c"}]`},
		{"tool", `"name":"tt","external_references":"Book"`,
			`"external_references":[{"description":"Book","external_id":"Book","source_name":"Security Alliance"}]`},
		{"tool", `"name":"tt","external_references":["The Cuckoo's Egg, 1989",42,"https://a.example/b?c",{"title":"A talk","year":"2019"},null," "]`,
			`"external_references":[{"description":"The Cuckoo's Egg, 1989","external_id":"The Cuckoo's Egg, 1989","source_name":"Security Alliance"},` +
				`{"description":"42","external_id":"42","source_name":"Security Alliance"},{"source_name":"Security Alliance","url":"https://a.example/b?c"},` +
				`{"description":"A talk, 2019","external_id":"A talk, 2019","source_name":"Security Alliance","title":"A talk","year":"2019"}]`},
		{"tool", `"name":"tt","external_references":[{"source_name":"Pastebin","url":"javascript:alert(1)","description":"Dump of May"}]`,
			`"external_references":[{"description":"Dump of May","external_id":"Dump of May","source_name":"Pastebin"}]`},
		{"tool", `"name":"tt","external_references":{"source_name":"Book","description":"Chapter 3"}`,
			`"external_references":[{"description":"Chapter 3","external_id":"Chapter 3","source_name":"Book"}]`},
		{"malware-analysis", `"product":"av"`, `"result_name":"av"`},
		{"malware-analysis", `"product":"av","result":"malicious"`, `"result_name":"malicious"`},
		{"malware-analysis", `"product":"av","result":"malicious","result_name":"Trojan.X"`, `"result_name":"Trojan.X"`},

		// Authors and places.
		{"tool", `"name":"tt","created_by_ref":"` + idOfType("tool", 2) + `"`, `"created_by_ref":` + author},
		{"url", `"value":"http://x","x_opencti_created_by_ref":"` + idOfType("location", 2) + `"`, `"x_opencti_created_by_ref":` + author},
		{"tool", `"name":"tt","created_by_ref":["x"]`, `"created_by_ref":` + author},
		{"sighting", `"sighting_of_ref":"` + idOfType("tool", 2) + `"`, `"where_sighted_refs":[` + author + `]`},
		{"sighting", `"sighting_of_ref":"` + idOfType("tool", 2) + `","created_by_ref":"` + idOfType("identity", 3) + `"`,
			`"where_sighted_refs":["` + idOfType("identity", 3) + `"]`},
		{"sighting", `"sighting_of_ref":"` + idOfType("tool", 2) + `","where_sighted_refs":["` + idOfType("tool", 3) + `","x-y--00000001-0000-4000-8000-000000000000"]`,
			`"where_sighted_refs":[` + author + `]`},

		// Scales of confidence.
		{"tool", `"name":"tt","confidence":"high"`, `"confidence":85`},
		{"tool", `"name":"tt","confidence":"3 - Possibly True"`, `"confidence":50`},
		{"tool", `"name":"tt","confidence":"Highly Likely/Almost Certain"`, `"confidence":90`},
		{"tool", `"name":"tt","confidence":"Medium confidence"`, `"confidence":50`},
		{"tool", `"name":"tt","confidence":"12.6 %"`, `"confidence":13`},
		{"tool", `"name":"tt","confidence":"75 percent"`, `"confidence":75`},
		{"tool", `"name":"tt","confidence":"~60%"`, `"confidence":60`},
		{"tool", `"name":"tt","confidence":"0.8"`, `"confidence":80`},
		{"tool", `"name":"tt","confidence":"0.8 %"`, `"confidence":1`},
		{"tool", `"name":"tt","confidence":1`, `"confidence":1`},
		{"tool", `"name":"tt","confidence":"F6"`, `"confidence":null`},
		{"tool", `"name":"tt","confidence":"who knows"`, `"confidence":null`},
		{"indicator", `"name":"in","pattern":"[a:b='c']","pattern_type":"stix","x_opencti_score":"250"`, `"x_opencti_score":100`},

		// Levels of the TLP, wherever they are.
		{"tool", `"name":"tt","labels":"TLP:RED"`, `"object_marking_refs":` + redList},
		{"tool", `"name":"tt","labels":[{"value":"tlp:red","color":"#f00"}]`, `"object_marking_refs":` + redList},
		{"tool", `"name":"tt","x_opencti_labels":{"name":"TLP-RED"}`, `"object_marking_refs":` + redList},
		{"tool", `"name":"tt","classification":"TLP:RED (recipients only)"`, `"object_marking_refs":` + redList},
		{"tool", `"name":"tt","x_threatmatch_share":" tlp:Red "`, `"object_marking_refs":` + redList},
		{"tool", `"name":"tt","extensions":{"extension-definition--00000001-0000-4000-8000-000000000000":{"extension_type":"property-extension","level":"TLP:RED"}}`,
			`"object_marking_refs":` + redList},
		{"tool", `"name":"tt","x_handling":"TLP: ask us"`, `"object_marking_refs":` + redList},
		{"tool", `"name":"tt","description":"Not all is TLP:RED here","x_sharing":"freely"`, `"object_marking_refs":["marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"]`},

		// Addresses of Markdown links; words in code.
		{"tool", `"name":"tt","description":"[a](/app/profiles/view/89), ![p](/img/x.png), [b](//h/x), f[0](/x y)"`,
			`"description":"[a](https://eu.threatmatch.com/app/profiles/view/89), ![p](https://eu.threatmatch.com/img/x.png), [b](//h/x), f[0](/x y)"`},
		{"tool", "\"name\":\"tt\",\"description\":\"Use `<script>alert(1)</script>` and <script>gone()</script><b>bold</b>\"",
			"\"description\":\"Use `<script>alert(1)</script>` and **bold**\""},
		{"tool", "\"name\":\"tt\",\"description\":\"A ` and <script>gone()</script><b>bold</b>\"", "\"description\":\"A ` and **bold**\""},

		{"tool", `"name":"tt","external_references":[{"source_name":"x","url":"app/reports/view/1"}]`,
			`"external_references":[{"source_name":"x","url":"https://eu.threatmatch.com/app/reports/view/1"}]`},

		// Numbers with thousands separators, and fractions in percent.
		{"file", `"name":"tt","size":"1,024"`, `"size":1024`},
		{"file", `"name":"tt","size":"1,02"`, `"size":null`},
		{"vulnerability", `"name":"CVE-2024-1111","x_opencti_epss_percentile":"90%"`, `"x_opencti_epss_percentile":0.9`},

		// What OpenCTI merges by.
		{"vulnerability", `"name":"PrintNightmare","external_references":[{"source_name":"NVD","external_id":"CVE-2021-34527"}]`,
			`"name":"CVE-2021-34527","x_opencti_aliases":["PrintNightmare"]`},
		{"tool", `"name":"tt","kill_chain_phases":[{"kill_chain_name":"MITRE ATT&CK","phase_name":"TA0002: Execution"}]`,
			`"kill_chain_phases":[{"kill_chain_name":"mitre-attack","phase_name":"execution"}]`},

		// Patterns.
		{"indicator", `"name":"in","pattern":"([ipv4-addr:value = '1.1.1.1'] FOLLOWEDBY [ipv4-addr:value = '2.2.2.2']) WITHIN 5 SECONDS"`,
			`"pattern_type":"stix","x_opencti_main_observable_type":"IPv4-Addr"`},
		{"indicator", `"name":"in","pattern":"([url:value = '1'])","pattern_type":"Stix"`, `"pattern_type":"stix","x_opencti_main_observable_type":"Url"`},
		{"indicator", `"name":"in","pattern":"[file:hashes.SHA-256 = 'x']","pattern_type":"stix"`, `"pattern":"[file:hashes.'SHA-256' = 'x']"`},
		{"indicator", `"name":"in","pattern":"url:value = 'http://x'","pattern_type":"stix"`, `"pattern":"[url:value = 'http://x']","x_opencti_main_observable_type":"Url"`},
		{"indicator", `"name":"in","pattern":"[file:name = 'C:\\x\\y']","pattern_type":"stix"`, `"pattern":"[file:name = 'C:\\\\x\\\\y']"`},
		{"indicator", `"name":"in","pattern":"[ipv4-addr:value = \"1.2.3.4\"]","pattern_type":"stix"`, `"pattern":"[ipv4-addr:value = '1.2.3.4']"`},
		{"indicator", `"name":"in","pattern":"[url:value = \"http://e.example/a and b\"] or [url:value like \"c%\"]"`,
			`"pattern":"[url:value = 'http://e.example/a and b'] OR [url:value LIKE 'c%']"`},
		{"indicator", `"name":"in","pattern":"[x-in:value not in ('or','b') and exists x-in:or]","pattern_type":"stix"`,
			`"pattern":"[x-in:value NOT IN ('or','b') AND EXISTS x-in:or]"`},
		{"indicator", `"name":"in","pattern":"[domain-name:value = 'a' OR url:value = \"it is\"]","pattern_type":"STIX 2.1"`,
			`"pattern":"[domain-name:value = 'a' OR url:value = 'it is']","pattern_type":"stix"`},
		{"indicator", `"name":"in","pattern":"rule x","pattern_type":"YARA"`, `"pattern_type":"yara","x_opencti_main_observable_type":null`},
	} {
		o, r := mapOne(t, m, c.typ, c.given)
		if o == nil {
			t.Errorf("%s %s: nothing came of it: %v", c.typ, c.given, show(r))
			continue
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte("{"+c.want+"}"), &want); err != nil {
			t.Fatalf("%s: %v", c.want, err)
		}
		for key, value := range want {
			if got, ok := o.Get(key); ok && string(got) != string(value) || !ok && string(value) != "null" {
				t.Errorf("%s %s:\n%s is %s, want %s", c.typ, c.given, key, got, value)
			}
		}
	}
}

// TestDeadPatterns: patterns that cannot be repaired become dead letters that say
// why.
func TestDeadPatterns(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	for pattern, want := range map[string]string{
		"[url:value = 'x'":                 "it ends too early",
		"[url:value = x]":                  `unexpected "x"`,
		"[url:value 'x'] AND":              `unexpected "'x'"`,
		"[url = 'x']":                      `unexpected "="`,
		"[url:value = 'x'] THEN [a:b='c']": `unexpected "THEN"`,
		"{}":                               `unexpected "{}"`,
		"[a:b='c'] REPEATS 2.5 TIMES":      `unexpected "2.5"`,
		"[" + strings.Repeat("(", 2000) + "a:b='c'" + strings.Repeat(")", 2000) + "]": "more than 50 parentheses deep",
	} {
		text, _ := json.Marshal(pattern)
		o, r := mapOne(t, m, "indicator", `"name":"in","pattern_type":"stix","pattern":`+string(text))
		if o != nil || len(r.Dead) != 1 || !strings.Contains(r.Dead[0].Reason, want) {
			t.Errorf("%.60s: got %s, want a dead letter that says %s", pattern, show(r), want)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("[file:hashes.'SHA-256' = 'a' AND (file:name IN ('x','y') OR EXISTS file:size)] REPEATS 5 TIMES")
	f.Add("([a:b[*].c = t'2018-01-01T00:00:00Z']) WITHIN 1.5 SECONDS")
	for _, seed := range []string{`t'x`, `'\\\''`, `'\x'`, "-.5", "12.", "..", "-", "+a", "1.2.3", "!", "<>=", "b'a", "é", "_a-1"} {
		f.Add(seed)
	}
	// token says in one expression what patternToken accepts.
	token := regexp.MustCompile(`^(?:(?:[tT]|[hHbB])?'(?:[^'\\]|\\'|\\\\)*'|[-+]?\d*\.?\d+|[a-zA-Z_][a-zA-Z0-9_-]*|==|!=|<>|<=|>=|[][()=<>:.,*])`)
	f.Fuzz(func(t *testing.T, pattern string) {
		for rest := strings.TrimSpace(pattern); rest != ""; rest = rest[1:] {
			if got, want := string(patternToken([]byte(rest))), token.FindString(rest); got != want {
				t.Errorf("the first token of %q is %q, want %q", rest, got, want)
			}
		}
		if fixed := repairPattern([]byte(pattern)); string(fixed) != pattern && checkPattern(fixed) != nil {
			t.Errorf("%q became %q, which does not parse", pattern, fixed)
		}
		patternSubject([]byte(pattern))
	})
}
