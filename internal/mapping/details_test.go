package mapping

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"threatmatch-connector/internal/stix"
)

const detailedActor = `{"type":"threat-actor","id":"threat-actor--00000000-0000-4000-8000-000000000001","name":"Red Fox",
	"created":"2024-01-02T00:00:00.000Z","modified":"2024-01-03T00:00:00.000Z","aliases":["Fox"],"description":"Short."}`

// detailedBody is an item with its details.
func detailedBody(details string, objects ...string) []byte {
	return fmt.Appendf(nil, `{"details":%s,"objects":[%s]}`, details, strings.Join(objects, ","))
}

func mapDetails(t *testing.T, s Settings, dataset string, body []byte) Result {
	t.Helper()
	m, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return m.Map(Source{Dataset: dataset, ID: "7/edit"}, body)
}

func theNamed(r Result, typ, name string) *stix.Object {
	for _, o := range r.Objects {
		if o.Type() == typ && (name == "" || o.String("name") == name) {
			return o
		}
	}
	return nil
}

func links(r Result) []string {
	names := map[string]string{}
	for _, o := range r.Objects {
		names[o.ID()] = o.String("name")
	}
	var list []string
	for _, o := range r.Objects {
		if o.Type() == "relationship" {
			list = append(list, names[o.String("source_ref")]+" "+o.String("relationship_type")+" "+names[o.String("target_ref")])
		}
	}
	slices.Sort(list)
	return list
}

// TestDetailsOfProfile: everything that the portal says about a profile ends up
// where OpenCTI has a place for it.
func TestDetailsOfProfile(t *testing.T) {
	r := mapDetails(t, Settings{ThreatActorAsIntrusionSet: true}, "profiles", detailedBody(`{"id":7,"title":"Red Fox","published":1,
		"known_as":"FOX, APT 99; Vulpes &amp; Co","additional_dates":{"First Seen":"2019-05-01","last_activity":"2023-11-30 08:00:00","Review":"2025-01-01"},
		"content":"<p>The <b>long</b> text.</p>","tlp":{"shortcode":"green","label":"TLP: GREEN","description":"Not TLP:RED"},
		"tagsFull":[{"id":"1","name":"France","slug":"france"}],
		"linked_profiles":[{"id":"89","title":"PlugX","type_id":"5","typeName":"Malware & Tools","typeSlug":"malware-tools"},
		{"id":90,"title":"Night Dragon","type_id":4},{"id":"91","title":"Red Fox","type_id":1},{"id":"92","title":"Who","type_id":"77"},{"id":"93"},7,null,
		{"id":"89","title":"plugx","type_id":"5"},{"id":"94","title":"Known Tool","type_id":"5"}]}`, detailedActor,
		`{"type":"tool","id":"tool--00000000-0000-4000-8000-000000000002","name":"Known Tool","created":"2024-01-02T00:00:00.000Z","modified":"2024-01-02T00:00:00.000Z"}`))
	o := theNamed(r, "intrusion-set", "Red Fox")
	if o == nil {
		t.Fatalf("no intrusion set Red Fox; got %v", r.Objects)
	}
	if got, want := o.Strings("aliases"), []string{"Fox", "APT 99", "Vulpes & Co"}; !slices.Equal(got, want) {
		t.Errorf("aliases %q, want %q", got, want)
	}
	if got := o.String("first_seen") + " " + o.String("last_seen"); got != "2019-05-01T00:00:00.000Z 2023-11-30T08:00:00.000Z" {
		t.Errorf("seen %s", got)
	}
	if got := o.String("description"); got != "Short.\n\nThe **long** text." {
		t.Errorf("description %q", got)
	}
	green, _ := stix.FindTLP("green")
	for _, typ := range []string{"intrusion-set", "malware", "campaign"} {
		if x := theNamed(r, typ, ""); x == nil || !slices.Equal(x.Strings("object_marking_refs"), []string{green.ID}) {
			t.Errorf("%s: got %s, want TLP:GREEN, which the portal gives", typ, asText(x))
		}
	}
	want := []string{"Night Dragon attributed-to Red Fox", "Red Fox targets France", "Red Fox uses Known Tool", "Red Fox uses PlugX"}
	if got := links(r); !slices.Equal(got, want) {
		t.Errorf("relationships %q, want %q", got, want)
	}
	if r.Counts["details_unread:linked_profiles"] != 2 || r.Counts["details_unread:additional_dates"] != 1 {
		t.Errorf("counts %v, want two linked profiles and a date unread", r.Counts)
	}
}

