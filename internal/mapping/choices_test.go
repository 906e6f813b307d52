package mapping

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"threatmatch-connector/internal/stix"
)

const twoObjects = `{"objects":[
{"type":"report","id":"report--00000000-0000-4000-8000-000000000001","name":"R1","created":"2024-01-02T03:04:05.000Z","modified":"2024-01-02T03:04:05.000Z",
 "labels":["Severity: High","Exploit Alert","mine"],"object_refs":["malware--00000000-0000-4000-8000-000000000002"]},
{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000002","name":"M2","created":"2024-01-02T03:04:05.000Z","modified":"2024-03-02T03:04:05.000Z"},
{"type":"vulnerability","id":"vulnerability--00000000-0000-4000-8000-000000000003","name":"V3","created":"2024-01-02T03:04:05.000Z","modified":"2024-01-02T03:04:05.000Z"}]}`

func mapWith(t interface{ Fatal(...any) }, s Settings, src Source, body string) Result {
	m, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return m.Map(src, []byte(body))
}

func find(r Result, typ string) *stix.Object {
	for _, o := range r.Objects {
		if o.Type() == typ {
			return o
		}
	}
	return nil
}

func TestPortalLinks(t *testing.T) {
	both := Choices{ProfileLink: "https://p.example/profile/{id}", AlertLink: "https://p.example/alert/{id}?x={id}"}
	for _, c := range []struct {
		src     Source
		url     string
		choices Choices
		want    string
	}{
		{Source{Dataset: "reports", ID: "89"}, "https://eu.threatmatch.com", Choices{}, "https://eu.threatmatch.com/app/reports/view/89"},
		{Source{Dataset: "reports", ID: "8/9 x"}, "https://eu.threatmatch.com/", Choices{}, "https://eu.threatmatch.com/app/reports/view/8%2F9%20x"},
		{Source{Dataset: "reports", ID: "89"}, "", Choices{}, ""},
		{Source{Dataset: "reports", ID: ""}, "https://eu.threatmatch.com", Choices{}, ""},
		{Source{Dataset: "alerts", ID: "7"}, "https://eu.threatmatch.com", Choices{}, ""},
		{Source{Dataset: "alerts", ID: "7"}, "", both, "https://p.example/alert/7?x=7"},
		{Source{Dataset: "profiles", ID: "5"}, "https://eu.threatmatch.com", Choices{}, ""},
		{Source{Dataset: "profiles", ID: "5"}, "", both, "https://p.example/profile/5"},
		{Source{Dataset: "iocs", ID: "5"}, "https://eu.threatmatch.com", both, ""},
	} {
		r := mapWith(t, Settings{URL: c.url, Choices: c.choices}, c.src, twoObjects)
		typ := "report"
		if c.src.Dataset == "profiles" {
			typ = "malware"
		}
		got, _ := find(r, typ).Get("external_references")
		want := ""
		if c.want != "" {
			text, _ := json.Marshal([]map[string]string{{"external_id": c.src.ID, "source_name": "ThreatMatch", "url": c.want}})
			want = string(text)
		}
		if string(got) != want {
			t.Errorf("%v: references %s, want %s", c.src, got, want)
		}
		if other := find(r, "vulnerability"); other.Has("external_references") {
			t.Errorf("%v: the address stands on another object: %s", c.src, other.AppendJSON(nil))
		}
	}
	again := strings.Replace(twoObjects, `"labels"`, `"external_references":[{"source_name":"x","url":"https://e.example/app/reports/view/89"}],"labels"`, 1)
	if raw, _ := find(mapWith(t, Settings{URL: "https://e.example"}, Source{Dataset: "reports", ID: "89"}, again), "report").Get("external_references"); strings.Count(string(raw), "view/89") != 1 {
		t.Errorf("references %s, want the address once", raw)
	}
}

