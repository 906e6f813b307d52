package mapping

import (
	"cmp"
	"strings"
	"testing"

	"threatmatch-connector/internal/stix"
)

func link(relation, source, target string) *stix.Object {
	l := stix.Link{Type: relation, Source: source, Target: target}
	o := stix.New("relationship", l.ID())
	o.Set("relationship_type", relation)
	o.Set("source_ref", source)
	o.Set("target_ref", target)
	return o
}

func idOfType(typ string, n byte) string {
	return typ + "--00000000-0000-4000-8000-00000000000" + string('0'+n)
}

func TestSettle(t *testing.T) {
	version := ""
	m := newMapper(t, []byte(`{}`))
	m.settings.PlatformVersion = func() string { return version }
	const swapped = "<"
	for _, c := range []struct {
		relation, source, target string
		sourceKind, targetKind   string
		want                     string // "" = as it is
		versions                 string // of the platform; "" = every one
	}{
		{"uses", "intrusion-set", "malware", "", "", "", ""},
		{"uses", "intrusion-set", "malware", "intrusion-set", "malware", "", ""},
		{"related-to", "report", "note", "", "", "", ""},
		{"revoked-by", "report", "note", "", "", "", ""},
		{"targets", "intrusion-set", "identity", "identity-sector", "", "related-to", ""}, // a kind that is not the source's
		{"targets", "intrusion-set", "identity", "", "identity-sector", "", ""},
		{"targets", "intrusion-set", "identity", "", "", "", ""}, // allowed for every kind of identity
		{"targets", "intrusion-set", "identity", "", "identity-security-platform", "related-to", ""},
		{"attributed-to", "threat-actor", "identity", "", "identity-individual", "", ""},
		{"attributed-to", "threat-actor", "identity", "", "identity-sector", "related-to", ""},
		{"attributed-to", "threat-actor", "identity", "", "", "related-to", ""}, // a sector would be refused
		{"uses", "threat-actor", "malware", "threat-actor-individual", "", "", ""},
		{"part-of", "threat-actor", "threat-actor", "threat-actor-group", "threat-actor-group", "", ""},
		{"part-of", "threat-actor", "threat-actor", "threat-actor-individual", "threat-actor-group", "", ""},
		{"part-of", "threat-actor", "threat-actor", "threat-actor-group", "threat-actor-individual", "related-to", ""},
		{"cooperates-with", "threat-actor", "threat-actor", "", "", "", ""},
		{"attributed-to", "campaign", "threat-actor", "", "threat-actor-individual", "", ""},
		{"based-on", "indicator", "ipv4-addr", "", "", "", ""},
		{"based-on", "indicator", "file", "", "stix-file", "", ""},
		{"based-on", "indicator", "malware", "", "", "related-to", ""},
		{"drops", "malware", "file", "", "", "", ""},
		{"indicates", "indicator", "relationship", "", "relationship-uses", "", ""},
		{"indicates", "indicator", "relationship", "", "relationship-targets", "related-to", ""},
		{"indicates", "indicator", "relationship", "", "", "related-to", ""},
		{"located-at", "location", "location", "location-administrative-area", "location-country", "", ""},
		{"located-at", "location", "location", "", "", "related-to", ""},
		{"originates-from", "malware", "location", "", "", "", ""},
		{"my own words", "malware", "tool", "", "", "related-to", ""},

		// Versions.
		{"attributed-to", "intrusion-set", "campaign", "", "", "", "7.260309.0"},
		{"attributed-to", "intrusion-set", "campaign", "", "", "<attributed-to", "6.8.10 6.9.17 5.12.1"},
		{"uses", "identity", "software", "identity-system", "", "", "7.260309.0"},
		{"uses", "identity", "software", "identity-system", "", "related-to", "6.8.12 6.9.3"},

		// What entity modules register.
		{"part-of", "identity", "identity", "identity-organization", "identity-sector", "", ""},
		{"located-at", "identity", "location", "identity-organization", "location-city", "", ""},
		{"static-analysis-of", "malware-analysis", "malware", "", "", "", ""},
		{"subnarrative-of", "narrative", "narrative", "", "", "", ""},

		// Twins.
		{"uses", "intrusion-set", "vulnerability", "", "", "targets", ""},
		{"exploits", "intrusion-set", "vulnerability", "", "", "targets", ""},
		{"exploits", "campaign", "vulnerability", "", "", "targets", ""},
		{"uses", "malware", "vulnerability", "", "", "exploits", ""},
		{"attributed-to", "malware", "intrusion-set", "", "", "authored-by", ""},
		{"attributed-to", "malware", "campaign", "", "", "<uses", ""},
		{"attributed-to", "tool", "intrusion-set", "", "", "<uses", ""},
		{"attributed-to", "indicator", "campaign", "", "", "indicates", ""},
		{"attributed-to", "threat-actor", "intrusion-set", "", "", "<attributed-to", ""},
		{"participates-in", "intrusion-set", "campaign", "", "", "<attributed-to", ""},
		{"uses", "malware", "intrusion-set", "", "", "<uses", ""},
		{"indicates", "malware", "indicator", "", "", "<indicates", ""},
		{"located-at", "campaign", "location", "", "", "originates-from", ""},
		{"originates-from", "threat-actor", "location", "", "", "located-at", ""},
		{"used-by", "tool", "campaign", "", "", "<uses", ""},
		{"targeted-by", "identity", "intrusion-set", "", "identity-organization", "related-to", ""}, // the wrong end's kind
		{"targeted-by", "identity", "intrusion-set", "identity-organization", "", "<targets", ""},
		{"exploited-by", "vulnerability", "malware", "", "", "<exploits", ""},
		{"impersonates", "intrusion-set", "identity", "", "identity-organization", "related-to", ""}, // nothing says the same
		{"dropped-by", "file", "malware", "", "", "<drops", ""},
		{"mitigated-by", "attack-pattern", "course-of-action", "", "", "<mitigates", ""},
		{"created-by", "malware", "intrusion-set", "", "", "authored-by", ""},
		{"authored-by", "campaign", "threat-actor", "", "", "attributed-to", ""},
		{"sponsors", "threat-actor", "intrusion-set", "", "", "<attributed-to", ""},
		{"resolves-to", "ipv4-addr", "domain-name", "", "", "<resolves-to", ""},
		{"communicates-with", "url", "malware", "", "", "<communicates-with", ""},
		{"drops", "file", "malware", "", "", "<drops", ""},
		{"exploit", "tool", "vulnerability", "", "", "targets", ""},
		{"use", "campaign", "tool", "", "", "uses", ""},
		{"targets", "identity", "campaign", "identity-sector", "", "<targets", ""},

		// More that versions differ in.
		{"has", "identity", "vulnerability", "identity-organization", "", "", "7.260309.0"},
		{"has", "identity", "vulnerability", "identity-organization", "", "related-to", "6.8.17 6.9.0 5.12.1 unheard-of"},
		{"targets", "ai-prompt", "software", "", "", "", "7.260601.0"},
		{"targets", "ai-prompt", "software", "", "", "related-to", "6.8.10 6.9.17"},
		{"national-of", "threat-actor", "location", "threat-actor-individual", "location-country", "", "6.8.10 6.9.17 7.26 7.260309.0"}, // empty under 7.26
		{"belongs-to", "channel", "user-account", "", "", "", "6.8.10 6.9.17 7.260309.0 dev"},
		{"should-cover", "identity", "attack-pattern", "identity-organization", "", "", "6.8.10 6.9.17 7.260309.0"},
		{"located-at", "event", "location", "", "location-city", "", "6.8.10 7.260309.0"},
		{"located-at", "event", "location", "", "location-administrative-area", "related-to", "6.8.10 6.9.17 7.260309.0"},
		{"located-at", "relationship", "location", "relationship-targets", "location-country", "", "6.8.10 6.9.17 7.260309.0"},
	} {
		for _, version = range strings.Fields(cmp.Or(c.versions, "6.8.10 6.9.17 7.260309.0 5.12.1 dev")) {
			source, target := idOfType(c.source, 1), idOfType(c.target, 2)
			rel := link(c.relation, source, target)
			rel.Set("description", "why")
			kinds := map[string]string{source: c.sourceKind, target: c.targetKind}
			kind := func(id string) string { return kinds[id] }
			counts := m.Settle(rel, kind)
			got, want := rel.String("relationship_type"), cmp.Or(c.want, c.relation)
			if rel.String("source_ref") == target {
				got = swapped + got
			}
			if got != want {
				t.Errorf("%s: %s %s(%s) -> %s(%s): got %s, want %s", version, c.relation, c.source, c.sourceKind, c.target,
					c.targetKind, got, want)
			}
			if (len(counts) == 1) != (c.want != "") {
				t.Errorf("%s: counts %v", c.relation, counts)
			}
			if says := strings.Contains(rel.String("description"), "Original relationship type: "+c.relation); says != (c.want == "related-to") ||
				!strings.HasPrefix(rel.String("description"), "why") {
				t.Errorf("%s: description %q", c.relation, rel.String("description"))
			}
			before := string(rel.AppendJSON(nil))
			if m.Settle(rel, kind) != nil || string(rel.AppendJSON(nil)) != before {
				t.Errorf("%s: settled twice", c.relation)
			}
		}
	}
	report := stix.New("report", idOfType("report", 1))
	if m.Settle(report, func(string) string { return "" }) != nil {
		t.Error("settled a report")
	}
}