func asText(o *stix.Object) string {
	if o == nil {
		return "nothing"
	}
	return string(o.AppendJSON(nil))
}

// TestDetailsOfReport: a report contains what the portal links, and refers to
// related reports.
func TestDetailsOfReport(t *testing.T) {
	report := `{"type":"report","id":"report--00000000-0000-4000-8000-000000000003","name":"Quarterly","published":"2024-01-02T00:00:00.000Z",
		"created":"2024-01-02T00:00:00.000Z","modified":"2024-01-03T00:00:00.000Z","object_refs":["threat-actor--00000000-0000-4000-8000-000000000001"]%s}`
	details := `{"id":"7","title":"Quarterly","published":true,"known_as":"Q1","content":"<p>Full</p>","related":[8,"9",7,null,{"id":10}],
		"tlp":{"label":"TLP: RED"},"linked_profiles":[{"id":1,"title":"red fox","type_id":1},{"id":"89","title":"PlugX","type_id":"5"}]}`
	r := mapDetails(t, Settings{URL: "https://tm.example"}, "reports", detailedBody(details, detailedActor, fmt.Sprintf(report, "")))
	o := theNamed(r, "report", "")
	if o == nil || !strings.Contains(o.String("x_opencti_content"), "Full") {
		t.Fatalf("got %s, want the portal's text", asText(o))
	}
	if m := theNamed(r, "malware", "PlugX"); m == nil || !slices.Contains(o.Strings("object_refs"), m.ID()) || len(o.Strings("object_refs")) != 2 {
		t.Errorf("object_refs %v, want the actor and %s", o.Strings("object_refs"), asText(m))
	}
	var refs []struct{ URL string }
	raw, _ := o.Get("external_references")
	if err := json.Unmarshal(raw, &refs); err != nil || len(refs) != 4 {
		t.Errorf("references %s, %v; want those of 8, 9, 10 and the report itself", raw, err)
	}
	if red, _ := stix.FindTLP("red"); !slices.Equal(o.Strings("object_marking_refs"), []string{red.ID}) {
		t.Errorf("markings %v, want TLP:RED of the label", o.Strings("object_marking_refs"))
	}
	// What the STIX itself says is kept.
	clear, _ := stix.FindTLP("clear")
	r = mapDetails(t, Settings{}, "reports", detailedBody(details, fmt.Sprintf(report, `,"content":"Own","object_marking_refs":["`+clear.ID+`"]`)))
	o = theNamed(r, "report", "")
	if !slices.Equal(o.Strings("object_marking_refs"), []string{clear.ID}) || strings.Contains(o.String("x_opencti_content"), "Full") {
		t.Errorf("got %s, want its own marking and text", asText(o))
	}
}