func TestIndicatorLife(t *testing.T) {
	score := 30
	rules := Choices{Score: &score, ScoreByType: map[string]int{"Url": 70}, DaysByType: map[string]int{"Url": 10}, Detection: true}
	for _, c := range []struct {
		pattern, extra string
		choices        Choices
		score, until   string
	}{
		{"[url:value='x']", ``, Choices{}, "", ""},
		{"[url:value='x']", `"confidence":85,`, Choices{}, "85", ""},
		{"[url:value='x']", `"confidence":85,"x_opencti_score":5,`, rules, "5", "2024-01-12T03:04:05.000Z"},
		{"[url:value='x']", `"confidence":85,`, rules, "70", "2024-01-12T03:04:05.000Z"},
		{"[domain-name:value='x']", `"confidence":85,`, rules, "85", ""},
		{"[domain-name:value='x']", ``, rules, "30", ""},
		{"[url:value='x']", `"valid_until":"2024-02-02T00:00:00.000Z",`, rules, "70", "2024-02-02T00:00:00.000Z"},
		{"[url:value='x']", `"extensions":{"` + extensionOpenCTI + `":{"score":9}},`, rules, "", "2024-01-12T03:04:05.000Z"},
	} {
		body := fmt.Sprintf(`{"objects":[{"type":"indicator","id":"indicator--00000000-0000-4000-8000-000000000001","name":"I1",%s
			"created":"2024-01-02T03:04:05.000Z","modified":"2024-01-02T03:04:05.000Z","pattern_type":"stix","pattern":%q}]}`, c.extra, c.pattern)
		o := find(mapWith(t, Settings{Choices: c.choices}, Source{}, body), "indicator")
		got, _ := o.Get("x_opencti_score")
		if string(got) != c.score || o.String("valid_until") != c.until {
			t.Errorf("%s %s: score %s until %s, want %s until %s", c.pattern, c.extra, got, o.String("valid_until"), c.score, c.until)
		}
		raw, _ := o.Get("x_opencti_detection")
		if got := string(raw) == "true"; got != c.choices.Detection {
			t.Errorf("%s: detection %v, want %v", c.pattern, got, c.choices.Detection)
		}
	}
}

func TestDefaultMarkings(t *testing.T) {
	c := Choices{DefaultMarking: "PAP:AMBER", TLPLevels: map[string]string{"vulnerability": "clear", "alerts": "green", "alerts:malware": "red"}}
	pap := stix.MarkingID("PAP", "PAP:AMBER")
	want := map[string][2]string{
		"alerts":   {"green red clear", ""},
		"profiles": {"amber amber clear", ""},
	}
	for dataset, levels := range want {
		r := mapWith(t, Settings{Choices: c}, Source{Dataset: dataset, ID: "1"}, twoObjects)
		var got []string
		for _, typ := range []string{"report", "malware", "vulnerability"} {
			list := find(r, typ).Strings("object_marking_refs")
			if len(list) != 2 || list[1] != pap {
				t.Fatalf("%s of %s is marked %v, want a level and %s", typ, dataset, list, pap)
			}
			level, _ := stix.TLPByID(list[0])
			got = append(got, level.Level)
		}
		if strings.Join(got, " ") != levels[0] {
			t.Errorf("%s: levels %v, want %s", dataset, got, levels[0])
		}
		n := 0
		for _, o := range r.Objects {
			if o.ID() == pap && o.String("x_opencti_definition") == "PAP:AMBER" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: the marking is made %d times, want once", dataset, n)
		}
	}
	for text, kind := range map[string]string{"For members only": "statement", "pap:red": "PAP"} {
		if got := defaultMarking(text).String("x_opencti_definition_type"); got != kind {
			t.Errorf("%q is of kind %s, want %s", text, got, kind)
		}
	}
}

func TestChoicesAreChecked(t *testing.T) {
	for _, c := range []struct {
		choices Choices
		want    string
	}{
		{Choices{TLPMax: "mauve"}, "tlp max"},
		{Choices{TLPMax: "green"}, "below the default level"},
		{Choices{TLPLevels: map[string]string{"iocs": "mauve"}}, "of iocs"},
		{Choices{ModifiedSince: []string{"yesterday"}}, "modified since"},
		{Choices{ModifiedSince: []string{"nothing:2024-01-01"}}, "modified since"},
	} {
		if _, err := New(Settings{Choices: c.choices}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want an error with %q", c.choices, err, c.want)
		}
	}
}

