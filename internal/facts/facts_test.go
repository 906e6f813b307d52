package facts_test

import (
	"strings"
	"testing"

	"threatmatch-connector/internal/facts"
)

func TestVersionOf(t *testing.T) {
	for about, want := range map[string]facts.Version{
		"6.8.10": facts.V6_8, "6.8.3": facts.V6_8, "6.9.0": facts.V6_9, "6.9.17-rc1": facts.V6_9, "6.12.1": facts.V6_9,
		"v7.260309.0": facts.V7, "8.1": facts.V7, " 7 ": facts.V7,
		"6.7.20": facts.Unknown, "5.12.0": facts.Unknown, "": facts.Unknown, "latest": facts.Unknown, "6.x.1": facts.Unknown,
	} {
		if got := facts.VersionOf(about); got != want {
			t.Errorf("version of %q is %q, want %q", about, got, want)
		}
	}
}

func TestRelationshipsByVersion(t *testing.T) {
	table, err := facts.ReadRelationships()
	if err != nil {
		t.Fatal(err)
	}
	const all = "unknown 6.8.10 6.9.17 7.26"
	for _, c := range []struct{ source, relation, target, accepted string }{
		{"intrusion-set", "uses", "malware", all},
		{"threat-actor-group", "uses", "malware", all},
		{"intrusion-set", "attributed-to", "campaign", "7.26"},
		{"identity-system", "uses", "software", "7.26"},
		{"malware", "located-at", "location-city", ""},
		{"identity-organization", "part-of", "identity-sector", all},
		{"malware-analysis", "static-analysis-of", "malware", all},
		{"indicator", "indicates", "relationship-uses", all},
		{"relationship-targets", "located-at", "location-region", all},
		{"indicator", "based-on", "ipv4-addr", all},
		{"indicator", "based-on", "stix-file", all},
		{"indicator", "based-on", "malware", ""},
		{"malware", "related-to", "opinion", all},
		{"campaign", "revoked-by", "campaign", all},
	} {
		for name, v := range map[string]facts.Version{"unknown": facts.Unknown, "6.8.10": facts.V6_8, "6.9.17": facts.V6_9, "7.26": facts.V7} {
			want := strings.Contains(c.accepted, name)
			if got := table.Accepts(v, c.source, c.relation, c.target); got != want {
				t.Errorf("%s %s %s on %s: accepted %v, want %v", c.source, c.relation, c.target, name, got, want)
			}
		}
	}
}

func TestInputs(t *testing.T) {
	in, err := facts.ReadInputs()
	if err != nil {
		t.Fatal(err)
	}
	indicator := in.Fields(facts.V6_9, "IndicatorAddInput")
	if f := indicator["name"]; f.Type != "String" || !f.Required || !f.NotBlank || f.MinLength != 2 {
		t.Errorf("an indicator's name is %+v, want a required String of 2 characters that is not blank", f)
	}
	if f := indicator["x_opencti_score"]; f.Type != "Int" || f.Required || f.Min == nil || *f.Min != 0 || f.Max == nil || *f.Max != 100 {
		t.Errorf("an indicator's score is %+v, want an Int from 0 to 100", f)
	}
	if f := in.Fields(facts.V6_9, "OpinionAddInput")["filesMarkings"]; f.List != 2 || f.Type != "String" {
		t.Errorf("filesMarkings is %+v, want a list of lists of String", f)
	}
	for v, want := range map[facts.Version]bool{facts.V6_9: true, facts.V7: true, facts.V6_8: false, facts.Unknown: false} {
		if _, got := in.Fields(v, "IndicatorAddInput")["upsertOperations"]; got != want {
			t.Errorf("upsertOperations of an indicator on %q: %v, want %v", v, got, want)
		}
		if got := in.Fields(v, "EditInput") != nil; got != want {
			t.Errorf("EditInput on %q: %v, want %v", v, got, want)
		}
	}
	if got := in.Fields(facts.V6_9, "NoSuchInput"); got != nil {
		t.Errorf("fields of an input that does not exist: %v, want nil", got)
	}
	if got := in.Enum("IdentityType"); len(got) != 4 {
		t.Errorf("types of identities %q, want 4", got)
	}
	if in.Scalar("StixId") == "" || in.Scalar("String") == "" {
		t.Error("a scalar is not described")
	}
	if got := len(in.Names()); got < 80 {
		t.Errorf("%d inputs, want at least 80", got)
	}
}