// TestOddDetails: odd details leave the item unchanged, and are never attributed to
// another object.
func TestOddDetails(t *testing.T) {
	other := strings.ReplaceAll(strings.ReplaceAll(detailedActor, "000000001", "000000009"), "Red Fox", "Blue Fox")
	for _, c := range []struct{ name, details string }{
		{"no object", `[]`}, {"null", `null`}, {"a text", `"x"`}, {"nothing", `{}`},
		{"a draft", `{"title":"Red Fox","published":0,"known_as":"Nope"}`},
		{"a draft, as a text", `{"title":"Red Fox","published":"0","known_as":"Nope"}`},
		{"another title", `{"title":"Green Fox","known_as":"Nope"}`},
		{"no title", `{"known_as":"Nope"}`},
		{"all of another kind", `{"title":"Red Fox","known_as":{},"additional_dates":[],"content":[],"tagsFull":{},"linked_profiles":"x","tlp":[],"related":{}}`},
		{"all empty", `{"title":"Red Fox","known_as":"N/A, ,-","additional_dates":{"First Seen":null,"Last seen":""},"content":" ","tagsFull":[{"name":""}],"linked_profiles":[{}],"tlp":{"shortcode":"","label":null},"related":[]}`},
	} {
		m, err := New(Settings{})
		if err != nil {
			t.Fatal(err)
		}
		body := detailedBody(c.details, detailedActor, other)
		with, without := m.Map(Source{Dataset: "profiles", ID: "7/edit"}, body), m.Map(Source{Dataset: "profiles", ID: "7"}, body)
		var got, want []string
		for _, o := range with.Objects {
			got = append(got, asText(o))
		}
		for _, o := range without.Objects {
			want = append(want, asText(o))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
		}
	}
	r := mapDetails(t, Settings{}, "profiles", detailedBody(`{"title":"Red Fox","tlp":{"shortcode":"mauve"},"linked_profiles":[{"title":"X1","type_id":5}]}`, detailedActor))
	red, _ := stix.FindTLP("red")
	for _, o := range r.Objects {
		if o.Type() != "marking-definition" && !slices.Equal(o.Strings("object_marking_refs"), []string{red.ID}) {
			t.Errorf("%s: want TLP:RED, since nobody knows the portal's level", asText(o))
		}
	}
}

// TestManyDetails: none of many details is lost.
func TestManyDetails(t *testing.T) {
	const n = 3000
	var names, profiles []string
	for i := range n {
		names = append(names, fmt.Sprintf("Name %d", i))
		profiles = append(profiles, fmt.Sprintf(`{"title":"Linked %d","type_id":5}`, i))
	}
	report := `{"type":"report","id":"report--00000000-0000-4000-8000-000000000003","name":"Red Fox","published":"2024-01-02T00:00:00.000Z"}`
	details := fmt.Sprintf(`{"title":"Red Fox","known_as":%q,"linked_profiles":[%s]}`, strings.Join(names, ","), strings.Join(profiles, ","))
	if got := len(theNamed(mapDetails(t, Settings{}, "reports", detailedBody(details, report)), "report", "").Strings("object_refs")); got != n {
		t.Errorf("the report contains %d, want %d", got, n)
	}
	if got := len(theNamed(mapDetails(t, Settings{}, "profiles", detailedBody(details, detailedActor)), "threat-actor", "").Strings("aliases")); got != n+1 {
		t.Errorf("the actor has %d aliases, want %d", got, n+1)
	}
}

// TestFilteredDetails: filters and tlp_max also apply to what details bring, with
// the portal's own level.
func TestFilteredDetails(t *testing.T) {
	details := `{"title":"Red Fox","tlp":{"shortcode":"%s"},"tagsFull":[{"name":"France"}],"linked_profiles":[{"title":"PlugX","type_id":5},{"title":"Night Dragon","type_id":4}]}`
	got := func(s Settings, level string) (types []string) {
		r := mapDetails(t, s, "profiles", detailedBody(fmt.Sprintf(details, level), detailedActor))
		sent := map[string]bool{}
		for _, o := range r.Objects {
			sent[o.ID()] = true
			types = append(types, o.Type())
		}
		for _, o := range r.Objects {
			for _, ref := range o.Refs() {
				if typ, _ := stix.SplitID(ref.ID); !sent[ref.ID] && typ != "marking-definition" && typ != "identity" {
					t.Errorf("%s refers to %s, which is not sent", asText(o), ref.ID)
				}
			}
		}
		slices.Sort(types)
		return slices.Compact(types)
	}
	all := []string{"campaign", "location", "malware", "relationship", "threat-actor"}
	for _, c := range []struct {
		choices Choices
		level   string
		want    []string
	}{
		{Choices{}, "amber", all},
		{Choices{TLPMax: "amber"}, "amber", all},
		{Choices{TLPMax: "amber"}, "red", nil},
		{Choices{TLPMax: "amber"}, "mauve", nil},
		{Choices{TLPMax: "amber"}, "amber+strict", nil},
		{Choices{Types: []string{"threat-actor", "malware"}}, "amber", []string{"malware", "relationship", "threat-actor"}},
		{Choices{Types: []string{"malware"}}, "amber", []string{"malware"}},
		{Choices{Tags: []string{"France"}}, "amber", all},
		{Choices{Tags: []string{"Spain"}}, "amber", nil},
		{Choices{ModifiedSince: []string{"2025-01-01"}}, "amber", nil},
	} {
		if types := got(Settings{Choices: c.choices}, c.level); !slices.Equal(types, c.want) {
			t.Errorf("%+v with TLP %s: got %v, want %v", c.choices, c.level, types, c.want)
		}
	}
}