func TestFilterOfItems(t *testing.T) {
	for _, c := range []struct {
		choices Choices
		dataset string
		passes  bool
	}{
		{Choices{Kinds: []string{"Exploit Alert"}}, "alerts", true},
		{Choices{Kinds: []string{"exploit-alert"}}, "alerts", true},
		{Choices{Kinds: []string{"phishing-attempts"}}, "alerts", false},
		{Choices{Kinds: []string{"alerts:phishing-attempts"}}, "reports", true},
		{Choices{Kinds: []string{"malware"}}, "profiles", true},
		{Choices{Kinds: []string{"tool"}}, "profiles", false},
		{Choices{Kinds: []string{"tool"}}, "iocs", true},
		{Choices{Tags: []string{"Mine"}}, "alerts", true},
		{Choices{Tags: []string{"other"}}, "alerts", false},
		{Choices{Ratings: []string{"high", "critical"}}, "alerts", true},
		{Choices{Ratings: []string{"critical"}}, "alerts", false},
		{Choices{Ratings: []string{"critical"}}, "profiles", true}, // the source gives none
		{Choices{ModifiedSince: []string{"2024-02-01"}}, "alerts", true},
		{Choices{PatternTypes: []string{"sigma"}}, "alerts", true},
	} {
		r := mapWith(t, Settings{Choices: c.choices}, Source{Dataset: c.dataset, ID: "1"}, twoObjects)
		if got := find(r, "malware") != nil; got != c.passes {
			t.Errorf("%+v on %s: passes %v, want %v: %v", c.choices, c.dataset, got, c.passes, r.Counts)
		}
		if report := find(r, "report"); c.choices.ModifiedSince != nil && report != nil {
			t.Errorf("%+v: an older object passes", c.choices)
		}
	}
	since := Settings{Choices: Choices{ModifiedSince: []string{"2024-02-01"}}}
	const timeless = `{"objects":[{"type":"ipv4-addr","id":"ipv4-addr--00000000-0000-4000-8000-000000000001","value":"192.0.2.1"}]}`
	if r := mapWith(t, since, Source{Dataset: "iocs"}, timeless); find(r, "ipv4-addr") == nil {
		t.Errorf("an object without a time does not pass: %v", r.Counts)
	}
}

// TestFilteredElsewhere: a reference is removed if no response may bring its
// target, and kept if another dataset may. Otherwise objects would wait in vain, or
// wanted ones would be torn apart.
func TestFilteredElsewhere(t *testing.T) {
	const body = `{"objects":[{"type":"campaign","id":"campaign--00000000-0000-4000-8000-000000000001","name":"C1",
		"created":"2024-01-02T00:00:00.000Z","modified":"2024-01-02T00:00:00.000Z"},
		{"type":"relationship","id":"relationship--00000000-0000-4000-8000-000000000002","relationship_type":"uses",
		"source_ref":"campaign--00000000-0000-4000-8000-000000000001","target_ref":"malware--00000000-0000-4000-8000-000000000003",
		"created":"2024-01-02T00:00:00.000Z","modified":"2024-01-02T00:00:00.000Z"}]}`
	for _, c := range []struct {
		types []string
		stays bool
	}{
		{nil, true}, {[]string{"campaign"}, false}, {[]string{"campaign", "malware"}, true},
		{[]string{"campaign", "alerts:malware"}, true}, {[]string{"profiles:campaign"}, true},
	} {
		r := mapWith(t, Settings{Choices: Choices{Types: c.types}}, Source{Dataset: "profiles", ID: "1"}, body)
		if got := find(r, "relationship") != nil; got != c.stays || find(r, "campaign") == nil {
			t.Errorf("%v: the relationship stays %v, want %v; counts %v", c.types, got, c.stays, r.Counts)
		}
		if !c.stays && r.Counts["filtered:ends"] != 1 {
			t.Errorf("%v: counts %v, want one of filtered:ends", c.types, r.Counts)
		}
	}
}

// TestFilteredChain: a relationship with one that loses an end goes with it, also if it comes first, and what loses
// its author gets ours.
func TestFilteredChain(t *testing.T) {
	const body = `{"objects":[{"type":"relationship","id":"relationship--00000000-0000-4000-8000-000000000001","relationship_type":"related-to",
		"source_ref":"malware--00000000-0000-4000-8000-000000000004","target_ref":"relationship--00000000-0000-4000-8000-000000000002"},
		{"type":"relationship","id":"relationship--00000000-0000-4000-8000-000000000002","relationship_type":"uses",
		"source_ref":"campaign--00000000-0000-4000-8000-000000000003","target_ref":"malware--00000000-0000-4000-8000-000000000004"},
		{"type":"campaign","id":"campaign--00000000-0000-4000-8000-000000000003","name":"C3"},
		{"type":"identity","id":"identity--00000000-0000-4000-8000-000000000005","name":"I5","identity_class":"organization"},
		{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000004","name":"M4","is_family":false,
		"created_by_ref":"identity--00000000-0000-4000-8000-000000000005"}]}`
	r := mapWith(t, Settings{Choices: Choices{Types: []string{"malware"}}}, Source{Dataset: "profiles", ID: "1"}, body)
	if find(r, "relationship") != nil || r.Counts["filtered:ends"] != 2 {
		t.Errorf("a relationship stays: %v", r.Counts)
	}
	if by := find(r, "malware").String("created_by_ref"); by != newMapper(t, []byte("{}")).author.ID() {
		t.Errorf("the malware's author is %q, want ours", by)
	}
}