// TestNaturalTypes maps associated_content between pairs that are not in the vendor's table,
// and settles the result.
func TestNaturalTypes(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	for _, c := range []struct{ source, target, want string }{ // < if the ends are swapped
		{"tool", "intrusion-set", "<uses"},
		{"threat-actor", "attack-pattern", "uses"},
		{"campaign", "malware", "uses"},
		{"malware", "indicator", "<indicates"},
		{"indicator", "tool", "indicates"},
		{"indicator", "ipv4-addr", "based-on"},
		{"file", "indicator", "<based-on"},
		{"malware", "domain-name", "communicates-with"},
		{"url", "malware", "<communicates-with"},
		{"hostname", "infrastructure", "<consists-of"},
		{"vulnerability", "campaign", "<targets"},
		{"malware", "vulnerability", "exploits"},
		{"identity", "incident", "<targets"},
		{"attack-pattern", "course-of-action", "<mitigates"},
		{"intrusion-set", "threat-actor", "attributed-to"},
		{"incident", "campaign", "attributed-to"},
		{"infrastructure", "location", "located-at"},
		{"ipv6-addr", "domain-name", "<resolves-to"},
		{"malware", "malware-analysis", "<analysis-of"},
		{"intrusion-set", "intrusion-set", "related-to"},
		{"tool", "course-of-action", "<mitigates"},
		{"location", "identity", "<located-at"},
	} {
		source, target := idOfType(c.source, 1), idOfType(c.target, 2)
		rel := link("Associated Content", source, target)
		r := m.Map(Source{Dataset: "profiles"}, []byte(`{"objects":[`+string(rel.AppendJSON(nil))+`]}`))
		if len(r.Objects) != 1 {
			t.Fatalf("%s %s: %s", c.source, c.target, show(r))
		}
		got := r.Objects[0]
		m.Settle(got, func(string) string { return "" })
		relation := got.String("relationship_type")
		if got.String("source_ref") == target {
			relation = "<" + relation
		}
		if relation != c.want {
			t.Errorf("%s with %s: got %s, want %s", c.source, c.target, relation, c.want)
		}
	}
}