// TestDetailsSayNothingTwice: if the response itself relates two objects, in
// whatever direction and type, that stays their only link.
func TestDetailsSayNothingTwice(t *testing.T) {
	const tool = `{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000002","name":"PlugX","created":"2024-01-02T00:00:00.000Z","modified":"2024-01-02T00:00:00.000Z"}`
	actor, malware := "threat-actor--00000000-0000-4000-8000-000000000001", "malware--00000000-0000-4000-8000-000000000002"
	for _, ends := range [][2]string{{actor, malware}, {malware, actor}} {
		r := mapDetails(t, Settings{}, "profiles", detailedBody(`{"title":"Red Fox","linked_profiles":[{"title":"Plugx","type_id":"5"}]}`, detailedActor, tool,
			fmt.Sprintf(`{"type":"relationship","id":"relationship--00000000-0000-4000-8000-000000000003","relationship_type":"related-to","source_ref":%q,"target_ref":%q,
			"created":"2024-01-02T00:00:00.000Z","modified":"2024-01-02T00:00:00.000Z"}`, ends[0], ends[1])))
		if got := links(r); len(got) != 1 {
			t.Errorf("from %s: relationships %q, want the answer's alone", ends[0], got)
		}
	}
}

// TestLinkedProfilesAreBounded: each becomes an object and a relationship.
func TestLinkedProfilesAreBounded(t *testing.T) {
	many := make([]string, stix.MaxAssociated+7)
	for i := range many {
		many[i] = fmt.Sprintf(`{"title":"Name %d","type_id":"5"}`, i)
	}
	r := mapDetails(t, Settings{}, "profiles", detailedBody(`{"title":"Red Fox","linked_profiles":[`+strings.Join(many, ",")+`]}`, detailedActor))
	if got := len(links(r)); got != stix.MaxAssociated || r.Counts["details_unread:linked_profiles"] != 7 {
		t.Errorf("%d links and %d counted, want %d and 7", got, r.Counts["details_unread:linked_profiles"], stix.MaxAssociated)
	}
}

// TestManyAliasesOfALongName: the name is read once, not once for each alias.
func TestManyAliasesOfALongName(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	allocated := func(aliases int) uint64 {
		body := `{"objects":[{"type":"malware","id":"` + idOfType("malware", 1) + `","is_family":false,"name":"` + strings.Repeat("é", 5000) + `"}],
			"details":{"known_as":"` + strings.Repeat("alias,", aliases) + `"}}`
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := m.Map(Source{Dataset: "profiles", ID: "9" + detailsSuffix}, []byte(body))
		runtime.ReadMemStats(&after)
		if got := r.Objects[0].Strings("aliases"); !slices.Equal(got, []string{"alias"}) {
			t.Fatalf("aliases %v", got)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	if one, many := allocated(1), allocated(200); many > one+200*1000 {
		t.Errorf("%d bytes allocated for one alias, %d for 200, want at most 1000 more for each", one, many)
	}
}