// TestSightingKeepsOtherPlaces: a sighting stays with the places that are not filtered, and goes with the last.
func TestSightingKeepsOtherPlaces(t *testing.T) {
	const sighting = `{"objects":[{"type":"sighting","id":"sighting--00000000-0000-4000-8000-000000000001",
		"created":"2024-01-02T00:00:00.000Z","modified":"2024-01-02T00:00:00.000Z",
		"sighting_of_ref":"malware--00000000-0000-4000-8000-000000000002",
		"where_sighted_refs":["identity--00000000-0000-4000-8000-000000000003","location--00000000-0000-4000-8000-000000000004"]}]}`
	for _, c := range []struct{ types, want []string }{
		{[]string{"sighting", "malware", "location"}, []string{"location--00000000-0000-4000-8000-000000000004"}},
		{[]string{"sighting", "malware"}, nil},
	} {
		r := mapWith(t, Settings{Choices: Choices{Types: c.types}}, Source{Dataset: "profiles", ID: "1"}, sighting)
		var got []string
		if o := find(r, "sighting"); o != nil {
			got = o.Strings("where_sighted_refs")
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: seen by %v, want %v; counts %v", c.types, got, c.want, r.Counts)
		}
	}
}

// TestFilters draws responses and filters: nothing that is filtered is sent,
// nothing else is lost, and nothing refers to what is filtered.
func TestFilters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := drawSettings(t)
		settings.TLP, settings.ThreatActorAsIntrusionSet = "green", false
		elements := []any{}
		for range rapid.IntRange(0, 12).Draw(t, "objects") {
			elements = append(elements, drawObject(t))
		}
		body, err := json.Marshal(map[string]any{"objects": elements})
		if err != nil {
			t.Fatal(err)
		}
		src := Source{Dataset: rapid.SampledFrom(datasets).Draw(t, "dataset"), ID: "1"}
		plainly := mapWith(t, settings, src, string(body))
		filtered := settings
		types := rapid.SliceOfN(rapid.SampledFrom(drawnTypes), 0, 8).Draw(t, "types")
		for _, typ := range types {
			filtered.Types = append(filtered.Types, rapid.SampledFrom([]string{"", src.Dataset + ":"}).Draw(t, "prefix")+typ)
		}
		if rapid.Bool().Draw(t, "old") {
			filtered.ModifiedSince = []string{"2024-01-02"}
		}
		filtered.TLPMax = rapid.SampledFrom([]string{"", "green", "amber", "red"}).Draw(t, "max")
		r := mapWith(t, filtered, src, string(body))
		checkConserved(t, len(elements), r)

		m, err := New(filtered)
		if err != nil {
			t.Fatal(err)
		}
		defined := map[string]bool{}
		sent, before := map[string]bool{}, map[string]bool{}
		for _, o := range plainly.Objects {
			before[o.ID()] = true
			defined[o.ID()] = o.Type() == "marking-definition"
		}
		for _, o := range r.Objects {
			sent[o.ID()] = true
			if always(o.Type()) {
				continue
			}
			if !m.choices.types.pass(src.Dataset, o.Type()) {
				t.Errorf("filtered by type, but sent: %s", o.AppendJSON(nil))
			}
			if rank := rankOf(o); m.choices.max.Rank > 0 && rank > m.choices.max.Rank {
				t.Errorf("above the ceiling, but sent: %s", o.AppendJSON(nil))
			}
		}
		for _, o := range r.Objects {
			for _, ref := range o.Refs() {
				typ, _ := stix.SplitID(ref.ID)
				if !always(typ) && ref.ID != m.author.ID() && !sent[ref.ID] && m.choices.types.never(typ) {
					t.Errorf("refers to %s, which is filtered in every answer: %s", ref.ID, o.AppendJSON(nil))
				}
				if before[ref.ID] && !sent[ref.ID] {
					t.Errorf("refers to %s, which is filtered: %s", ref.ID, o.AppendJSON(nil))
				}
			}
		}
		for _, o := range plainly.Objects {
			wanted := m.choices.types.pass(src.Dataset, o.Type()) && (filtered.TLPMax == "" || filtered.TLPMax == "red") &&
				(filtered.ModifiedSince == nil || o.String("modified") >= "2024-01-02")
			made := o.String("created") == epoch
			if wanted && !made && !always(o.Type()) && !sent[o.ID()] && !slices.ContainsFunc(o.Strings("object_marking_refs"), func(id string) bool { return !stix.StandardTLP(id) }) {
				t.Errorf("lost: %s\n%v", o.AppendJSON(nil), r.Counts)
			}
		}
	})
}