// TestNaturalIsLegal checks the types that the mapper itself chooses against
// OpenCTI's table, whatever kind the ends are.
func TestNaturalIsLegal(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	check := func(source, relation, target string) {
		if m.Settle(link(relation, idOfType(source, 1), idOfType(target, 2)), func(string) string { return "" }) != nil {
			t.Errorf("%s %s %s is refused", source, relation, target)
		}
	}
	for pair, relation := range naturals {
		pair[1] = strings.Replace(pair[1], observable, "url", 1)
		check(pair[0], relation, pair[1])
	}
	for pair, way := range associated {
		for _, actor := range []string{"threat-actor", "intrusion-set"} {
			source, target := strings.Replace(pair[0], "actor", actor, 1), strings.Replace(pair[1], "actor", actor, 1)
			if way.swap {
				source, target = target, source
			}
			check(source, way.relation, target)
		}
	}
	for _, typ := range []string{"intrusion-set", "campaign", "incident", "malware", "threat-actor", "tool"} {
		check(typ, originRelation(typ), "location")
	}
}

func TestKind(t *testing.T) {
	for _, c := range []struct{ typ, key, value, want string }{
		{"identity", "identity_class", "individual", "identity-individual"},
		{"identity", "identity_class", "class", "identity-sector"},
		{"identity", "identity_class", "system", "identity-system"},
		{"identity", "identity_class", "securityplatform", "identity-security-platform"},
		{"identity", "identity_class", "group", "identity-organization"},
		{"identity", "name", "x", "identity-organization"},
		{"location", "country", "FR", "location-country"},
		{"location", "region", "europe", "location-region"},
		{"location", "city", "Bonn", "location-city"},
		{"location", "administrative_area", "Bavaria", "location-administrative-area"},
		{"location", "x_opencti_location_type", "Administrative-Area", "location-administrative-area"},
		{"location", "name", "spot", "location-position"},
		{"threat-actor", "resource_level", "individual", "threat-actor-individual"},
		{"threat-actor", "x_opencti_type", "Threat-Actor-Individual", "threat-actor-individual"},
		{"threat-actor", "x_opencti_type", "Threat-Actor-Group", "threat-actor-group"},
		{"threat-actor", "name", "x", "threat-actor-group"},
		{"file", "name", "x", "stix-file"},
		{"ipv4-addr", "value", "198.51.100.1", "ipv4-addr"},
		{"relationship", "relationship_type", "uses", "relationship-uses"},
		{"malware", "name", "x", "malware"},
	} {
		o := stix.New(c.typ, idOfType(c.typ, 1))
		o.Set(c.key, c.value)
		if got := Kind(o); got != c.want {
			t.Errorf("%s with %s %q is %s, want %s", c.typ, c.key, c.value, got, c.want)
		}
	}
}
