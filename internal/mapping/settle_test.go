package mapping

import (
	"encoding/csv"
	"os"
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
	m := newMapper(t, []byte(`{}`))
	for _, c := range []struct {
		relation, source, target string
		sourceKind, targetKind   string
		want                     string
	}{
		{"uses", "intrusion-set", "malware", "", "", "uses"},
		{"uses", "intrusion-set", "malware", "intrusion-set", "malware", "uses"},
		{"uses", "intrusion-set", "vulnerability", "", "", "related-to"},
		{"related-to", "report", "note", "", "", "related-to"},
		{"revoked-by", "report", "note", "", "", "revoked-by"},
		{"targets", "intrusion-set", "identity", "identity-sector", "", "related-to"}, // a kind that is not the source's
		{"targets", "intrusion-set", "identity", "", "identity-sector", "targets"},
		{"targets", "intrusion-set", "identity", "", "", "targets"}, // allowed for every kind of identity
		{"targets", "intrusion-set", "identity", "", "identity-security-platform", "related-to"},
		{"attributed-to", "threat-actor", "identity", "", "identity-individual", "attributed-to"},
		{"attributed-to", "threat-actor", "identity", "", "identity-sector", "related-to"},
		{"attributed-to", "threat-actor", "identity", "", "", "related-to"}, // a sector would be refused
		{"uses", "threat-actor", "malware", "threat-actor-individual", "", "uses"},
		{"uses", "threat-actor", "malware", "", "", "uses"},
		{"part-of", "threat-actor", "threat-actor", "threat-actor-group", "threat-actor-group", "part-of"},
		{"part-of", "threat-actor", "threat-actor", "threat-actor-individual", "threat-actor-group", "related-to"},
		{"cooperates-with", "threat-actor", "threat-actor", "", "", "related-to"}, // not of individuals
		{"attributed-to", "campaign", "threat-actor", "", "threat-actor-individual", "attributed-to"},
		{"based-on", "indicator", "ipv4-addr", "", "", "based-on"},
		{"based-on", "indicator", "file", "", "stix-file", "based-on"},
		{"based-on", "indicator", "malware", "", "", "related-to"},
		{"drops", "malware", "file", "", "", "drops"},
		{"indicates", "indicator", "relationship", "", "relationship-uses", "indicates"},
		{"indicates", "indicator", "relationship", "", "relationship-targets", "related-to"},
		{"indicates", "indicator", "relationship", "", "", "related-to"},
		{"located-at", "location", "location", "location-city", "location-country", "located-at"},
		{"located-at", "location", "location", "", "", "related-to"},
		{"originates-from", "malware", "location", "", "", "originates-from"},
		{"my own words", "malware", "tool", "", "", "related-to"},
	} {
		source, target := idOfType(c.source, 1), idOfType(c.target, 2)
		rel := link(c.relation, source, target)
		rel.Set("description", "why")
		kinds := map[string]string{source: c.sourceKind, target: c.targetKind}
		counts := m.Settle(rel, func(id string) string { return kinds[id] })
		if got := rel.String("relationship_type"); got != c.want {
			t.Errorf("%s %s(%s) -> %s(%s): %s, want %s", c.relation, c.source, c.sourceKind, c.target, c.targetKind, got, c.want)
		}
		rewritten := c.want != c.relation
		if (len(counts) == 1) != rewritten {
			t.Errorf("%s: counts %v", c.relation, counts)
		}
		if says := strings.Contains(rel.String("description"), "Original relationship type: "+c.relation); says != rewritten ||
			!strings.HasPrefix(rel.String("description"), "why") {
			t.Errorf("%s: description %q", c.relation, rel.String("description"))
		}
		before := string(rel.AppendJSON(nil))
		if m.Settle(rel, func(id string) string { return kinds[id] }) != nil || string(rel.AppendJSON(nil)) != before {
			t.Errorf("%s: settled twice", c.relation)
		}
	}
	report := stix.New("report", idOfType("report", 1))
	if m.Settle(report, func(string) string { return "" }) != nil {
		t.Error("settled a report")
	}
}

// TestNaturalIsLegal holds the types that the mapper chooses itself to
// OpenCTI's table, whatever kind the ends are.
func TestNaturalIsLegal(t *testing.T) {
	m := newMapper(t, []byte(`{}`))
	check := func(source, relation, target string) {
		if m.Settle(link(relation, idOfType(source, 1), idOfType(target, 2)), func(string) string { return "" }) != nil {
			t.Errorf("%s %s %s is refused", source, relation, target)
		}
	}
	for pair, relation := range naturals {
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

func TestTableOfRelationships(t *testing.T) {
	file, err := os.Open("relationships.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	table, err := readLegality()
	if err != nil || len(table) != len(rows)-1 || len(table) < 400 {
		t.Fatalf("%d of %d rows, %v", len(table), len(rows)-1, err)
	}
	for _, r := range rows[1:] {
		if !table.allows([]string{r[0]}, r[1], []string{r[2]}) {
			t.Errorf("%v is refused", r)
		}
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
